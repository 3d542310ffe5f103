//! `dewdrop batch`: many prompts through the same passes.

mod input;
mod results;
mod told;

use std::path::PathBuf;

use clap::Args;
use dewdrop::{Engine, Event, Prepared};

use self::input::{Input, Line};
use self::results::{Finished, Results};
use self::told::Told;
use crate::arguments::{ModelArguments, SamplingArguments, positive};
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, is_cancelled};
use crate::output;
use crate::units;

/// Prompts at a time, where nobody says and memory allows it.
const WIDTHS: [usize; 6] = [32, 16, 8, 4, 2, 1];
/// Keys and values of all of them take no larger share of the budget. What they take is read from disk in each pass
/// instead, once for all of them, so a wider batch is faster for long.
const STATE_SHARE: u64 = 2;

/// Continue many prompts
///
/// Each line of the input is a JSON object with a `prompt`, and if wanted `id`,
/// `seed` and `max_tokens`; or just the prompt as a JSON string. Each pass over the
/// weights serves many prompts, so that all together take far less time than one
/// after another, most of all where weights are read from disk. A line's result
/// depends on that line alone.
///
/// Results are appended as they come, one JSON object per line with the `line`
/// (from 1) that it belongs to. A run that was ended goes on where it was. A prompt
/// that does not fit the context has no text and the finish_reason `context`.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BatchArguments {
    /// The prompts, JSON lines
    #[arg(value_name = "FILE")]
    input: PathBuf,

    /// Where results go, JSON lines
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Write results in the order of the input
    #[arg(long)]
    in_order: bool,

    /// Prompts at a time [default: as many as memory allows, up to 32]
    #[arg(long, value_name = "N", value_parser = positive)]
    parallel: Option<usize>,

    #[command(flatten)]
    model: ModelArguments,

    #[command(flatten)]
    sampling: SamplingArguments,
}

/// Carries the command out.
pub(crate) fn run(arguments: &BatchArguments) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    let mut sampling = arguments.sampling.resolve()?;
    if !arguments.sampling.is_seeded() {
        // Known, so that a run that goes on later does so with the same one.
        sampling.seed = 0;
    }
    let mut prepared = arguments.model.prepare()?;
    let finished = Finished::read(&arguments.output)?;
    let input = Input { path: &arguments.input, sampling: &sampling };
    let lines = input.read(&mut prepared, &finished)?;
    if lines.is_empty() {
        output::note(&format!("all {} done before", units::plural(finished.len(), "line")));
        return Ok(Outcome::Done);
    }
    let (engine, width) = arguments.engine(prepared, &lines)?;
    let mut results = Results::open(&arguments.output, &finished, arguments.in_order, &lines)?;
    let mut told = Told::new(&lines, engine.context());
    let _stoppable = interrupt.stoppable();
    let requests = lines.into_iter().map(|line| line.request);
    let ran = engine.complete_together(requests, width, &interrupt.cancel(), |event| {
        told.hear(&event);
        match event {
            Event::Completed(completion) => results.take(&completion),
            Event::Computed { .. } => Ok(()),
        }
    });
    told.sum_up(engine.streaming()?);
    match ran {
        Err(error) if is_cancelled(&error) => Ok(Outcome::Interrupted),
        result => result.map(|()| Outcome::Done),
    }
}

impl BatchArguments {
    /// The engine, and how many prompts at a time it has room for. Its context is the longest that a line can need, so that
    /// no line's result depends on memory, nor on other lines.
    fn engine(&self, mut prepared: Prepared, lines: &[Line]) -> anyhow::Result<(Engine, usize)> {
        let context = prepared.context();
        warn_of_long_prompts(lines, context);
        let needed = lines.iter().filter(|line| line.request.prompt.len() < context).map(Line::context);
        prepared.set_context(needed.max().unwrap_or(1));
        let width = self.parallel.unwrap_or_else(|| {
            let fits =
                |width: &usize| prepared.set_sessions(*width).state_share() <= 1.0 / STATE_SHARE as f64;
            let widths = WIDTHS.into_iter().filter(|width| *width < 2 * lines.len());
            widths.into_iter().find(fits).unwrap_or(1)
        });
        prepared.set_sessions(width);
        if self.parallel.is_none()
            && width < lines.len().min(WIDTHS[0])
            && lines.iter().any(|line| line.request.sampling.n.is_none())
        {
            output::note(&format!(
                "memory allows {width} at a time, as prompts without a limit may take the whole context of {context} \
                 tokens (limit them with -n or `max_tokens`)"
            ));
        }
        Ok((self.model.start(prepared)?, width))
    }
}

/// Says which prompts have no room.
fn warn_of_long_prompts(lines: &[Line], context: usize) {
    let long = lines.iter().filter(|line| line.request.prompt.len() >= context);
    let numbers: Vec<String> = long.map(|line| line.request.tag.to_string()).collect();
    if !numbers.is_empty() {
        output::note(&format!(
            "warning: {} too long for the context of {context} tokens, and will have no text (of line {})",
            units::plural(numbers.len(), "prompt"),
            numbers.join(", ")
        ));
    }
}
