//! `dewdrop convert`: a Hugging Face folder becomes one GGUF file.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use dewdrop_format::{BLOCK_TYPES, BlockType};
use dewdrop_lab::convert::{ConvertOptions, convert};

use crate::arguments::positive;
use crate::outcome::{Outcome, WrongUsage};
use crate::progress::Bar;
use crate::units;

/// Turn a Hugging Face folder into a GGUF file
///
/// The file appears under its name only once it is complete.
#[derive(Args, Debug)]
pub(crate) struct ConvertArguments {
    /// Folder with `config.json`, safetensors and the tokenizer's files
    #[arg(value_name = "FOLDER")]
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

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

/// Carries the command out.
pub(crate) fn run(arguments: &ConvertArguments) -> anyhow::Result<Outcome> {
    if arguments.output.exists() && !arguments.force {
        return Err(WrongUsage(format!(
            "{} is there already (--force replaces it)",
            arguments.output.display()
        ))
        .into());
    }
    let mut options = ConvertOptions::default();
    if let Some(threads) = arguments.threads {
        options.threads = threads;
    }
    let mut bar = Bar::new("tensors");
    convert(&arguments.source, &arguments.output, arguments.block_type, options, &mut |done, total| {
        bar.update(done, total, "");
    })?;
    drop(bar);
    let len = std::fs::metadata(&arguments.output)?.len();
    writeln!(io::stdout(), "{}: {}", arguments.output.display(), units::bytes(len))?;
    Ok(Outcome::Done)
}

/// A type by its name, in any case.
fn block_type(name: &str) -> Result<BlockType, String> {
    let known = BLOCK_TYPES.iter().find(|block| block.name.eq_ignore_ascii_case(name));
    known.map(|block| block.block_type).ok_or_else(|| {
        let names: Vec<_> = BLOCK_TYPES.iter().map(|block| block.name).collect();
        format!("expected one of {}", names.join(", "))
    })
}
