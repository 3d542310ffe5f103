//! Keys that change the mathematics although no family here knows them.
//!
//! The metadata of a GGUF file under the architecture's name is nearly all mathematics, so what nobody has read and
//! what is not known to be harmless refuses the file. A `config.json` is full of keys that mean nothing when running, so
//! there the keys that matter are listed.

use std::collections::BTreeSet;

use dewdrop_format::gguf::Metadata;
use serde_json::{Map, Value};

use super::metadata::to_json;
use crate::error::ModelError;

/// Keys after the architecture's name that do not change what is computed.
const HARMLESS: &[&str] = &[
    "vocab_size",
    "tensor_data_layout",
    "rope.scaling.finetuned",
    // Three equal streams of positions, as text has, make the sections irrelevant.
    "rope.dimension_sections",
    // These concern yarn, which reads them.
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    // Said by the token list of the file's tokenizer.
    "decoder_start_token_id",
    // How embeddings of whole texts are taken, which is not done here.
    "pooling_type",
    // The mean of a norm without a mean.
    "attention.layer_norm_epsilon",
];

/// Keys of `config.json` that must be absent, null, false, 0 or empty unless the family reads them.
const MATTERS: &[&str] = &[
    "quantization",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "use_bidirectional_attention",
    "query_pre_attn_scalar",
    "clip_qkv",
    "qk_layernorm",
    "use_qk_norm",
    "qk_norm",
    "use_parallel_residual",
    "parallel_attn",
    "alibi",
    "no_rope_layers",
    "no_rope_layer_interval",
    "rope_local_base_freq",
    "rope_interleave",
    "rope_scaling",
    "rope_parameters",
    "layer_types",
    "sliding_window",
    "sliding_window_pattern",
    "full_attention_interval",
    "full_attn_idxs",
    "linear_num_key_heads",
    "linear_num_value_heads",
    "conv_L_cache",
    "conv_bias",
    "attention_bias",
    "attention_out_bias",
    "use_qkv_bias",
    "mlp_bias",
    "use_bias",
    "num_experts",
    "num_local_experts",
    "n_routed_experts",
    "enable_moe_block",
    "num_kv_shared_layers",
    "hidden_size_per_layer_input",
    "attention_k_eq_v",
    "use_double_wide_mlp",
    "kv_lora_rank",
    "q_lora_rank",
    "attn_temperature_tuning",
    "attention_chunk_size",
    "lm_head_bias",
    "use_mup",
];

/// The same for keys that multiply, where 1 says nothing either.
const MULTIPLIES: &[&str] = &[
    "embedding_multiplier",
    "residual_multiplier",
    "attention_multiplier",
    "logits_scaling",
    "logit_scale",
    "lm_head_multiplier",
    "partial_rotary_factor",
    "scale_depth",
    "scale_emb",
];

/// The way weights are packed, which decides what their bytes mean.
const PACKED: &[&str] = &["quantization_config", "compression_config"];

pub(super) fn check_metadata(
    metadata: &Metadata,
    architecture: &str,
    read: &BTreeSet<String>,
) -> Result<(), ModelError> {
    for (key, value) in metadata.iter() {
        let own = key.strip_prefix(architecture).and_then(|rest| rest.strip_prefix('.'));
        let Some(own) = own.filter(|own| !HARMLESS.contains(own) && !read.contains(key)) else { continue };
        let value = to_json(value);
        let is_usual = match own {
            "attention.causal" => value == true,
            _ if own.ends_with("scale") || own.ends_with("factor") => {
                matches!(value.as_f64(), Some(0.0 | 1.0))
            }
            _ => says_nothing(&value),
        };
        if !is_usual {
            return Err(ModelError::unsupported(key, &value, ""));
        }
    }
    Ok(())
}

pub(super) fn check_json(level: &Map<String, Value>, read: &BTreeSet<String>) -> Result<(), ModelError> {
    for (key, value) in level {
        let name = key.as_str();
        if PACKED.contains(&name) && !value.is_null() {
            let hint = " (packed weights: convert from the original checkpoint, or use a GGUF file)";
            return Err(ModelError::unsupported(key, value, hint));
        }
        let neutral = says_nothing(value) || (MULTIPLIES.contains(&name) && value.as_f64() == Some(1.0));
        let matters = MATTERS.contains(&name) || MULTIPLIES.contains(&name);
        if matters && !neutral && !read.contains(key) {
            return Err(ModelError::unsupported(key, value, ""));
        }
    }
    Ok(())
}

/// Absent, off, none, empty.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "none",
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}
