//! `dewdrop bench`: speed, as a share of what the machine can do.

mod record;
mod report;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use dewdrop::{
    Cancel, Checkpoint, Choice, Model, Options, Prepared, built_in, machine, open_checkpoint, recognize,
};
use dewdrop_lab::bench::{
    BenchError, Limits, Mixture, Rig, SHAPES, Shape, Synthetic, Test, TestKind, Yardstick, check,
};

use self::record::{Measured, Records, Timed};
use crate::arguments::{BUILT_IN, CacheArguments, MEMORY_VARIABLE, positive, size};
use crate::interrupt::Interrupt;
use crate::outcome::{Outcome, WrongUsage};
use crate::output::note;
use crate::progress::Bar;
use crate::units;

/// Rows of the cost curve.
const ROWS: &str = "1,2,3,4,5,7,8,16,64,512";

/// Measure how fast a model runs, as a share of what the machine can do
///
/// First the machine's limits are measured: bytes read from memory and multiply-adds
/// made in a second; and again around each test, unless weights are streamed. Then the
/// first layers' results are compared with the oracle's, bit for bit, and only then is
/// anything timed. Tests are named as by llama-bench: pp512 reads a prompt of 512
/// tokens, tg64 generates 64, `@ d4096` after 4096 others. Lists are separated by
/// commas, and every combination is measured.
#[derive(Args, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct BenchArguments {
    /// GGUF file, or folder in the form of Hugging Face [default: the built-in model]
    #[arg(short, long, value_name = "PATH")]
    model: Vec<PathBuf>,

    /// Random weights in the shape of a published model, in memory
    #[arg(long, value_name = "SHAPE", value_delimiter = ',', conflicts_with = "model", value_parser = shape)]
    synthetic: Vec<&'static Shape>,

    /// Types of the random weights: Q4_K_M, Q8_0, Q4_0, Q6_K, BF16 ...
    #[arg(
        long = "type", value_name = "TYPE", value_delimiter = ',', default_value = "Q8_0",
        value_parser = mixture, requires = "synthetic"
    )]
    types: Vec<Mixture>,

    /// Write the random weights to a GGUF file, and measure nothing
    #[arg(long, value_name = "FILE", requires = "synthetic")]
    write: Option<PathBuf>,

    /// Prompt tokens; 0: no prompts
    #[arg(short = 'p', long, value_name = "N", value_delimiter = ',', default_value = "512")]
    n_prompt: Vec<usize>,

    /// Generated tokens; 0: no generation
    #[arg(short, long, value_name = "N", value_delimiter = ',', default_value = "64")]
    n_gen: Vec<usize>,

    /// Tokens that stand before those that are timed
    #[arg(short = 'd', long, value_name = "N", value_delimiter = ',', default_value = "0")]
    n_depth: Vec<usize>,

    /// Rows of a prompt per pass
    #[arg(
        short, long, visible_alias = "ubatch-size", value_name = "N", value_delimiter = ',',
        default_value = "512", value_parser = positive
    )]
    batch_size: Vec<usize>,

    /// Threads that compute [default: one per core]
    #[arg(short, long, value_name = "N", value_delimiter = ',', value_parser = positive)]
    threads: Vec<usize>,

    /// How often each test is timed
    #[arg(short, long, value_name = "N", default_value = "5", value_parser = positive)]
    repetitions: usize,

    /// Time single passes, too, of so many rows [without numbers: 1,2,3,4,5,7,8,16,64,512]
    #[arg(
        long, value_name = "N", value_delimiter = ',', num_args = 0..=1, default_missing_value = ROWS,
        value_parser = positive
    )]
    rows: Vec<usize>,

    /// Most memory that the process may have while the model is timed, as in 2G or 512M; weights that do not fit are read
    /// from disk in every pass [default: what the system has to spare]
    #[arg(long, value_name = "SIZE", env = MEMORY_VARIABLE, hide_env = true, value_parser = size)]
    memory: Option<u64>,

    #[command(flatten)]
    cache: CacheArguments,

    /// Instruction set [default: the best this machine has]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,

    /// Print JSON
    #[arg(long, conflicts_with = "md")]
    json: bool,

    /// Print Markdown
    #[arg(long)]
    md: bool,
}

fn shape(name: &str) -> Result<&'static Shape, String> {
    let known = || SHAPES.iter().map(|shape| shape.name).collect::<Vec<_>>().join(", ");
    Shape::named(name).ok_or_else(|| format!("there is no such shape (there are: {})", known()))
}

fn mixture(name: &str) -> Result<Mixture, String> {
    Mixture::named(name)
        .ok_or_else(|| "no such type (a block type, as Q8_0 or BF16; or Q4_K_M, Q5_K_M)".into())
}

