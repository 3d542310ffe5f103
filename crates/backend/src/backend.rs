//! What every device offers: weights in, work recorded in order, logits out.

use std::sync::Arc;

use crate::{BackendError, Program, Register, Weight};

/// One token of one sequence in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose state it extends.
    pub sequence: SequenceId,
    /// Index of the token in its sequence.
    pub position: usize,
    /// Token id, below the vocabulary's size.
    pub token: u32,
    /// Whether the pass computes this row's logits.
    pub wants_logits: bool,
}

/// A sequence's state within a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u32);

/// A section's weights within a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoadedId(pub u32);

/// What passes and sequences come to at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reserve {
    /// Rows of a pass.
    pub rows: usize,
    /// Sequences at a time.
    pub sequences: usize,
    /// Positions of each.
    pub positions: usize,
}

/// How linear layers compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Arithmetic {
    /// Quantized weights meet activations quantized to int8 in blocks of 32.
    #[default]
    Quantized,
    /// Weights are dequantized, everything accumulates in f32: slow, for comparison with references.
    Exact,
}

/// A device that runs a [`Program`](crate::Program).
///
/// Work is recorded in order: [`begin`](Backend::begin), then [`run`](Backend::run) for each section in turn, then
/// [`logits`](Backend::logits), which waits. Nothing is read back between sections, so a
/// device may run behind the caller.
pub trait Backend: Send {
    /// For people: `cpu (avx2, 2 threads)`.
    fn name(&self) -> String;

    /// Takes the memory now that it will need besides weights, so that none is missing later, and gives back what it took
    /// for more. A backend may also do neither, and take what it needs when it needs it.
    fn reserve(&mut self, _reserve: &Reserve) {}

    /// Takes a section's weights, in the order of its [`WeightSpec`](crate::WeightSpec)s. A backend may keep them where
    /// they are, copy them or lay them out anew.
    fn load(&mut self, section: usize, weights: Vec<Weight>) -> Result<LoadedId, BackendError>;

    /// Forgets a section's weights once the work recorded with them is done.
    fn unload(&mut self, id: LoadedId);

    /// A new, empty sequence.
    fn open_sequence(&mut self) -> SequenceId;

    /// Frees a sequence's state.
    fn close_sequence(&mut self, id: SequenceId);

    /// Forgets all positions from `position` on. False, and nothing changes, if recurrent state cannot go back there;
    /// position 0 and the present length always work.
    fn truncate(&mut self, id: SequenceId, position: usize) -> bool;

    /// Positions of the longest open sequence.
    fn longest_sequence(&self) -> usize;

    /// Goes on with the same program in other sections, if it is cut otherwise. Sequences stay; weights of sections that
    /// are other ones now were unloaded. Memory for passes larger than the next one is given back.
    fn set_sections(&mut self, program: Arc<Program>);

    /// Starts a pass. Rows of one sequence stand in ascending positions that continue its state.
    fn begin(&mut self, rows: &[Row]) -> Result<(), BackendError>;

    /// Records a section's operations.
    fn run(&mut self, section: usize, weights: LoadedId) -> Result<(), BackendError>;

    /// Logits of the rows that want them, in row order, `[n, n_vocab]`. An error if one is not finite.
    fn logits(&mut self) -> Result<&[f32], BackendError>;

    /// A register's values after the sections run so far, `[n_rows, width]`; for comparison with references. Of many rows
    /// a backend may have let go of what no section to come reads: then they are empty.
    fn read(&mut self, register: Register) -> Vec<f32>;
}

/// Index of the largest of some finite logits, the lower one on ties.
pub fn largest(logits: &[f32]) -> u32 {
    let maximum = maximum(logits);
    logits.iter().position(|&logit| logit == maximum).unwrap_or(0) as u32
}

/// The largest of some finite numbers; negative infinity of none.
pub fn maximum(numbers: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    // Some at once: an order of its own for each of the lanes is what lets compilers use vectors.
    let (lots, rest) = numbers.as_chunks::<32>();
    let mut lanes = [f32::NEG_INFINITY; 32];
    for lot in lots {
        for (lane, &number) in lanes.iter_mut().zip(lot) {
            *lane = larger(*lane, number);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// An error that names the first row of `logits` (`[n, n_vocab]`) with an infinity or a NaN.
pub fn check_finite(logits: &[f32], n_vocab: usize) -> Result<(), BackendError> {
    // All are looked at, since that can be done for several at once.
    let is_finite = |row: &[f32]| row.iter().fold(true, |all, logit| all & logit.is_finite());
    match logits.chunks_exact(n_vocab).position(|row| !is_finite(row)) {
        Some(row) => Err(BackendError::NotFinite { row }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_of_two_largest_counts() {
        assert_eq!(largest(&[1.0, 3.0, -2.0, 3.0]), 1);
    }
}
