//! What a model takes besides weights and activations.

use dewdrop_backend::state::PAGE;
use dewdrop_backend::{Program, StateSpec};
use dewdrop_cpu::scratch_bytes;
use dewdrop_store::WeightSource;

use super::weights::is_matrix;
use crate::Options;

/// Bytes per token of the vocabulary: logits of the backend and of the session, and what a sampler makes of them.
const PER_CHOICE: u64 = 4 + 4 + 4 + 8;
/// Stack of a thread, and what the allocator keeps for it.
const PER_THREAD: u64 = 96 << 10;
/// Code that runs later than the plan is made, small buffers, the allocator's spare. Of a program that was written a moment
/// ago Linux maps most at a time: a mebibyte more than of one that has been there for a while.
const RESERVE: u64 = 3 << 20;

/// Sizes of everything but weights.
pub(crate) struct Demand {
    /// Keys and values of 64 positions of all layers.
    kv_page: u64,
    /// Rotary tables, per position.
    rope_position: u64,
    /// State of convolutions and delta rules, of one sequence.
    pub(crate) recurrent: u64,
    /// Logits, threads, reserve.
    pub(crate) fixed: u64,
}

impl Demand {
    pub(crate) fn new(program: &Program, sources: &[Vec<WeightSource>], options: &Options) -> Self {
        let (mut kv_page, mut recurrent) = (0, 0);
        let kv = options.kv_types(&program.states);
        for state in &program.states {
            match *state {
                StateSpec::Attention { n_kv_heads, head_dim, .. } => {
                    kv_page += n_kv_heads * PAGE * kv.bytes_for(head_dim);
                }
                StateSpec::Recurrent { channels, history, n_heads, key_dim, value_dim } => {
                    recurrent += (channels * history + n_heads * key_dim * value_dim) * size_of::<f32>();
                }
            }
        }
        let pairs: usize = program.ropes.iter().map(|rope| rope.frequencies.len()).sum();
        let scratch = |source: &WeightSource| {
            scratch_bytes(source.info.block_type, source.shape[1], options.arithmetic)
        };
        let matrices = sources.iter().flatten().filter(|source| is_matrix(source));
        let per_thread = PER_THREAD + matrices.map(scratch).max().unwrap_or(0);
        Demand {
            kv_page: kv_page as u64,
            rope_position: (pairs * 2 * size_of::<f32>()) as u64,
            recurrent: recurrent as u64,
            fixed: program.n_vocab as u64 * per_choice(options)
                + options.n_threads() as u64 * per_thread
                + RESERVE,
        }
    }

    /// Keys, values and rotary tables of this many positions of each of `n` sequences.
    pub(crate) fn kv(&self, context: usize, n: usize) -> u64 {
        let pages = context.div_ceil(PAGE) as u64;
        n as u64 * pages * self.kv_page + pages * PAGE as u64 * self.rope_position
    }
}

/// Bytes per token of the vocabulary: a sampler for each session, and what rows of one prompt want beyond their last.
fn per_choice(options: &Options) -> u64 {
    options.sessions as u64 * PER_CHOICE + (options.logits.saturating_sub(1) * size_of::<f32>()) as u64
}
