//! A model set up to be timed.

use std::time::{Duration, Instant};

use dewdrop::plan::{Prediction, Speeds};
use dewdrop::{Cancel, Engine, Prepared};
use dewdrop_backend::{Row, SequenceId};

use super::limits::{Limits, Yardstick};
use super::random::Random;
use super::work::{Rows, Work};
use super::{BenchError, Cost, Figure, Streamed, Test, TestKind};

/// Rows per pass that bring a sequence to its depth where a test does not say.
const FILL: usize = 512;

/// Bytes of weights that a backend rearranges in a pass, at least.
const SETTLED_PER_PASS: u64 = 64 << 20;

/// An engine with one sequence.
pub struct Rig {
    engine: Engine,
    /// The machine's, where a plan is followed.
    speeds: Option<Speeds>,
    sequence: SequenceId,
    position: usize,
    random: Random,
    cancel: Cancel,
}

impl Rig {
    /// Sets up a model. `cancel` stops measurements between passes. Where a plan is followed, the speeds that predictions
    /// come from are measured first: the disk is one of the machine's limits then.
    ///
    /// # Errors
    /// If the budget is too small, or backend or weights cannot be had.
    pub fn new(prepared: Prepared, cancel: Cancel) -> Result<Self, BenchError> {
        let plan = prepared.budget().and_then(|budget| prepared.plan(budget).ok());
        let plan = plan.filter(|plan| prepared.is_by_plan(plan));
        let speeds = match plan {
            Some(_) => Some(Speeds::known_or_measured(&prepared, true)?),
            None => None,
        };
        let engine = prepared.engine()?;
        let sequence = engine.core().lock()?.open_sequence();
        let mut rig = Rig { engine, speeds, sequence, position: 0, random: Random::new(2), cancel };
        rig.settle()?;
        Ok(rig)
    }

    /// The engine that is measured.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Lets the backend rearrange weights that stay, of which it does some in each pass, before anything is timed.
    fn settle(&mut self) -> Result<(), BenchError> {
        let all = || self.engine.model().claims.sections.iter().flatten().map(|claim| claim.info.len).sum();
        let bytes: u64 = self.engine.plan().map_or_else(all, |plan| plan.resident);
        for _ in 0..2 + bytes / SETTLED_PER_PASS {
            self.go_to(0, FILL)?;
            self.pass(1, true)?;
        }
        Ok(())
    }

    /// Times a test so many times, after once without counting.
    ///
    /// # Errors
    /// If it does not fit the model's context, a pass fails, or it was cancelled.
    pub fn figure(
        &mut self,
        test: Test,
        repetitions: usize,
        yardstick: &Yardstick,
    ) -> Result<Figure, BenchError> {
        self.check_room(test.depth + test.n_tokens)?;
        let test = Test { chunk: test.chunk.min(self.most_rows()), ..test };
        let sizes = test.passes();
        let (mut seconds, mut least) = (Vec::new(), Vec::new());
        let mut streamed = self.predict(test);
        for repetition in 0..=repetitions {
            self.go_to(test.depth, test.chunk.max(1))?;
            let before = self.engine.streaming()?;
            let start = Instant::now();
            for (index, &n_rows) in sizes.iter().enumerate() {
                self.pass(n_rows, test.wants_logits(index, &sizes))?;
            }
            let elapsed = start.elapsed();
            least.push(self.least_seconds(test, &sizes, &yardstick.now()));
            if repetition == 0 {
                continue;
            }
            seconds.push(elapsed.as_secs_f64());
            let between = before.zip(self.engine.streaming()?);
            if let (Some((before, after)), Some(streamed)) = (between, &mut streamed) {
                streamed.bytes_read += after.bytes_read - before.bytes_read;
                streamed.stalled += after.stalled - before.stalled;
            }
        }
        // What was measured before a repetition and what was measured after it.
        let least = least.array_windows().map(|[before, after]| f64::midpoint(*before, *after)).collect();
        Ok(Figure { test, seconds, least, streamed })
    }

