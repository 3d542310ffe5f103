//! The keys that are read, in both spellings.

/// One fact under its names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// After the architecture and a dot, or whole if it starts with `tokenizer.`; empty: GGUF does not say.
    pub(crate) gguf: &'static str,
    /// In `config.json`; the newest spelling first.
    pub(crate) hugging_face: &'static [&'static str],
}

const fn key(gguf: &'static str, hugging_face: &'static [&'static str]) -> Key {
    Key { gguf, hugging_face }
}

/// Keys of more than one family. A family's own keys stand in its file.
pub(crate) mod keys {
    use super::{Key, key};

    pub(crate) const LAYERS: Key = key("block_count", &["num_hidden_layers"]);
    pub(crate) const DRAFT_LAYERS: Key = key("nextn_predict_layers", &["mtp_num_hidden_layers"]);
    pub(crate) const WIDTH: Key = key("embedding_length", &["hidden_size"]);
    pub(crate) const VOCABULARY: Key = key("vocab_size", &["vocab_size"]);
    pub(crate) const CONTEXT: Key = key("context_length", &["max_position_embeddings"]);
    pub(crate) const FEED_FORWARD: Key = key("feed_forward_length", &["intermediate_size", "block_ff_dim"]);
    pub(crate) const ACTIVATION: Key = key("hidden_activation", &["hidden_activation", "hidden_act"]);
    pub(crate) const HEADS: Key = key("attention.head_count", &["num_attention_heads"]);
    pub(crate) const KV_HEADS: Key = key("attention.head_count_kv", &["num_key_value_heads"]);
    pub(crate) const HEAD_DIM: Key = key("attention.key_length", &["head_dim"]);
    pub(crate) const VALUE_DIM: Key = key("attention.value_length", &[]);
    pub(crate) const NORM_EPS: Key = key("attention.layer_norm_rms_epsilon", &["rms_norm_eps", "norm_eps"]);
    pub(crate) const ATTENTION_BIAS: Key = key("", &["attention_bias"]);
    pub(crate) const FEED_FORWARD_BIAS: Key = key("", &["mlp_bias"]);
    pub(crate) const TIED: Key = key("", &["tie_word_embeddings", "tie_embedding"]);
    pub(crate) const EMBED_SCALE: Key = key("embedding_scale", &["embedding_multiplier"]);
    pub(crate) const ATTENTION_SCALE: Key = key("attention.scale", &["attention_multiplier"]);
    pub(crate) const LOGIT_SOFTCAP: Key = key("final_logit_softcapping", &["final_logit_softcapping"]);
    pub(crate) const LAYER_TYPES: Key = key("", &["layer_types"]);
    pub(crate) const WINDOW: Key = key("attention.sliding_window", &["sliding_window"]);
    pub(crate) const WINDOW_PATTERN: Key =
        key("attention.sliding_window_pattern", &["sliding_window_pattern", "_sliding_window_pattern"]);
    pub(crate) const ROPE_BASE: Key = key("rope.freq_base", &["rope_theta"]);
    pub(crate) const LOCAL_ROPE_BASE: Key = key("rope.freq_base_swa", &["rope_local_base_freq"]);
    pub(crate) const ROPE_DIM: Key = key("rope.dimension_count", &[]);
    pub(crate) const PARTIAL_ROTARY: Key = key("", &["partial_rotary_factor"]);
    pub(crate) const ORIGINAL_CONTEXT: Key =
        key("rope.scaling.original_context_length", &["original_max_position_embeddings"]);
    pub(crate) const ROPE_SCALING: Key = key("rope.scaling.type", &[]);
    pub(crate) const ROPE_FACTOR: Key = key("rope.scaling.factor", &[]);
    pub(crate) const ROPE_OLD_FACTOR: Key = key("rope.scale_linear", &[]);
    pub(crate) const ROPE_ATTENTION_FACTOR: Key = key("rope.scaling.attn_factor", &[]);
    pub(crate) const YARN_ATTENTION_FACTOR: Key = key("rope.scaling.yarn_attn_factor", &[]);
    pub(crate) const YARN_FAST: Key = key("rope.scaling.yarn_beta_fast", &[]);
    pub(crate) const YARN_SLOW: Key = key("rope.scaling.yarn_beta_slow", &[]);
    pub(crate) const EOS: Key = key("tokenizer.ggml.eos_token_id", &["eos_token_id"]);
    pub(crate) const EOT: Key = key("tokenizer.ggml.eot_token_id", &[]);
    pub(crate) const EOM: Key = key("tokenizer.ggml.eom_token_id", &[]);
}
