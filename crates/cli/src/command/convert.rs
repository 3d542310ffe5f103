//! `dewdrop convert`: a Hugging Face folder becomes one GGUF file.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use dewdrop_format::{BLOCK_TYPES, BlockType};
use dewdrop_lab::convert::{Choice, ConvertError, ConvertOptions, Report, convert};

use crate::arguments::positive;
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, WrongUsage};
use crate::progress::Bar;
use crate::{output, units};

/// Turn a Hugging Face folder into a GGUF file
///
/// Also takes a GGUF file whose weights are F32, F16 or BF16. Vectors stay F32, and
/// the table of embeddings and the head get a better type than few bits; --pure
/// gives them the same one. The file appears under its name once it is complete.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct ConvertArguments {
    /// Folder with `config.json`, safetensors and the tokenizer's files; or GGUF file
    #[arg(value_name = "MODEL")]
    source: PathBuf,

    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Type of the matrices' weights: F32, F16, BF16, Q8_0, Q4_K ...
    #[arg(long = "type", value_name = "TYPE", value_parser = block_type)]
    block_type: BlockType,

    /// Threads that quantize [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    threads: Option<usize>,

    /// Give the table of embeddings and the head the same type as the rest
    #[arg(long)]
    pure: bool,

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// Carries the command out.
pub(crate) fn run(arguments: &ConvertArguments) -> anyhow::Result<Outcome> {
    let ConvertArguments { source, output, block_type, .. } = arguments;
    if output.exists() && !arguments.force {
        let message = format!("{} is there already (--force replaces it)", output.display());
        return Err(WrongUsage(message).into());
    }
    let interrupt = Interrupt::install()?;
    let _stoppable = interrupt.stoppable();
    let mut bar = Bar::new("tensors");
    let options = arguments.options(&interrupt);
    let result =
        convert(source, output, *block_type, options, &mut |done, total| bar.update(done, total, ""));
    drop(bar);
    match result {
        Err(ConvertError::Cancelled) => Ok(Outcome::Interrupted),
        result => {
            arguments.print(&result?)?;
            Ok(Outcome::Done)
        }
    }
}

impl ConvertArguments {
    fn options(&self, interrupt: &Interrupt) -> ConvertOptions {
        let mut options = ConvertOptions { cancel: interrupt.cancel(), ..ConvertOptions::default() };
        options.threads = self.threads.unwrap_or(options.threads);
        if self.pure {
            options.choice = Choice::Pure;
        }
        options
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        for (tensor, meant, got) in &report.fallbacks {
            let [meant, got] = [meant, got].map(|block_type| block_type.block().name);
            output::note(&format!("tensor `{tensor}` is {got}: its rows are no whole blocks of {meant}"));
        }
        let (path, n_tensors) = (self.output.display(), units::plural(report.n_tensors, "tensor"));
        let len = std::fs::metadata(&self.output).with_context(|| format!("{path}: cannot be read"))?.len();
        writeln!(io::stdout(), "{path}: {n_tensors}, {}", units::bytes(len))?;
        Ok(())
    }
}

/// A type by its name, in any case.
fn block_type(name: &str) -> Result<BlockType, String> {
    let known = BLOCK_TYPES.iter().find(|block| block.name.eq_ignore_ascii_case(name));
    known.map(|block| block.block_type).ok_or_else(|| {
        let names: Vec<_> = BLOCK_TYPES.iter().map(|block| block.name).collect();
        format!("expected one of {}", names.join(", "))
    })
}
