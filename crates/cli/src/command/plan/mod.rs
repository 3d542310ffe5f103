//! `dewdrop plan`: what a model takes, and how fast it will be, under a memory budget.

mod chart;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::Args;
use dewdrop::plan::{Prediction, Speeds};
use dewdrop::{Checkpoint, Plan, Prepared};
use dewdrop_lab::write_text;
use serde_json::{Value, json};

use crate::arguments::{ModelArguments, positive};
use crate::outcome::{Outcome, WrongUsage};
use crate::output;
use crate::table::{Side, Table};
use crate::units;

/// Characters of the longest bar.
const BAR: u64 = 40;
/// Budgets of a sweep.
const STEPS: u64 = 8;

/// Show where memory goes under a budget, and how fast that will be
///
/// Weights that do not fit are read from disk in every pass. Predictions come from
/// speeds of this machine that are measured once, and then kept.
///
/// The first part of a download is enough, as long as it holds the whole header.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct PlanArguments {
    /// GGUF file, or folder in the form of Hugging Face [default: that of --model]
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    path: Option<PathBuf>,

    /// Tokens of the prompt whose time is predicted
    #[arg(long, value_name = "N", default_value = "512", value_parser = positive)]
    prompt: usize,

    /// A table of budgets, from the smallest that works to one that all fits in
    #[arg(long)]
    sweep: bool,

    /// Draw the speeds of --sweep to an SVG file as well
    #[arg(long, value_name = "FILE", requires = "sweep")]
    svg: Option<PathBuf>,

    /// Measure this machine's speeds again
    #[arg(long)]
    recalibrate: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    model: ModelArguments,
}

/// Carries the command out.
pub(crate) fn run(arguments: &PlanArguments) -> anyhow::Result<Outcome> {
    if arguments.sweep && arguments.model.is_memory_typed() {
        return Err(WrongUsage("--sweep: it goes through all budgets (drop --memory)".into()).into());
    }
    let prepared = arguments.model.or_at(arguments.path.as_deref()).prepare_headers()?;
    note_missing(prepared.checkpoint());
    if arguments.recalibrate || Speeds::known(&prepared).is_none() {
        output::note("measuring the speeds of this machine, which takes some seconds and is kept");
    }
    let outlook = Outlook {
        speeds: Speeds::known_or_measured(&prepared, arguments.recalibrate)?,
        prepared,
        n_prompt: arguments.prompt,
    };
    if arguments.sweep {
        let plans = outlook.plans();
        if let Some(path) = &arguments.svg {
            outlook.draw(&plans, path)?;
        }
        outlook.sweep(&plans, arguments.json)?;
        return Ok(Outcome::Done);
    }
    let budget = outlook.prepared.budget();
    let budget =
        budget.ok_or_else(|| anyhow!("this system does not say how much memory it has (give --memory)"))?;
    let plan = outlook.prepared.plan(budget)?;
    if arguments.json {
        output::write_json(&outlook.json(&plan))?;
    } else {
        outlook.write(&plan)?;
    }
    Ok(Outcome::Done)
}

/// Says on stderr that a part of the model's files is not there, if so.
pub(super) fn note_missing(checkpoint: &Checkpoint) {
    let missing = checkpoint.missing_bytes();
    if missing > 0 {
        let (path, missing) = (checkpoint.path().display(), units::bytes(missing));
        output::note(&format!("{path}: {missing} of the model are not here; its headers are"));
    }
}

/// A model, and what is known of the machine.
struct Outlook {
    prepared: Prepared,
    speeds: Speeds,
    n_prompt: usize,
}

impl Outlook {
    fn prediction(&self, plan: &Plan) -> Prediction {
        Prediction::new(plan, &self.speeds, self.n_prompt)
    }

