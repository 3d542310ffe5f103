//! The plain decoder that families start from: attention over all positions, a gated feed-forward, norms before both.

use dewdrop_backend::Activation;

use crate::config::{Config, MAX_COUNT, MAX_HEADS, MAX_LAYERS, MAX_WIDTH, SourceKind, keys};
use crate::descriptor::{Attention, Descriptor, FeedForward, Layer, Mixer};
use crate::error::ModelError;
use crate::rope::{self, Reach};

/// Everything that a config says in the same words in all families.
pub(super) fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let width = config.count(&keys::WIDTH, MAX_WIDTH)?;
    let (n_layers, n_draft_layers) = layer_counts(config)?;
    let attentions = attentions(config, width, n_layers)?;
    let head_dim = attentions[0].head_dim;
    let (rope, law) = rope::read(config, Reach::Full, head_dim)?;
    let feed_forwards = feed_forwards(config, n_layers)?;
    let layer = |(attention, feed_forward)| Layer {
        mixer: Mixer::Attention(attention),
        feed_forward,
        post_norms: false,
    };
    Ok(Descriptor {
        family: config.family().name,
        source: config.kind(),
        width,
        n_vocab: n_vocab(config)?,
        context_len: config.count(&keys::CONTEXT, MAX_COUNT)?,
        norm_eps: norm_eps(config)?,
        embed_scale: config.positive_if_set(&keys::EMBED_SCALE)?.unwrap_or(1.0) as f32,
        logit_softcap: config.positive_if_set(&keys::LOGIT_SOFTCAP)?.map(|cap| cap as f32),
        tied: is_tied(config)?,
        ropes: vec![rope],
        rope_laws: vec![law],
        layers: attentions.into_iter().zip(feed_forwards).map(layer).collect(),
        n_draft_layers,
        end_tokens: config.end_tokens()?,
    })
}

/// Layers that run, and layers after them that only draft. GGUF counts both together.
fn layer_counts(config: &Config<'_>) -> Result<(usize, usize), ModelError> {
    let n_all = config.count(&keys::LAYERS, MAX_LAYERS)?;
    let n_draft =
        config.find(&keys::DRAFT_LAYERS).map(|found| found.count(0, MAX_LAYERS)).transpose()?.unwrap_or(0);
    match config.kind() {
        SourceKind::HuggingFace => Ok((n_all, n_draft)),
        SourceKind::Gguf if n_draft < n_all => Ok((n_all - n_draft, n_draft)),
        SourceKind::Gguf => Err(ModelError::BadValue {
            key: config.spelling(&keys::DRAFT_LAYERS),
            found: n_draft.to_string(),
            expected: format!("less than the {n_all} blocks of which they are a part"),
        }),
    }
}

fn attentions(config: &Config<'_>, width: usize, n_layers: usize) -> Result<Vec<Attention>, ModelError> {
    let n_heads = config.per_layer(&keys::HEADS, n_layers, MAX_HEADS)?;
    let n_heads =
        n_heads.ok_or_else(|| ModelError::missing(config.spelling(&keys::HEADS), "a number of heads"))?;
    let n_kv_heads =
        config.per_layer(&keys::KV_HEADS, n_layers, MAX_HEADS)?.unwrap_or_else(|| n_heads.clone());
    let most_heads = n_heads.iter().copied().max().unwrap_or(0).max(1);
    let head_dim = match config.count_if_set(&keys::HEAD_DIM, MAX_WIDTH)? {
        Some(head_dim) => head_dim,
        None => width / most_heads,
    };
    check_value_dim(config, head_dim)?;
    let scale = config.positive_if_set(&keys::ATTENTION_SCALE)?;
    let attention = Attention {
        n_heads: 0,
        n_kv_heads: 0,
        head_dim,
        head_norms: false,
        qkv_bias: has_bias(config, &keys::ATTENTION_BIAS, "attn_q.bias")?,
        output_bias: has_bias(config, &keys::ATTENTION_BIAS, "attn_output.bias")?,
        gated: false,
        rope: Some(0),
        window: None,
        scale: scale.unwrap_or_else(|| 1.0 / (head_dim as f64).sqrt()) as f32,
    };
    let of_layer = |(n_heads, n_kv_heads)| Attention { n_heads, n_kv_heads, ..attention.clone() };
    Ok(n_heads.into_iter().zip(n_kv_heads).map(of_layer).collect())
}

fn check_value_dim(config: &Config<'_>, head_dim: usize) -> Result<(), ModelError> {
    match config.find(&keys::VALUE_DIM) {
        Some(found) if found.count(1, MAX_WIDTH)? != head_dim => {
            Err(found.bad(format!("{head_dim}, the width of keys")))
        }
        _ => Ok(()),
    }
}

fn feed_forwards(config: &Config<'_>, n_layers: usize) -> Result<Vec<FeedForward>, ModelError> {
    let activation = activation(config)?;
    let bias = has_bias(config, &keys::FEED_FORWARD_BIAS, "ffn_up.bias")?;
    let widths = config.per_layer(&keys::FEED_FORWARD, n_layers, MAX_WIDTH)?;
    let widths = widths.filter(|widths| !widths.contains(&0));
    let widths = widths
        .ok_or_else(|| ModelError::missing(config.spelling(&keys::FEED_FORWARD), "a width of at least 1"))?;
    Ok(widths.into_iter().map(|width| FeedForward { width, activation, bias }).collect())
}

fn activation(config: &Config<'_>) -> Result<Activation, ModelError> {
    let Some(found) = config.find(&keys::ACTIVATION) else { return Ok(config.family().activation) };
    match found.text()? {
        "silu" | "swish" => Ok(Activation::Silu),
        // Two names of one formula.
        "gelu_pytorch_tanh" | "gelu_new" => Ok(Activation::GeluTanh),
        _ => Err(ModelError::unsupported(&found.key, &found.value, " (known: silu, gelu_pytorch_tanh)")),
    }
}

/// A folder says by a flag whether there are biases, a GGUF file by having them.
fn has_bias(config: &Config<'_>, flag: &crate::config::Key, role: &str) -> Result<bool, ModelError> {
    match config.kind() {
        SourceKind::Gguf => Ok(config.tensor(Some(0), role).is_some()),
        SourceKind::HuggingFace => config.flag(flag),
    }
}

/// GGUF files say the vocabulary by their table alone; the key, where there is one, is not always right.
fn n_vocab(config: &Config<'_>) -> Result<usize, ModelError> {
    let said = config.count_if_set(&keys::VOCABULARY, MAX_COUNT)?;
    match (config.kind(), said) {
        (SourceKind::HuggingFace, Some(n_vocab)) => Ok(n_vocab),
        _ => config.n_out(None, "token_embd.weight", MAX_COUNT),
    }
}

fn norm_eps(config: &Config<'_>) -> Result<f32, ModelError> {
    let eps = config.positive_if_set(&keys::NORM_EPS)?;
    eps.map(|eps| eps as f32)
        .ok_or_else(|| ModelError::missing(config.spelling(&keys::NORM_EPS), "a number above 0"))
}

fn is_tied(config: &Config<'_>) -> Result<bool, ModelError> {
    let has_head = config.tensor(None, "output.weight").is_some();
    Ok(match config.kind() {
        SourceKind::Gguf => !has_head,
        SourceKind::HuggingFace => config.flag_anywhere(&keys::TIED)? || !has_head,
    })
}
