//! A model set up to be timed.

use std::sync::Arc;
use std::time::Instant;

use dewdrop::{Cancel, Checkpoint, KvTypes, Model, Options, assemble};
use dewdrop_backend::{Row, SequenceId};
use dewdrop_engine::Core;

use super::limits::Limits;
use super::random::Random;
use super::work::{Rows, Work};
use super::{BenchError, Cost, Figure, Test};

/// Rows per pass that bring a sequence to its depth where a test does not say.
const FILL: usize = 512;

/// Bytes of weights that a backend rearranges in a pass, at least.
const SETTLED_PER_PASS: u64 = 64 << 20;

/// A model on a backend, with one sequence.
pub struct Rig {
    model: Model,
    core: Core,
    kv: KvTypes,
    sequence: SequenceId,
    position: usize,
    random: Random,
    cancel: Cancel,
}

impl Rig {
    /// Sets up a model. `cancel` stops measurements between passes.
    ///
    /// # Errors
    /// If the backend cannot be had.
    pub fn new(
        checkpoint: &Arc<Checkpoint>,
        model: &Model,
        options: &Options,
        cancel: Cancel,
    ) -> Result<Self, BenchError> {
        let mut core = assemble(checkpoint.clone(), model, options)?;
        let sequence = core.open_sequence();
        let mut rig = Rig {
            model: model.clone(),
            core,
            kv: options.kv_types(),
            sequence,
            position: 0,
            random: Random::new(2),
            cancel,
        };
        rig.settle()?;
        Ok(rig)
    }

    /// Lets the backend rearrange weights, of which it does some in each pass, before anything is timed.
    fn settle(&mut self) -> Result<(), BenchError> {
        let bytes: u64 = self.model.claims.sections.iter().flatten().map(|claim| claim.info.len).sum();
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
    pub fn figure(&mut self, test: Test, repetitions: usize, limits: &Limits) -> Result<Figure, BenchError> {
        self.check_room(test.depth + test.n_tokens)?;
        let sizes = test.passes();
        let mut seconds = Vec::new();
        for repetition in 0..=repetitions {
            self.go_to(test.depth, test.chunk.max(1))?;
            let start = Instant::now();
            for (index, &n_rows) in sizes.iter().enumerate() {
                self.pass(n_rows, test.wants_logits(index, &sizes))?;
            }
            if repetition > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        let limit = self.least_seconds(test, &sizes, limits);
        Ok(Figure { test, seconds, limit })
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
        limits: &Limits,
    ) -> Result<Cost, BenchError> {
        self.check_room(depth + n_rows)?;
        let mut seconds = Vec::new();
        for repetition in 0..=repetitions {
            self.go_to(depth, FILL)?;
            let start = Instant::now();
            self.pass(n_rows, true)?;
            if repetition > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
        let work = Work::of_pass(&self.model, self.kv, Rows { n: n_rows, position: depth, n_logits: 1 });
        Ok(Cost { n_rows, depth, seconds, limit: limits.seconds(&work) })
    }

    /// Seconds that a test takes at least.
    fn least_seconds(&self, test: Test, sizes: &[usize], limits: &Limits) -> f64 {
        let mut position = test.depth;
        let mut seconds = 0.0;
        for (index, &n) in sizes.iter().enumerate() {
            let n_logits = usize::from(test.wants_logits(index, sizes));
            let rows = Rows { n, position, n_logits };
            seconds += limits.seconds(&Work::of_pass(&self.model, self.kv, rows));
            position += n;
        }
        seconds
    }

    fn check_room(&self, asked: usize) -> Result<(), BenchError> {
        let most = self.model.descriptor.context_len;
        if asked > most { Err(BenchError::Context { asked, most }) } else { Ok(()) }
    }

    /// Brings the sequence to so many positions: back, if its state can go there, or anew, `chunk` rows a pass.
    fn go_to(&mut self, depth: usize, chunk: usize) -> Result<(), BenchError> {
        if self.position > depth {
            if self.core.truncate(self.sequence, depth) {
                self.position = depth;
            } else {
                self.core.close_sequence(self.sequence);
                self.sequence = self.core.open_sequence();
                self.position = 0;
            }
        }
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
        let row = |position| Row {
            sequence: self.sequence,
            position,
            token: self.random.below(self.model.program.n_vocab) as u32,
            wants_logits: wants_logits && position + 1 == end,
        };
        let rows: Vec<Row> = (start..end).map(row).collect();
        self.core.pass(&rows)?;
        self.position = end;
        Ok(())
    }
}
