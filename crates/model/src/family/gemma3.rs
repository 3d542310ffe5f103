//! Gemma 3 (text): norms on both sides, windows in five of six layers, a rope for either kind, a scaled embedding.

use dewdrop_backend::{Activation, Pairing};
use serde_json::Value;

use super::{Family, decoder};
use crate::config::{Config, Key, MAX_COUNT, MAX_LAYERS, SourceKind, keys};
use crate::descriptor::{Attention, Descriptor};
use crate::error::ModelError;
use crate::names::Names;
use crate::rope::{self, Reach};

pub(super) static FAMILY: Family = Family {
    name: "gemma3",
    gguf: "gemma3",
    hugging_face: &["gemma3_text", "gemma3"],
    gguf_pairing: Pairing::Halves,
    norms_from_zero: true,
    activation: Activation::GeluTanh,
    defaults: r#"{ "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 131072,
        "sliding_window_pattern": 6, "tie_word_embeddings": true }"#,
    names: Names {
        gguf: &[],
        hugging_face: &[
            ("post_attention_norm", "post_attention_layernorm"),
            ("ffn_norm", "pre_feedforward_layernorm"),
            ("post_ffw_norm", "post_feedforward_layernorm"),
        ],
    },
    describe,
};

const QUERY_SCALAR: Key = Key { gguf: "", hugging_face: &["query_pre_attn_scalar"] };
/// Every so many layers one sees all positions.
const DEFAULT_PERIOD: usize = 6;
/// Layers of the 27B model, whose scale GGUF files do not say: it follows from the width, not from the heads.
const LAYERS_OF_27B: usize = 62;

fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let mut model = decoder::describe(config)?;
    let head_dim = model.attentions().next().map_or(0, |attention| attention.head_dim);
    let (local_rope, local_law) = rope::read(config, Reach::Sliding, head_dim)?;
    model.ropes.push(local_rope);
    model.rope_laws.push(local_law);
    model.embed_scale = (model.width as f64).sqrt() as f32;
    let n_layers = model.layers.len();
    let width = model.width;
    let window = config.window(MAX_COUNT)?;
    let slides = sliding_layers(config, n_layers)?;
    for layer in &mut model.layers {
        layer.post_norms = true;
    }
    for (attention, slides) in model.attentions().zip(slides) {
        attention.head_norms = true;
        attention.scale = scale(config, attention, width, n_layers)?;
        // A rope of its own belongs to a layer that slides, even where the window is off.
        attention.rope = Some(u8::from(slides));
        attention.window = window.filter(|_| slides);
    }
    Ok(model)
}

fn scale(
    config: &Config<'_>,
    attention: &Attention,
    width: usize,
    n_layers: usize,
) -> Result<f32, ModelError> {
    let divisor = match config.positive_if_set(&QUERY_SCALAR)? {
        Some(scalar) => scalar,
        None if config.find(&keys::ATTENTION_SCALE).is_some() => return Ok(attention.scale),
        None if n_layers == LAYERS_OF_27B => (width / attention.n_heads.max(1)) as f64,
        None => attention.head_dim as f64,
    };
    Ok((1.0 / divisor.sqrt()) as f32)
}

fn sliding_layers(config: &Config<'_>, n_layers: usize) -> Result<Vec<bool>, ModelError> {
    let words = config.words(&keys::LAYER_TYPES, n_layers, &["full_attention", "sliding_attention"])?;
    let pattern = config.find(&keys::WINDOW_PATTERN);
    if config.kind() == SourceKind::Gguf && config.window(MAX_COUNT)?.is_none() {
        return Ok(vec![false; n_layers]);
    }
    if let Some(words) = words {
        return Ok(words.iter().map(|&word| word == "sliding_attention").collect());
    }
    if config.kind() == SourceKind::Gguf
        && matches!(&pattern, Some(found) if matches!(found.value, Value::Array(_)))
    {
        return Ok(config.flags(&keys::WINDOW_PATTERN, n_layers)?.unwrap_or_default());
    }
    let period = pattern.map(|found| found.count(1, MAX_LAYERS)).transpose()?.unwrap_or(DEFAULT_PERIOD);
    Ok((0..n_layers).map(|layer| (layer + 1) % period != 0).collect())
}
