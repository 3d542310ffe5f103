//! Qwen 3.5 (text): three layers of gated delta rule to one of gated attention.

use dewdrop_backend::{Activation, DeltaRule, HeadOrder, Pairing};

use super::{Family, decoder};
use crate::config::{Config, Key, MAX_HEADS, MAX_LAYERS, MAX_WIDTH, SourceKind, keys};
use crate::descriptor::{Descriptor, Mixer};
use crate::error::ModelError;
use crate::names::Names;

pub(super) static FAMILY: Family = Family {
    name: "qwen3_5",
    gguf: "qwen35",
    hugging_face: &["qwen3_5_text", "qwen3_5"],
    gguf_pairing: Pairing::Halves,
    norms_from_zero: true,
    activation: Activation::Silu,
    defaults: r#"{ "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 32768, "head_dim": 256,
        "partial_rotary_factor": 0.25, "linear_conv_kernel_dim": 4 }"#,
    names: Names {
        gguf: &[("ffn_norm", "post_attention_norm")],
        hugging_face: &[
            ("attn_qkv", "linear_attn.in_proj_qkv"),
            ("attn_gate", "linear_attn.in_proj_z"),
            ("ssm_beta", "linear_attn.in_proj_b"),
            ("ssm_alpha", "linear_attn.in_proj_a"),
            ("ssm_conv1d", "linear_attn.conv1d"),
            ("ssm_a", "linear_attn.A_log"),
            ("ssm_dt.bias", "linear_attn.dt_bias"),
            ("ssm_norm", "linear_attn.norm"),
            ("ssm_out", "linear_attn.out_proj"),
        ],
    },
    describe,
};

const INTERVAL: Key = Key { gguf: "full_attention_interval", hugging_face: &["full_attention_interval"] };
/// Every so many layers one has attention.
const DEFAULT_INTERVAL: usize = 4;
const RECURRENT: Key = Key { gguf: "attention.recurrent_layers", hugging_face: &[] };
const GATED: Key = Key { gguf: "", hugging_face: &["attn_output_gate"] };
const KERNEL: Key = Key { gguf: "ssm.conv_kernel", hugging_face: &["linear_conv_kernel_dim"] };
const KEY_HEADS: Key = Key { gguf: "ssm.group_count", hugging_face: &["linear_num_key_heads"] };
const VALUE_HEADS: Key = Key { gguf: "ssm.time_step_rank", hugging_face: &["linear_num_value_heads"] };
const KEY_DIM: Key = Key { gguf: "ssm.state_size", hugging_face: &["linear_key_head_dim"] };
const VALUE_DIM: Key = Key { gguf: "", hugging_face: &["linear_value_head_dim"] };
const INNER: Key = Key { gguf: "ssm.inner_size", hugging_face: &[] };

fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let mut model = decoder::describe(config)?;
    if let Some(gated) = config.find(&GATED)
        && !gated.flag()?
    {
        return Err(gated.bad("true: attention of this family is always gated"));
    }
    let delta_rule = delta_rule(config, model.norm_eps)?;
    let recurrent = recurrent_layers(config, model.layers.len())?;
    for (layer, recurrent) in model.layers.iter_mut().zip(recurrent) {
        match &mut layer.mixer {
            mixer if recurrent => *mixer = Mixer::DeltaRule(delta_rule.clone()),
            Mixer::Attention(attention) => (attention.head_norms, attention.gated) = (true, true),
            _ => {}
        }
    }
    Ok(model)
}

fn recurrent_layers(config: &Config<'_>, n_layers: usize) -> Result<Vec<bool>, ModelError> {
    let words = config.words(&keys::LAYER_TYPES, n_layers, &["linear_attention", "full_attention"])?;
    let flags = config.flags(&RECURRENT, n_layers)?;
    let interval = config.count_if_set(&INTERVAL, MAX_LAYERS)?.unwrap_or(DEFAULT_INTERVAL);
    Ok(match (words, flags) {
        (Some(words), _) => words.iter().map(|&word| word == "linear_attention").collect(),
        (None, Some(flags)) => flags,
        (None, None) => (0..n_layers).map(|layer| (layer + 1) % interval != 0).collect(),
    })
}

fn delta_rule(config: &Config<'_>, norm_eps: f32) -> Result<DeltaRule, ModelError> {
    let n_value_heads = config.count(&VALUE_HEADS, MAX_HEADS)?;
    let (value_dim, order) = match config.kind() {
        SourceKind::HuggingFace => (config.count(&VALUE_DIM, MAX_WIDTH)?, HeadOrder::Grouped),
        SourceKind::Gguf => (gguf_value_dim(config, n_value_heads)?, HeadOrder::Tiled),
    };
    Ok(DeltaRule {
        n_key_heads: config.count(&KEY_HEADS, MAX_HEADS)?,
        n_value_heads,
        key_dim: config.count(&KEY_DIM, MAX_WIDTH)?,
        value_dim,
        // A tap per input, of which a state keeps all but the present one.
        kernel: config.count(&KERNEL, MAX_HEADS)?,
        norm_eps,
        order,
    })
}

/// GGUF files give the width of all value heads together.
fn gguf_value_dim(config: &Config<'_>, n_value_heads: usize) -> Result<usize, ModelError> {
    let inner = config.count(&INNER, MAX_WIDTH)?;
    if inner.is_multiple_of(n_value_heads) {
        return Ok(inner / n_value_heads);
    }
    let (key, expected) = (config.spelling(&INNER), format!("a multiple of the {n_value_heads} value heads"));
    Err(ModelError::BadValue { key, found: inner.to_string(), expected })
}
