//! Small models of every family: sizes that divide by 256 where weights need it, and odd ones elsewhere.

use serde_json::{Value, json};

/// No multiple of any tile.
pub(crate) const N_VOCAB: u32 = 301;

/// A model, as a Hugging Face config.
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) json: fn() -> Value,
    /// Headers of tensors whose shapes tell what the config does not.
    pub(crate) headers: &'static [(&'static str, [usize; 2])],
    /// Orders that GGUF files of the family have, where they differ from those of folders.
    pub(crate) gguf_orders: bool,
}

pub(crate) const CONFIGS: &[Config] = &[
    Config { name: "llama", json: llama, headers: &[], gguf_orders: false },
    Config { name: "llama in GGUF order", json: llama, headers: &[], gguf_orders: true },
    Config { name: "qwen2", json: qwen2, headers: &[], gguf_orders: false },
    Config { name: "qwen3", json: qwen3, headers: &[], gguf_orders: false },
    Config { name: "qwen3_5", json: qwen3_5, headers: &[], gguf_orders: false },
    Config { name: "qwen3_5 in GGUF order", json: qwen3_5, headers: &[], gguf_orders: true },
    Config { name: "gemma3", json: gemma3, headers: &[], gguf_orders: false },
    Config { name: "lfm2", json: lfm2, headers: LFM2_HEADERS, gguf_orders: false },
];

/// The feed-forwards' widths.
const LFM2_HEADERS: &[(&str, [usize; 2])] = &[
    ("model.layers.0.feed_forward.w1.weight", [512, 256]),
    ("model.layers.1.feed_forward.w1.weight", [512, 256]),
];

/// Two spans in the feed-forward, a scaled rope, a head of its own.
fn llama() -> Value {
    json!({
        "model_type": "llama", "vocab_size": N_VOCAB, "hidden_size": 256, "intermediate_size": 1280,
        "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": false, "attention_bias": false, "mlp_bias": false, "rope_theta": 20000.0,
        "rope_scaling": { "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64 },
    })
}

/// Biases, three query heads a key head.
fn qwen2() -> Value {
    json!({
        "model_type": "qwen2", "vocab_size": N_VOCAB, "hidden_size": 768, "intermediate_size": 256,
        "num_hidden_layers": 1, "num_attention_heads": 12, "num_key_value_heads": 4, "hidden_act": "silu",
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
        "use_sliding_window": false, "rope_theta": 50000.0,
    })
}

/// Head norms.
fn qwen3() -> Value {
    json!({
        "model_type": "qwen3", "vocab_size": N_VOCAB, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 32,
        "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": true, "attention_bias": false, "use_sliding_window": false,
        "rope_parameters": { "rope_type": "default", "rope_theta": 1000000.0 },
        "layer_types": ["full_attention", "full_attention"],
    })
}

/// Delta rule, gated attention, a partial rope.
fn qwen3_5() -> Value {
    json!({
        "model_type": "qwen3_5_text", "vocab_size": N_VOCAB, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64,
        "hidden_act": "silu", "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": true, "attention_bias": false,
        "rope_parameters": { "rope_type": "default", "rope_theta": 10000000.0,
            "partial_rotary_factor": 0.25, "mrope_section": [4, 2, 2], "mrope_interleaved": true },
        "linear_conv_kernel_dim": 4, "linear_key_head_dim": 24, "linear_value_head_dim": 64,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "full_attention_interval": 2,
        "layer_types": ["linear_attention", "full_attention"],
    })
}

/// A sliding window, norms around everything, GELU.
fn gemma3() -> Value {
    json!({
        "model_type": "gemma3_text", "vocab_size": N_VOCAB, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 64,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": true, "attention_bias": false, "query_pre_attn_scalar": 64,
        "sliding_window": 24, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
        "sliding_window_pattern": 2,
    })
}

/// Short convolutions.
fn lfm2() -> Value {
    json!({
        "model_type": "lfm2", "vocab_size": N_VOCAB, "hidden_size": 256, "intermediate_size": 512,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "norm_eps": 1e-5, "tie_word_embeddings": true,
        "rope_parameters": { "rope_type": "default", "rope_theta": 1000000.0 },
        "conv_bias": true, "conv_L_cache": 3, "block_auto_adjust_ff_dim": false,
        "full_attn_idxs": [1], "layer_types": ["conv", "full_attention"], "block_ff_dim": 512,
    })
}
