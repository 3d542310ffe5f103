//! The operations a layer is made of. They are semantic and few, so that each device can do each one its best way.

use std::iter;
use std::ops::Range;

/// A buffer of floats per row of the batch; its width stands in [`Program::registers`](crate::Program).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Register(pub u8);

/// An index into the weights of the section that the operation stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WeightSlot(pub u16);

/// One operation over all rows of a batch. Bits: `docs/arithmetic.md`, a section for each.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each operation's formula names its fields")]
pub enum Op {
    /// `out = scale * table[token]`; `table`: `[n_vocab, width]`.
    Embed { table: WeightSlot, scale: f32, out: Register },
    /// `out = rms_norm(input) * weight`, or `out += ...` where `add` is set. No weight: one.
    Norm { input: Register, weight: Option<WeightSlot>, eps: f32, out: Register, add: bool },
    /// `out = weight input + bias`, or `out += ...` where `add` is set: channels of `out` from `first` on, as many as `weight`
    /// (`[n, n_in]`) has. `bias`: of all of them.
    Linear {
        input: Register,
        weight: WeightSlot,
        bias: Option<WeightSlot>,
        out: Register,
        first: usize,
        add: bool,
    },
    /// Appends keys and values to attention state `state` and attends over it.
    Attend { q: Register, k: Register, v: Register, out: Register, state: u16, spec: Attention },
    /// Causal convolution, SiLU, gated delta rule, gated norm, in recurrent order.
    DeltaRule {
        /// `[n_key_heads * key_dim] * 2 + [n_value_heads * value_dim]`: queries, keys, values before the convolution.
        qkv: Register,
        /// Gate of the norm, `[n_value_heads * value_dim]`.
        z: Register,
        /// `[n_value_heads]`, before the sigmoid.
        beta: Register,
        /// `[n_value_heads]`, before the softplus.
        alpha: Register,
        /// `[n_value_heads * value_dim]`.
        out: Register,
        /// Taps, `[channels, kernel]`.
        conv: WeightSlot,
        /// `-exp(A_log)`, `[n_value_heads]`.
        decay: WeightSlot,
        /// `[n_value_heads]`.
        dt_bias: WeightSlot,
        /// `[value_dim]`.
        norm: WeightSlot,
        state: u16,
        spec: DeltaRule,
    },
    /// `out = c * causal_conv(b * x)` of the three slices `[b, c, x]` of `bcx`.
    ShortConv {
        bcx: Register,
        out: Register,
        conv: WeightSlot,
        bias: Option<WeightSlot>,
        state: u16,
        spec: ShortConv,
    },
    /// `out = activation(gate) * up`: these channels of `out`, of as many of `gate` and `up`, from their first on.
    Glu { gate: Register, up: Register, out: Register, channels: Range<usize>, activation: Activation },
    /// Logits of the rows that want them, from token `first` on as many as `weight` (`[n, width]`) has channels; with a
    /// cap c, `c * tanh(logit / c)`.
    Unembed { input: Register, weight: WeightSlot, first: usize, softcap: Option<f32> },
}

impl Op {
    /// Registers that it reads.
    fn reads(&self) -> Vec<Register> {
        match *self {
            Op::Embed { .. } => Vec::new(),
            Op::Norm { input, out, add, .. } | Op::Linear { input, out, add, .. } => {
                iter::once(input).chain(add.then_some(out)).collect()
            }
            Op::Attend { q, k, v, .. } => vec![q, k, v],
            Op::DeltaRule { qkv, z, beta, alpha, .. } => vec![qkv, z, beta, alpha],
            Op::ShortConv { bcx, .. } => vec![bcx],
            Op::Glu { gate, up, .. } => vec![gate, up],
            Op::Unembed { input, .. } => vec![input],
        }
    }

    /// Whether it reads the register that it writes.
    pub fn reads_output(&self) -> bool {
        self.output().is_some_and(|out| self.reads().contains(&out))
    }

    /// Registers whose content the registers' content after it depends on.
    pub fn inputs(&self) -> Vec<Register> {
        // Channels of its output before those that it writes stay what they were.
        let first = match *self {
            Op::Linear { first, .. } => first,
            Op::Glu { ref channels, .. } => channels.start,
            _ => 0,
        };
        self.reads().into_iter().chain(self.output().filter(|_| first > 0)).collect()
    }

