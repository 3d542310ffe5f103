//! A compiled model: plain data that the oracle interprets, fast backends fuse over and the planner prices.

use std::ops::Range;

use crate::{Op, Register};

/// Everything a backend needs to know about a model, but its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Rows of the embedding table and of the head.
    pub n_vocab: usize,
    /// Floats of a token's residual stream.
    pub width: usize,
    /// Floats per row of each register.
    pub registers: Vec<usize>,
    /// The residual stream between layers (for tracing).
    pub residual: Register,
    /// Rotary embeddings that attention layers refer to by index.
    pub ropes: Vec<Rope>,
    /// What a sequence keeps between passes, by the `state` index of operations.
    pub states: Vec<StateSpec>,
    /// The entry, each layer, the exit, in order.
    pub sections: Vec<Section>,
}

/// A stretch of a program whose weights arrive together.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// `entry`, `layer 0` ..., `exit`.
    pub name: String,
    /// In order of execution.
    pub ops: Vec<Op>,
    /// What the operations' weight slots must be filled with.
    pub weights: Vec<WeightSpec>,
}

impl Section {
    /// The channels of its output that an operation yields; none: always all.
    pub fn channels(&self, op: &Op) -> Option<Range<usize>> {
        match op {
            Op::Linear { weight, first, .. } => {
                Some(*first..first + self.weights[usize::from(weight.0)].n_out)
            }
            Op::Glu { channels, .. } => Some(channels.clone()),
            _ => None,
        }
    }
}

/// A weight that a section needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightSpec {
    /// The role it plays, as in GGUF names without the layer: `attn_q.weight`.
    pub role: String,
    /// Channels; 1 for vectors.
    pub n_out: usize,
    /// Inputs of a channel.
    pub n_in: usize,
}

/// A rotary position embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Which two dimensions turn together.
    pub pairing: Pairing,
    /// Radians per position of each pair; `2 * frequencies.len()` leading dimensions of a head turn.
    pub frequencies: Vec<f64>,
    /// Multiplies cosine and sine (yarn); 1 otherwise.
    pub factor: f32,
}

/// Which dimensions of a head form a pair of a rope over `r` dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// `(i, i + r/2)`, as GPT-NeoX and Hugging Face checkpoints.
    Halves,
    /// `(2i, 2i + 1)`, as GPT-J and GGUF files of the llama architecture.
    Adjacent,
}

/// State of one layer's mixer in one sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each state's description names its fields")]
pub enum StateSpec {
    /// Keys and values of every position.
    Attention { n_kv_heads: usize, head_dim: usize, window: Option<usize> },
    /// The last `history` inputs of a convolution over `channels`, and for the delta rule a matrix
    /// `[key_dim, value_dim]` for each of `n_heads` value heads (all zero where there is none).
    Recurrent { channels: usize, history: usize, n_heads: usize, key_dim: usize, value_dim: usize },
}