/// Carries the command out.
pub(crate) fn run(arguments: &BenchArguments) -> anyhow::Result<Outcome> {
    let interrupt = Interrupt::install()?;
    if let Some(path) = &arguments.write {
        return arguments.write(path);
    }
    let _stoppable = interrupt.stoppable();
    let mut records = Records::default();
    let mut progress = Progress { bar: Bar::new("bench"), done: 0, total: arguments.n_steps() };
    let result = arguments.measure(&mut records, &mut progress, &interrupt.cancel());
    drop(progress);
    let stopped =
        matches!(&result, Err(error) if matches!(error.downcast_ref(), Some(BenchError::Cancelled)));
    // What was measured before something failed took its time: it is told first.
    if result.is_ok() || stopped || records.has_figures() {
        arguments.report(&records)?;
    }
    if stopped {
        note("stopped");
    } else {
        result?;
    }
    Ok(Outcome::of(interrupt.is_asked()))
}

impl BenchArguments {
    /// Measures everything, into `records`: what is there stays there if something fails.
    fn measure(&self, records: &mut Records, progress: &mut Progress, cancel: &Cancel) -> anyhow::Result<()> {
        for threads in self.threads() {
            progress.step("limits of the machine");
            records.limits.push(Limits::measure(threads, self.isa.as_deref())?);
        }
        for origin in self.origins()? {
            progress.step(&origin.name());
            let checkpoint = Arc::new(origin.open()?);
            let model = recognize(&checkpoint)
                .with_context(|| format!("{}: this model cannot be run", checkpoint.path().display()))?;
            self.check_context(&origin.name(), &model)?;
            records.models.push(Measured::new(origin.name(), &checkpoint));
            let measured = records.models.last_mut().expect("one was pushed");
            for limits in &records.limits {
                self.measure_with(limits, &checkpoint, &model, measured, progress, cancel)?;
            }
        }
        Ok(())
    }

    /// Measures a model with some threads.
    fn measure_with(
        &self,
        limits: &Limits,
        checkpoint: &Arc<Checkpoint>,
        model: &Model,
        measured: &mut Measured,
        progress: &mut Progress,
        cancel: &Cancel,
    ) -> anyhow::Result<()> {
        let threads = limits.threads;
        let options = self.cache.of(Options {
            threads: Some(threads),
            context: Some(self.most_positions()),
            chunk: self.batch_size.iter().chain(&self.rows).max().copied(),
            memory: self.memory,
            backend: Choice::Cpu { isa: Some(limits.isa.into()) },
            ..Options::default()
        });
        progress.step("comparing with the oracle");
        measured.checked = Some(check(checkpoint, model, &options)?);
        progress.step("making ready");
        let prepared = Prepared::new(checkpoint.clone(), options)?;
        let mut rig = Rig::new(prepared, cancel.clone())?;
        measured.plans.extend(rig.engine().plan().map(|plan| Timed { threads, value: plan }));
        let yardstick = match rig.engine().plan() {
            None => Yardstick::new(limits)?,
            Some(_) => Yardstick::fixed(limits),
        };
        for test in self.tests() {
            progress.step(&test.to_string());
            let figure = rig.figure(test, self.repetitions, &yardstick)?;
            measured.figures.push(Timed { threads, value: figure });
        }
        for &depth in &self.n_depth {
            for &n_rows in &self.rows {
                progress.step(&units::plural(n_rows, "row"));
                let cost = rig.cost(n_rows, depth, self.repetitions, &yardstick)?;
                measured.costs.push(Timed { threads, value: cost });
            }
        }
        Ok(())
    }

    /// An error if some of the tests do not fit the model's context: better before the first of them than after hours.
    fn check_context(&self, name: &str, model: &Model) -> anyhow::Result<()> {
        let (asked, most) = (self.most_positions(), model.descriptor.context_len);
        if asked > most {
            return Err(BenchError::Context { asked, most }).with_context(|| name.to_owned());
        }
        Ok(())
    }

    /// Positions of the longest test.
    fn most_positions(&self) -> usize {
        let tests = self.tests().into_iter().map(|test| test.depth + test.n_tokens);
        let costs = self.n_depth.iter().flat_map(|depth| self.rows.iter().map(move |n_rows| depth + n_rows));
        // A model is made ready by passes of one row, even if nothing is timed.
        tests.chain(costs).max().unwrap_or(1)
    }

    fn report(&self, records: &Records) -> io::Result<()> {
        let out = &mut io::stdout().lock();
        match (self.json, self.md) {
            (true, _) => report::json(records, out),
            (_, true) => report::markdown(records, out),
            _ => report::text(records, out),
        }
    }

    fn threads(&self) -> Vec<usize> {
        if self.threads.is_empty() { vec![machine::physical_cores()] } else { self.threads.clone() }
    }