    fn write(&self, plan: &Plan) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "budget {}, of which {} will be used",
            units::bytes(plan.budget),
            units::bytes(plan.peak())
        )?;
        let mut table = Table::new(&[Side::Left, Side::Right, Side::Left]);
        let longest = plan.uses.iter().map(|of| of.bytes).max().unwrap_or(1).max(1);
        for of in plan.uses.iter().filter(|of| of.bytes > 0) {
            let bar = "#".repeat((of.bytes * BAR).div_ceil(longest) as usize);
            table.row([of.kind.name().into(), units::bytes(of.bytes), bar]);
        }
        table.write(&mut out)?;
        let (context, chunk) = (plan.context, plan.chunk);
        writeln!(
            out,
            "context {context}, {chunk} rows of a prompt per pass, keys in {}, values in {}",
            plan.kv.keys.name(),
            plan.kv.values.name()
        )?;
        if !self.prepared.is_by_plan(plan) {
            writeln!(
                out,
                "all of it fits and there is no --memory: it runs from its map, and memory is taken as it is used"
            )?;
        }
        self.write_times(plan, &mut out)
    }

    fn write_times(&self, plan: &Plan, out: &mut impl Write) -> io::Result<()> {
        let prediction = self.prediction(plan);
        if plan.streamed > 0 {
            let (n, bytes) = plan.slots;
            writeln!(
                out,
                "each pass reads {} through {n} slots of {}: {:.3} s at {}/s, {}/s beside computing, which takes {:.3} s",
                units::bytes(plan.streamed),
                units::bytes(bytes),
                prediction.read,
                units::bytes(self.speeds.disk as u64),
                units::bytes(self.speeds.busy_disk as u64),
                prediction.compute,
            )?;
        }
        writeln!(
            out,
            "predicted: {:.2} tokens/s, first token of a prompt of {} after {:.2} s",
            prediction.tokens_per_second(),
            self.n_prompt,
            prediction.first_token()
        )
    }

    fn json(&self, plan: &Plan) -> Value {
        let prediction = self.prediction(plan);
        let uses = plan.uses.iter().map(|of| (of.kind.name().to_owned(), json!(of.bytes)));
        json!({
            "missing_bytes": self.prepared.checkpoint().missing_bytes(),
            "budget_bytes": plan.budget,
            "peak_bytes": plan.peak(),
            "is_mapped": !self.prepared.is_by_plan(plan),
            "uses_bytes": uses.collect::<serde_json::Map<_, _>>(),
            "context": plan.context,
            "chunk": plan.chunk,
            "keys": plan.kv.keys.name(),
            "values": plan.kv.values.name(),
            "resident_bytes": plan.resident,
            "streamed_bytes_per_pass": plan.streamed,
            "staging_slots": plan.slots.0,
            "staging_slot_bytes": plan.slots.1,
            "disk_bytes_per_second": self.speeds.disk,
            "busy_disk_bytes_per_second": self.speeds.busy_disk,
            "compute_seconds_per_token": prediction.compute,
            "read_seconds_per_token": prediction.read + prediction.slowed,
            "row_seconds_per_token": prediction.row,
            "tokens_per_second": prediction.tokens_per_second(),
            "prompt_tokens": self.n_prompt,
            "time_to_first_token_seconds": prediction.first_token(),
        })
    }

    /// The sweep as a picture, in a file that appears whole or not at all.
    fn draw(&self, plans: &[Plan], path: &Path) -> anyhow::Result<()> {
        let model = self.prepared.checkpoint().path().file_name().unwrap_or_default().to_string_lossy();
        let point = |plan: &Plan| (plan.budget, self.prediction(plan).tokens_per_second());
        let picture = chart::svg(&model, &plans.iter().map(point).collect::<Vec<_>>());
        Ok(write_text(path, &picture)?)
    }

    fn sweep(&self, plans: &[Plan], as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return Ok(output::write_json(&plans.iter().map(|plan| self.json(plan)).collect())?);
        }
        let mut table = Table::new(&[Side::Right; 5]);
        table.row(["budget", "resident", "read per pass", "tokens/s", "first token"].map(String::from));
        for plan in plans {
            let prediction = self.prediction(plan);
            table.row([
                units::bytes(plan.budget),
                units::bytes(plan.resident),
                units::bytes(plan.streamed),
                format!("{:.2}", prediction.tokens_per_second()),
                format!("{:.2} s", prediction.first_token()),
            ]);
        }
        Ok(table.write(&mut io::stdout().lock())?)
    }

    /// Plans for budgets from the least to one that all fits in.
    fn plans(&self) -> Vec<Plan> {
        let least = match self.prepared.plan(1) {
            Err(refusal) => refusal.least,
            Ok(plan) => plan.peak(),
        };
        let most = self.prepared.plan(u64::MAX >> 1).map_or(least, |plan| plan.peak().max(least));
        let budget =
            |step: u64| least + (most - least) / STEPS * step + if step == STEPS { STEPS } else { 0 };
        (0..=STEPS).filter_map(|step| self.prepared.plan(budget(step)).ok()).collect()
    }
}
