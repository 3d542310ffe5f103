//! `dewdrop verify`: whether a model's files are what they were.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use dewdrop::Checkpoint;
use dewdrop_lab::verify::{FileReport, VerifyError, verify, write};
use dewdrop_store::{Damage, sidecar_path};
use serde_json::{Value, json};

use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, WrongUsage};
use crate::progress::Bar;
use crate::{output, units};

/// Check a model's files against checksums
///
/// --write makes the checksums: `model.gguf.checksums.json` beside `model.gguf`, one
/// for each file of a model. As long as they lie there, every command that runs the
/// model compares each tensor with them when it is read for the first time, and ends
/// with an error that names the place rather than with a wrong token.
///
/// They find damage, not forgery.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct VerifyArguments {
    /// GGUF file, safetensors file, or folder in the form of Hugging Face
    #[arg(value_name = "PATH", required_unless_present = "model", conflicts_with = "model")]
    path: Option<PathBuf>,

    /// The same, as other commands name it
    #[arg(short, long, value_name = "PATH")]
    model: Option<PathBuf>,

    /// Write the checksums
    #[arg(long)]
    write: bool,

    /// Replace checksums that are there
    #[arg(long, requires = "write")]
    force: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "write")]
    json: bool,
}

/// Carries the command out.
pub(crate) fn run(arguments: &VerifyArguments) -> anyhow::Result<Outcome> {
    let path = arguments.path.as_ref().or(arguments.model.as_ref()).expect("clap requires one of the two");
    let checkpoint = Checkpoint::open(path)?;
    let interrupt = Interrupt::install()?;
    let _stoppable = interrupt.stoppable();
    let mut bar = Bar::new(if arguments.write { "checksums" } else { "verify" });
    let mut progress = |done, total| {
        bar.update(done, total, "");
        if interrupt.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = if arguments.write {
        arguments.write(&checkpoint, &mut progress)
    } else {
        arguments.verify(&checkpoint, &mut progress)
    };
    drop(bar);
    match result {
        Err(error) if matches!(error.downcast_ref(), Some(VerifyError::Cancelled)) => {
            Ok(Outcome::Interrupted)
        }
        result => result,
    }
}

type Progress<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

impl VerifyArguments {
    fn write(&self, checkpoint: &Checkpoint, progress: Progress<'_>) -> anyhow::Result<Outcome> {
        let there = checkpoint.files().map(sidecar_path).find(|sidecar| sidecar.exists());
        if let Some(sidecar) = there.filter(|_| !self.force) {
            let message = format!("{} is there already (--force replaces it)", sidecar.display());
            return Err(WrongUsage(message).into());
        }
        for sidecar in write(checkpoint, progress)? {
            writeln!(io::stdout(), "{}", sidecar.display())?;
        }
        Ok(Outcome::Done)
    }

    /// Says which places of which files are damaged, all of them, before it fails.
    fn verify(&self, checkpoint: &Checkpoint, progress: Progress<'_>) -> anyhow::Result<Outcome> {
        let reports = verify(checkpoint, progress)?;
        if self.json {
            output::write_json(&reports.iter().map(record).collect())?;
        } else {
            reports.iter().try_for_each(print)?;
        }
        let damages: usize = reports.iter().map(|report| report.damages.len()).sum();
        if damages > 0 {
            anyhow::bail!(
                "{}: {} damaged (fetch the model again)",
                checkpoint.path().display(),
                if damages == 1 { "1 place is".into() } else { format!("{damages} places are") }
            );
        }
        Ok(Outcome::Done)
    }
}

fn print(report: &FileReport) -> io::Result<()> {
    let (path, mut out) = (report.path.display(), io::stdout().lock());
    if report.damages.is_empty() {
        return writeln!(out, "{path}: {} as they were", units::bytes(report.bytes));
    }
    for Damage { tensor, offset, bytes } in &report.damages {
        let place =
            tensor.as_ref().map_or("header".into(), |tensor| format!("tensor `{}`", output::visible(tensor)));
        writeln!(out, "{path}: {place}: {bytes} bytes from offset {offset} on are not as they were")?;
    }
    Ok(())
}

fn record(report: &FileReport) -> Value {
    let damage =
        |damage: &Damage| json!({ "tensor": damage.tensor, "offset": damage.offset, "bytes": damage.bytes });
    json!({
        "path": report.path.display().to_string(),
        "bytes": report.bytes,
        "damages": report.damages.iter().map(damage).collect::<Vec<_>>(),
    })
}
