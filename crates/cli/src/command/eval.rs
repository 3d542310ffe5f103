//! `dewdrop eval`: perplexity.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use dewdrop::machine;
use dewdrop_lab::evaluate::{self, Perplexity, Windows};
use serde_json::json;

use crate::arguments::{ModelArguments, positive, read_text, without_last_newline};
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, WrongUsage};
use crate::progress::Bar;
use crate::{output, units};

/// Rows of a pass whose logits are held at once under a memory budget.
const LOGITS: usize = 32;

/// Tokens of a window unless the user says otherwise.
const DEFAULT_WINDOW: usize = 512;

/// Measure a model's perplexity on a text
///
/// The text is cut into windows without overlap, and each is read alone; what is
/// left over at the end is not used. By the plain definition all tokens of a window
/// but the first are scored, and special tokens spelled out in the text count as
/// such. By llama.cpp's definition, that of llama-perplexity, the tokens after the
/// middle of each window are scored, and special tokens are plain text.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct EvalArguments {
    /// Text file; `-`: standard input
    #[arg(value_name = "FILE", required_unless_present = "file", conflicts_with = "file")]
    text: Option<PathBuf>,

    /// The same, as llama.cpp names it
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Tokens of a window [default: the context if given, else 512]
    #[arg(long, value_name = "N", value_parser = positive)]
    window: Option<usize>,

    /// Which tokens are scored
    #[arg(long, value_name = "NAME", default_value = "plain")]
    definition: Definition,

    /// Windows to evaluate at most [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    windows: Option<usize>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArguments,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Definition {
    /// All but the first
    Plain,
    /// Those in the second half
    #[value(name = "llama.cpp")]
    LlamaCpp,
}

/// Carries the command out.
pub(crate) fn run(arguments: &EvalArguments) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    let windows = arguments.windows()?;
    let text = arguments.read()?;
    let mut prepared = arguments.model.prepare_for_logits(LOGITS)?;
    let ids = evaluate::tokens(&mut prepared, &text, windows.definition)?;
    drop(text);
    prepared.set_context(windows.length);
    let engine = arguments.model.start(prepared)?;

    let _stoppable = interrupt.stoppable();
    let mut bar = Bar::new("windows");
    let start = Instant::now();
    let result = evaluate::perplexity(&engine, &ids, &windows, &mut |so_far, n_windows| {
        bar.update(so_far.windows as u64, n_windows as u64, &format!("perplexity {:.4}", so_far.value));
        if interrupt.is_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(bar);
    let speed = units::per_second(result.windows * windows.length, start.elapsed());
    arguments.print(&result, windows.length, speed)?;
    Ok(Outcome::of(interrupt.is_asked()))
}

impl EvalArguments {
    fn windows(&self) -> Result<Windows, WrongUsage> {
        let length = self.window.or(self.model.context()).unwrap_or(DEFAULT_WINDOW);
        if self.model.context().is_some_and(|context| context < length) {
            return Err(WrongUsage(format!(
                "--window: {length} tokens do not fit the context given with -c"
            )));
        }
        let definition = match self.definition {
            Definition::Plain => evaluate::Definition::Plain,
            Definition::LlamaCpp => evaluate::Definition::LlamaCpp,
        };
        Ok(Windows { length, definition, limit: self.windows })
    }

    fn read(&self) -> anyhow::Result<String> {
        let path = self.text.as_ref().or(self.file.as_ref()).expect("clap requires one of the two");
        let text = read_text(path)?;
        Ok(match self.definition {
            Definition::Plain => text,
            // llama-perplexity reads its file without the newline at the end.
            Definition::LlamaCpp => without_last_newline(text),
        })
    }

    fn print(&self, result: &Perplexity, length: usize, speed: Option<f64>) -> anyhow::Result<()> {
        if self.json {
            output::write_json(&json!({
                "model": self.model.name(),
                "definition": self.definition.to_possible_value().map(|value| value.get_name().to_owned()),
                "window": length,
                "windows": result.windows,
                "scored_tokens": result.tokens,
                "perplexity": result.value,
                "error": result.error,
                "logits_xxh3": format!("{:016x}", result.logits),
                "tokens_per_second": speed,
                "peak_memory_bytes": machine::peak_memory(),
            }))?;
            return Ok(());
        }
        let Perplexity { value, error, tokens, windows, .. } = result;
        writeln!(
            io::stdout(),
            "perplexity {value:.4} +- {error:.4} ({windows} windows of {length}, {tokens} tokens scored)"
        )?;
        if let Some(speed) = speed {
            output::note(&format!("{speed:.1} tokens/s"));
        }
        Ok(())
    }
}