    /// What is expected of a test before anything was streamed; none where nothing will be.
    fn predict(&self, test: Test) -> Option<Streamed> {
        let plan = self.engine.plan().filter(|plan| plan.streamed > 0)?;
        let n_prompt = if test.kind == TestKind::Prompt { test.n_tokens } else { 0 };
        let prediction = Prediction::new(&plan, self.speeds.as_ref()?, n_prompt);
        let predicted = match test.kind {
            // Predictions are for passes as wide as the plan's.
            TestKind::Prompt if test.chunk < plan.chunk.min(test.n_tokens) => None,
            TestKind::Prompt => Some(test.n_tokens as f64 / prediction.prompt),
            TestKind::Generation => Some(prediction.tokens_per_second()),
        };
        Some(Streamed { bytes_read: 0, stalled: Duration::ZERO, predicted })
    }

    /// Times passes of so many rows at a depth; the last row wants logits.
    ///
    /// # Errors
    /// As [`figure`](Rig::figure).
    pub fn cost(
        &mut self,
        n_rows: usize,
        depth: usize,
        repetitions: usize,
        yardstick: &Yardstick,
    ) -> Result<Cost, BenchError> {
        self.check_room(depth + n_rows)?;
        let most = self.most_rows();
        if n_rows > most {
            return Err(BenchError::Rows { asked: n_rows, most });
        }
        let rows = Rows { n: n_rows, position: depth, n_logits: 1 };
        let mut seconds = Vec::new();
        let before = self.least_seconds_of_pass(rows, &yardstick.now());
        for repetition in 0..=repetitions {
            self.go_to(depth, FILL)?;
            let start = Instant::now();
            self.pass(n_rows, true)?;
            if repetition > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        let after = self.least_seconds_of_pass(rows, &yardstick.now());
        Ok(Cost { n_rows, depth, seconds, least: f64::midpoint(before, after) })
    }

    /// Seconds that a test takes at least.
    fn least_seconds(&self, test: Test, sizes: &[usize], limits: &Limits) -> f64 {
        let mut position = test.depth;
        let mut seconds = 0.0;
        for (index, &n) in sizes.iter().enumerate() {
            let n_logits = usize::from(test.wants_logits(index, sizes));
            seconds += self.least_seconds_of_pass(Rows { n, position, n_logits }, limits);
            position += n;
        }
        seconds
    }

    /// Seconds that a pass takes at least, the streamed weights' way from the disk included.
    fn least_seconds_of_pass(&self, rows: Rows, limits: &Limits) -> f64 {
        let work = Work::of_pass(self.engine.model(), self.engine.kv_types(), rows);
        let plan = self.engine.plan();
        let reading = plan.zip(self.speeds.as_ref()).map(|(plan, speeds)| plan.streamed as f64 / speeds.disk);
        limits.seconds(&work).max(reading.unwrap_or(0.0))
    }

    /// Rows of the widest pass that there is room for.
    fn most_rows(&self) -> usize {
        self.engine.plan().map_or(usize::MAX, |plan| plan.chunk)
    }

    fn check_room(&self, asked: usize) -> Result<(), BenchError> {
        let most = self.engine.context();
        if asked > most { Err(BenchError::Context { asked, most }) } else { Ok(()) }
    }

    /// Brings the sequence to so many positions: back, if its state can go there, or anew, `chunk` rows a pass.
    fn go_to(&mut self, depth: usize, chunk: usize) -> Result<(), BenchError> {
        if self.position > depth {
            let mut core = self.engine.core().lock()?;
            if core.truncate(self.sequence, depth) {
                self.position = depth;
            } else {
                core.close_sequence(self.sequence);
                self.sequence = core.open_sequence();
                self.position = 0;
            }
        }
        let chunk = chunk.min(self.most_rows());
        while self.position < depth {
            self.pass(chunk.min(depth - self.position), false)?;
        }
        Ok(())
    }

    /// One pass of random tokens, the last of which may want logits.
    fn pass(&mut self, n_rows: usize, wants_logits: bool) -> Result<(), BenchError> {
        if self.cancel.is_cancelled() {
            return Err(BenchError::Cancelled);
        }
        let (start, end) = (self.position, self.position + n_rows);
        let n_vocab = self.engine.model().program.n_vocab;
        let row = |position| Row {
            sequence: self.sequence,
            position,
            token: self.random.below(n_vocab) as u32,
            wants_logits: wants_logits && position + 1 == end,
        };
        let rows: Vec<Row> = (start..end).map(row).collect();
        self.engine.core().lock()?.pass(&rows)?;
        self.position = end;
        Ok(())
    }
}
