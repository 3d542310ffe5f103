//! Everything about a model as plain values.

use dewdrop_backend::{Activation, DeltaRule, Rope, ShortConv};

use crate::config::{MAX_WIDTH, SourceKind};
use crate::error::ModelError;
use crate::rope::RopeLaw;

/// A model without its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// Name of its [`Family`](crate::Family).
    pub family: &'static str,
    /// Whose tensor names and values its file has.
    pub source: SourceKind,
    /// Floats of a token's residual stream.
    pub width: usize,
    /// Rows of the embedding table and of the head. May exceed the tokenizer's size.
    pub n_vocab: usize,
    /// Positions that the model was made for.
    pub context_len: usize,
    /// Epsilon of all norms.
    pub norm_eps: f32,
    /// Multiplies the embedding of a token.
    pub embed_scale: f32,
    /// Logits are `c * tanh(logit / c)`.
    pub logit_softcap: Option<f32>,
    /// The embedding table is also the head.
    pub tied: bool,
    /// Rotary embeddings that layers refer to by index.
    pub ropes: Vec<Rope>,
    /// What their frequencies follow from.
    pub rope_laws: Vec<RopeLaw>,
    /// In order.
    pub layers: Vec<Layer>,
    /// Blocks after the last layer that only draft (multi-token prediction). They are not run.
    pub n_draft_layers: usize,
    /// Token ids that the config says end a text, ascending.
    pub end_tokens: Vec<u32>,
}

/// One layer: a mixer over positions and a feed-forward, each with a norm before it and a residual add after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// What mixes positions.
    pub mixer: Mixer,
    /// What follows.
    pub feed_forward: FeedForward,
    /// Both also have a norm after them, before the residual add (Gemma).
    pub post_norms: bool,
}

/// What mixes positions.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixer {
    /// Softmax attention.
    Attention(Attention),
    /// Gated delta rule.
    DeltaRule(DeltaRule),
    /// Gated short convolution.
    ShortConv {
        /// Its shapes.
        spec: ShortConv,
        /// Convolution and both projections have biases.
        bias: bool,
    },
}

/// Softmax attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads, a divisor of `n_heads`.
    pub n_kv_heads: usize,
    /// Floats per head.
    pub head_dim: usize,
    /// Queries and keys are normed per head, before the rope.
    pub head_norms: bool,
    /// The query, key and value projections have biases.
    pub qkv_bias: bool,
    /// The output projection has a bias.
    pub output_bias: bool,
    /// The query projection yields `[query, gate]` per head, and the result is multiplied by `sigmoid(gate)`.
    pub gated: bool,
    /// Index in [`Descriptor::ropes`]; none: positions do not turn heads.
    pub rope: Option<u8>,
    /// Keys a query sees, itself included; none: all.
    pub window: Option<usize>,
    /// Factor of the scores.
    pub scale: f32,
}

/// A gated feed-forward: `down (activation(gate x) * up x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedForward {
    /// Floats between up and down.
    pub width: usize,
    /// The non-linearity.
    pub activation: Activation,
    /// All three projections have biases.
    pub bias: bool,
}

impl Descriptor {
    /// The attention layers, to change what a family does differently.
    pub(crate) fn attentions(&mut self) -> impl Iterator<Item = &mut Attention> {
        self.layers.iter_mut().filter_map(|layer| match &mut layer.mixer {
            Mixer::Attention(attention) => Some(attention),
            _ => None,
        })
    }

    /// Refuses sizes that do not fit each other. Limits of single numbers were checked when they were read.
    pub(crate) fn check(&self) -> Result<(), ModelError> {
        for (index, layer) in self.layers.iter().enumerate() {
            let place = |what: &str| format!("layer {index}: {what}");
            match &layer.mixer {
                Mixer::Attention(attention) => self.check_attention(attention, place)?,
                Mixer::DeltaRule(spec) => check_delta_rule(spec, place)?,
                Mixer::ShortConv { .. } => check_product(place("channels"), &[3, self.width])?,
            }
        }
        Ok(())
    }

    fn check_attention(&self, a: &Attention, place: impl Fn(&str) -> String) -> Result<(), ModelError> {
        check_multiple(place("query heads"), a.n_heads, a.n_kv_heads)?;
        check_product(place("heads x head width"), &[2, a.n_heads, a.head_dim])?;
        let Some(rope) = a.rope.and_then(|rope| self.ropes.get(usize::from(rope))) else { return Ok(()) };
        let n_turning = 2 * rope.frequencies.len();
        if n_turning == 0 || n_turning > a.head_dim {
            let expected = format!("an even number from 2 to the head width {}", a.head_dim);
            return Err(wrong(place("rotary width"), n_turning, expected));
        }
        Ok(())
    }
}

fn check_delta_rule(spec: &DeltaRule, place: impl Fn(&str) -> String) -> Result<(), ModelError> {
    check_multiple(place("value heads"), spec.n_value_heads, spec.n_key_heads)?;
    check_product(place("key heads x key width"), &[4, spec.n_key_heads, spec.key_dim])?;
    check_product(place("value heads x value width"), &[2, spec.n_value_heads, spec.value_dim])?;
    check_product(place("state of a head"), &[spec.key_dim, spec.value_dim])
}

fn check_multiple(place: String, n: usize, divisor: usize) -> Result<(), ModelError> {
    if n > 0 && divisor > 0 && n.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(wrong(place, n, format!("a multiple of the {divisor} heads that they share")))
}

/// Every buffer of a row stays below the limit of a width.
fn check_product(place: String, factors: &[usize]) -> Result<(), ModelError> {
    match factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor)) {
        Some(1..=MAX_WIDTH) => Ok(()),
        product => {
            Err(wrong(place, product.unwrap_or(usize::MAX), format!("1 to {MAX_WIDTH} floats per row")))
        }
    }
}

fn wrong(place: String, found: usize, expected: String) -> ModelError {
    ModelError::BadSizes { place, found, expected }
}
