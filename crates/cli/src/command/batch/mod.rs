//! `dewdrop batch`: many prompts through the same passes.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use dewdrop::{Completion, EncodeOptions, Engine, Request, Sampling};
use serde_json::{Value, json};

use super::run::finish_reason;
use crate::arguments::{ModelArguments, SamplingArguments, positive};
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, is_cancelled};
use crate::output;
use crate::progress::Bar;
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
/// (from 1) that it belongs to. A run that was ended goes on where it was.
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
    let lines = read_lines(&arguments.input)?;
    let finished = finished_lines(&arguments.output)?;
    let left = lines.iter().filter(|line| !finished.contains(&line.number)).count();
    if left == 0 {
        output::note(&format!("all {} done before", units::plural(lines.len(), "line")));
        return Ok(Outcome::Done);
    }
    let (engine, width) = arguments.engine(left)?;
    let requests = lines.iter().filter(|line| !finished.contains(&line.number));
    let requests =
        requests.map(|line| line.request(&engine, &sampling)).collect::<anyhow::Result<Vec<_>>>()?;

    let mut results = Results::open(&arguments.output, arguments.in_order, &requests)?;
    let (mut bar, mut n_done) = (Bar::new("batch"), 0);
    let _stoppable = interrupt.stoppable();
    let ids: BTreeMap<u64, &Value> = lines.iter().map(|line| (line.number, &line.id)).collect();
    let ran = engine.complete_together(requests, width, &interrupt.cancel(), |completion| {
        n_done += 1;
        bar.update(n_done, left as u64, "");
        results.take(&completion, ids[&completion.tag])
    });
    match ran {
        Err(error) if is_cancelled(&error) => Ok(Outcome::Interrupted),
        result => result.map(|()| Outcome::Done),
    }
}

impl BatchArguments {
    /// The engine, and how many prompts at a time it has room for.
    fn engine(&self, n_lines: usize) -> anyhow::Result<(Engine, usize)> {
        let mut prepared = self.model.prepare()?;
        let width = self.parallel.unwrap_or_else(|| {
            let fits =
                |width: &usize| prepared.set_sessions(*width).state_share() <= 1.0 / STATE_SHARE as f64;
            let widths = WIDTHS.into_iter().filter(|width| *width < 2 * n_lines);
            widths.into_iter().find(fits).unwrap_or(1)
        });
        prepared.set_sessions(width);
        Ok((self.model.start(prepared)?, width))
    }
}

/// A line of the input.
struct Line {
    /// From 1.
    number: u64,
    prompt: String,
    id: Value,
    seed: Option<u64>,
    max_tokens: Option<usize>,
}

impl Line {
    fn parse(number: u64, text: &str) -> anyhow::Result<Line> {
        let value: Value = serde_json::from_str(text)?;
        let (prompt, fields) = match &value {
            Value::String(prompt) => (prompt, &Value::Null),
            Value::Object(_) => match &value["prompt"] {
                Value::String(prompt) => (prompt, &value),
                _ => bail!("no text `prompt`"),
            },
            _ => bail!("expected a JSON object or a string"),
        };
        let count = |key: &str| match &fields[key] {
            Value::Null => Ok(None),
            value => {
                value.as_u64().map(Some).ok_or_else(|| anyhow!("`{key}` is {value}, expected a whole number"))
            }
        };
        let max_tokens = count("max_tokens")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Line {
            number,
            prompt: prompt.clone(),
            id: fields["id"].clone(),
            seed: count("seed")?,
            max_tokens,
        })
    }

    fn request(&self, engine: &Engine, sampling: &Sampling) -> anyhow::Result<Request> {
        let prompt = engine.encode(&self.prompt, EncodeOptions { add_special: true, parse_special: true })?;
        if prompt.is_empty() {
            bail!("line {}: the prompt has no tokens", self.number);
        }
        let mut sampling = sampling.clone();
        sampling.seed = self.seed.unwrap_or(sampling.seed);
        sampling.n = self.max_tokens.or(sampling.n);
        Ok(Request { tag: self.number, prompt, sampling })
    }
}

fn read_lines(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    let mut lines = Vec::new();
    for (number, text) in (1..).zip(BufReader::new(file).lines()) {
        let place = || format!("{}: line {number}", path.display());
        let text = text.with_context(place)?;
        if !text.trim().is_empty() {
            lines.push(Line::parse(number, &text).with_context(place)?);
        }
    }
    Ok(lines)
}

/// Numbers of lines whose results are there. What an ended run left half written is cut off.
fn finished_lines(path: &Path) -> anyhow::Result<HashSet<u64>> {
    let Ok(bytes) = fs::read(path) else { return Ok(HashSet::new()) };
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let number = |line: &[u8]| serde_json::from_slice::<Value>(line).ok()?["line"].as_u64();
    let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let numbers: Option<HashSet<u64>> = lines.map(number).collect();
    let numbers = numbers.with_context(|| {
        format!("{}: holds something else than results of a batch (give another file)", path.display())
    })?;
    if whole < bytes.len() {
        let file = File::options().write(true).open(path);
        let cut = file.and_then(|file| file.set_len(whole as u64));
        cut.with_context(|| format!("{}: cannot be written", path.display()))?;
    }
    Ok(numbers)
}

/// The results' file.
struct Results {
    file: File,
    path: PathBuf,
    /// Lines still to be written in this order; none if any order will do.
    order: Option<std::collections::VecDeque<u64>>,
    /// Written when their turn comes.
    waiting: BTreeMap<u64, Value>,
}

impl Results {
    fn open(path: &Path, in_order: bool, requests: &[Request]) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        let file = file.with_context(|| format!("{}: cannot be written", path.display()))?;
        let order = in_order.then(|| requests.iter().map(|request| request.tag).collect());
        Ok(Results { file, path: path.to_owned(), order, waiting: BTreeMap::new() })
    }

    fn take(&mut self, completion: &Completion, id: &Value) -> anyhow::Result<()> {
        let record = json!({
            "line": completion.tag,
            "id": id,
            "text": completion.text,
            "finish_reason": finish_reason(&completion.finish),
            "prompt_tokens": completion.n_prompt,
            "generated_tokens": completion.ids.len(),
        });
        self.waiting.insert(completion.tag, record);
        while let Some(record) = self.next() {
            let written = self.file.write_all(format!("{record}\n").as_bytes());
            written.with_context(|| format!("{}: cannot be written", self.path.display()))?;
        }
        Ok(())
    }

    /// What can be written now.
    fn next(&mut self) -> Option<Value> {
        match &mut self.order {
            None => Some(self.waiting.pop_first()?.1),
            Some(order) => {
                let record = self.waiting.remove(order.front()?)?;
                order.pop_front();
                Some(record)
            }
        }
    }
}