    /// The register that it writes; none: logits. What it does not write of that and does not [need](Op::inputs) is nothing
    /// that anyone needs.
    pub fn output(&self) -> Option<Register> {
        match *self {
            Op::Embed { out, .. }
            | Op::Norm { out, .. }
            | Op::Linear { out, .. }
            | Op::Attend { out, .. }
            | Op::DeltaRule { out, .. }
            | Op::ShortConv { out, .. }
            | Op::Glu { out, .. } => Some(out),
            Op::Unembed { .. } => None,
        }
    }

    /// The matrix that rows are multiplied with, if that is what it does.
    pub fn matrix(&self) -> Option<WeightSlot> {
        match *self {
            Op::Linear { weight, .. } | Op::Unembed { weight, .. } => Some(weight),
            _ => None,
        }
    }

    /// The same product's channels from `first` on; other operations are what they are.
    pub(crate) fn starting_at(&self, first: usize) -> Op {
        let mut op = self.clone();
        if let Op::Linear { first: of, .. } | Op::Unembed { first: of, .. } = &mut op {
            *of = first;
        }
        op
    }

    /// The same gates of these channels alone; other operations are what they are.
    pub(crate) fn of_channels(&self, channels: Range<usize>) -> Op {
        let mut op = self.clone();
        if let Op::Glu { channels: of, .. } = &mut op {
            *of = channels;
        }
        op
    }

    /// Every weight slot that it names, to be renumbered.
    pub(crate) fn slots_mut(&mut self) -> Vec<&mut WeightSlot> {
        match self {
            Op::Embed { table, .. } => vec![table],
            Op::Norm { weight, .. } => weight.iter_mut().collect(),
            Op::Linear { weight, bias, .. } => iter::once(weight).chain(bias).collect(),
            Op::Attend { spec, .. } => spec.q_norm.iter_mut().chain(&mut spec.k_norm).collect(),
            Op::DeltaRule { conv, decay, dt_bias, norm, .. } => vec![conv, decay, dt_bias, norm],
            Op::ShortConv { conv, bias, .. } => iter::once(conv).chain(bias).collect(),
            Op::Glu { .. } => Vec::new(),
            Op::Unembed { weight, .. } => vec![weight],
        }
    }
}

/// Shapes and switches of [`Op::Attend`].
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Query heads; head `h` reads key/value head `h / (n_heads / n_kv_heads)`.
    pub n_heads: usize,
    /// Key/value heads.
    pub n_kv_heads: usize,
    /// Floats per head.
    pub head_dim: usize,
    /// RMS norm of each query head before the rope, `[head_dim]`.
    pub q_norm: Option<WeightSlot>,
    /// RMS norm of each key head before the rope, `[head_dim]`.
    pub k_norm: Option<WeightSlot>,
    /// Epsilon of both head norms.
    pub norm_eps: f32,
    /// Index in [`Program::ropes`](crate::Program); none: positions do not turn heads.
    pub rope: Option<u8>,
    /// Keys a query sees, itself included; none: all.
    pub window: Option<usize>,
    /// Factor of the scores.
    pub scale: f32,
    /// The query register holds per head `[query, gate]`; the result is multiplied by `sigmoid(gate)`.
    pub gated: bool,
}

/// Shapes of [`Op::DeltaRule`].
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaRule {
    /// Query and key heads.
    pub n_key_heads: usize,
    /// Value heads, a multiple of `n_key_heads`.
    pub n_value_heads: usize,
    /// Floats per query or key head.
    pub key_dim: usize,
    /// Floats per value head.
    pub value_dim: usize,
    /// Taps of the convolution.
    pub kernel: usize,
    /// Epsilon of the gated norm.
    pub norm_eps: f32,
    /// Which key head a value head uses.
    pub order: HeadOrder,
}

/// How value heads share key heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOrder {
    /// Value head h uses key head `h / (n_value_heads / n_key_heads)` (Hugging Face folders).
    Grouped,
    /// Value head h uses key head `h % n_key_heads` (GGUF files).
    Tiled,
}

/// Shapes of [`Op::ShortConv`].
#[derive(Clone, Debug, PartialEq)]
pub struct ShortConv {
    /// Channels.
    pub width: usize,
    /// Taps.
    pub kernel: usize,
}

/// The non-linearity of a gated feed-forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
}
