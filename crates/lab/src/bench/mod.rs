//! How fast a model runs, as a share of what the machine can do.
//!
//! [`Limits`] says what the machine can do: bytes read and multiply-adds made in a second, measured in the same run, and
//! again around all that is timed (a [`Yardstick`]).
//! [`Work`] says what a pass cannot do without. [`check()`] compares logits with the oracle's: nobody asks how fast wrong
//! numbers come. A [`Rig`] then times a model, from a file or [`Synthetic`]: prompts and generation ([`Figure`]), and
//! what passes of a few rows cost ([`Cost`]). `docs/performance.md` says how to measure.

mod check;
mod error;
mod limits;
mod memory;
mod mixture;
mod random;
mod rig;
mod shape;
mod synthetic;
mod work;

use std::fmt;
use std::time::Duration;

pub use check::{Checked, check};
pub use error::BenchError;
pub use limits::{Limits, Yardstick};
pub use mixture::Mixture;
pub use rig::Rig;
pub use shape::{SHAPES, Shape};
pub use synthetic::Synthetic;
pub use work::Work;

/// Something to be timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// What is done with the tokens.
    pub kind: TestKind,
    /// Tokens read or generated.
    pub n_tokens: usize,
    /// Positions before them.
    pub depth: usize,
    /// Most rows of a prompt in a pass.
    pub chunk: usize,
}

/// What is done with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TestKind {
    /// They are read, many in a pass; the last one wants logits.
    Prompt,
    /// They come one by one, each in a pass with logits.
    Generation,
}

impl Test {
    /// Rows of each pass.
    fn passes(self) -> Vec<usize> {
        let chunk = if self.kind == TestKind::Generation { 1 } else { self.chunk.max(1) };
        (0..self.n_tokens).step_by(chunk).map(|start| chunk.min(self.n_tokens - start)).collect()
    }

    /// Whether the last row of this pass wants logits.
    fn wants_logits(self, pass: usize, passes: &[usize]) -> bool {
        self.kind == TestKind::Generation || pass + 1 == passes.len()
    }
}

/// As llama-bench names tests: `pp512`, `tg64 @ d4096`.
impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == TestKind::Prompt { "pp" } else { "tg" };
        let depth = if self.depth > 0 { format!(" @ d{}", self.depth) } else { String::new() };
        f.pad(&format!("{kind}{}{depth}", self.n_tokens))
    }
}

/// How fast a test went.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was timed.
    pub test: Test,
    /// Each repetition's time.
    pub seconds: Vec<f64>,
    /// The time that the machine's limits of that moment left at least, of each repetition.
    pub least: Vec<f64>,
    /// What streaming did; none where nothing is streamed.
    pub streamed: Option<Streamed>,
}

/// What streaming did in all repetitions of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct Streamed {
    /// Bytes that came from disk.
    pub bytes_read: u64,
    /// Time that whoever computes waited for them.
    pub stalled: Duration,
    /// Tokens per second that were predicted; none for prompts in narrower passes than were planned for.
    pub predicted: Option<f64>,
}

impl Figure {
    /// Tokens per second of each repetition.
    pub fn speeds(&self) -> Vec<f64> {
        self.seconds.iter().map(|seconds| self.test.n_tokens as f64 / seconds).collect()
    }

    /// Mean and standard deviation of the speeds, as llama-bench has them.
    pub fn speed(&self) -> (f64, f64) {
        mean_and_deviation(&self.speeds())
    }

    /// The speed as a share of the one that the machine's limits allow: the median of the repetitions, since limits may change
    /// in the middle of one.
    pub fn share(&self) -> f64 {
        median(self.least.iter().zip(&self.seconds).map(|(least, took)| least / took).collect())
    }
}

/// What a pass of some rows costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Rows of the pass.
    pub n_rows: usize,
    /// Positions before them.
    pub depth: usize,
    /// Each repetition's time.
    pub seconds: Vec<f64>,
    /// The time that the machine's limits of that moment left at least.
    pub least: f64,
}

impl Cost {
    /// The median of the times.
    pub fn median(&self) -> f64 {
        median(self.seconds.clone())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, 0.0);
    }
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_cut_into_chunks_and_generation_is_not() {
        let prompt = Test { kind: TestKind::Prompt, n_tokens: 10, depth: 0, chunk: 4 };
        assert_eq!(prompt.passes(), [4, 4, 2]);
        assert_eq!([0, 1, 2].map(|pass| prompt.wants_logits(pass, &[4, 4, 2])), [false, false, true]);
        let generation = Test { kind: TestKind::Generation, n_tokens: 3, depth: 64, chunk: 4 };
        assert_eq!(generation.passes(), [1, 1, 1]);
        assert!(generation.wants_logits(0, &[1, 1, 1]));
        assert_eq!((prompt.to_string(), generation.to_string()), ("pp10".into(), "tg3 @ d64".into()));
    }

    #[test]
    fn figures_are_means_and_costs_medians() {
        let test = Test { kind: TestKind::Prompt, n_tokens: 12, depth: 0, chunk: 12 };
        let figure =
            Figure { test, seconds: vec![1.0, 2.0, 3.0], least: vec![0.5, 1.5, 1.5], streamed: None };
        assert_eq!(figure.speeds(), [12.0, 6.0, 4.0]);
        assert!((figure.speed().0 - 22.0 / 3.0).abs() < 1e-12);
        assert!((figure.share() - 0.5).abs() < 1e-12, "the median of 0.5, 0.75 and 0.5");
        let cost =
            |seconds: &[f64]| Cost { n_rows: 1, depth: 0, seconds: seconds.to_vec(), least: 0.0 }.median();
        assert_eq!((cost(&[3.0, 1.0, 2.0]), cost(&[4.0, 1.0])), (2.0, 2.5));
    }
}