    /// The models, in the order asked for.
    fn origins(&self) -> anyhow::Result<Vec<Origin<'_>>> {
        let mut origins: Vec<Origin<'_>> = self.model.iter().map(|path| Origin::Path(path)).collect();
        for shape in &self.synthetic {
            for &mixture in &self.types {
                origins.push(Origin::Synthetic(Synthetic::new(shape, mixture)?));
            }
        }
        if origins.is_empty() {
            origins.push(Origin::BuiltIn);
        }
        Ok(origins)
    }

    /// What is timed for each model and number of threads.
    fn tests(&self) -> Vec<Test> {
        let mut tests = Vec::new();
        for &depth in &self.n_depth {
            for &chunk in &self.batch_size {
                let prompt = |&n_tokens| Test { kind: TestKind::Prompt, n_tokens, depth, chunk };
                tests.extend(self.n_prompt.iter().map(prompt));
            }
            let chunk = self.batch_size[0];
            let generation = |&n_tokens| Test { kind: TestKind::Generation, n_tokens, depth, chunk };
            tests.extend(self.n_gen.iter().map(generation));
        }
        tests.retain(|test| test.n_tokens > 0);
        tests
    }

    /// Steps of the whole measurement.
    fn n_steps(&self) -> u64 {
        let n_models = self.model.len().max(self.synthetic.len() * self.types.len()).max(1);
        let n_threads = self.threads.len().max(1);
        let n_timed = self.tests().len() + self.rows.len() * self.n_depth.len();
        (n_threads + n_models * (1 + n_threads * (2 + n_timed))) as u64
    }

    fn write(&self, path: &Path) -> anyhow::Result<Outcome> {
        let ([shape], [mixture]) = (&self.synthetic[..], &self.types[..]) else {
            return Err(WrongUsage("--write: a file takes one shape and one type".into()).into());
        };
        Synthetic::new(shape, *mixture)?.write(path, machine::physical_cores())?;
        Ok(Outcome::Done)
    }
}

/// How much of all is done.
struct Progress {
    bar: Bar,
    done: u64,
    total: u64,
}

impl Progress {
    fn step(&mut self, what: &str) {
        self.bar.update(self.done, self.total, what);
        self.done += 1;
    }
}

/// Where a model comes from.
enum Origin<'a> {
    BuiltIn,
    Path(&'a Path),
    Synthetic(Synthetic),
}

impl Origin<'_> {
    fn name(&self) -> String {
        match self {
            Origin::BuiltIn => BUILT_IN.into(),
            Origin::Path(path) => path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            Origin::Synthetic(synthetic) => synthetic.name().into(),
        }
    }

    fn open(&self) -> anyhow::Result<Checkpoint> {
        Ok(match self {
            Origin::BuiltIn => built_in()?,
            Origin::Path(path) => open_checkpoint(path)?,
            Origin::Synthetic(synthetic) => synthetic.in_memory(machine::physical_cores())?,
        })
    }
}

#[cfg(all(test, feature = "built-in"))]
mod tests {
    use std::ops::ControlFlow;

    use clap::Parser;
    use dewdrop_lab::verify;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn damage_is_found_where_checksums_lie_beside_a_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.gguf");
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/dew-10m.gguf");
        let mut bytes = std::fs::read(model).expect("the model");
        std::fs::write(&path, &bytes).expect("it can be written");
        let checkpoint = Checkpoint::open(&path).expect("a model");
        verify::write(&checkpoint, &mut |_, _| ControlFlow::Continue(())).expect("checksums");
        drop(checkpoint);
        assert!(Origin::Path(&path).open().is_ok());
        // Within a token's text, where nothing else tells.
        let word = bytes.windows(6).position(|word| word == b"incess").expect("a token");
        bytes[word] ^= 1;
        std::fs::write(&path, &bytes).expect("it can be written");
        assert!(Checkpoint::open(&path).is_ok());
        assert!(Origin::Path(&path).open().is_err());
    }

    #[test]
    fn tests_beyond_the_context_are_refused_before_any_is_timed() {
        let model = recognize(&built_in().expect("a model")).expect("it is known");
        let check = |words: &[&str]| {
            let words = [&["dewdrop", "bench"], words].concat();
            let Command::Bench(arguments) =
                Arguments::try_parse_from(words).expect("they make sense").command
            else {
                panic!("another command");
            };
            arguments.check_context("a model", &model).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(check(&["-p", "64,128", "--rows", "8", "-d", "16"]), Ok(()));
        for words in [["-p", "64,99999"], ["-n", "99999"], ["--rows", "99999"], ["-d", "99487"]] {
            let message = check(&words).expect_err("a refusal");
            assert!(message.starts_with("a model: 99999 positions, but the model was made for"), "{message}");
        }
    }
}
