//! Shapes of published models: all that decides their speed, without their weights.

use std::collections::BTreeMap;

use dewdrop_format::{BlockType, TensorInfo};
use dewdrop_model::{Descriptor, Family, Source, SourceKind, describe};
use serde_json::Value;

/// The shape of a published model.
#[derive(Debug)]
pub struct Shape {
    /// What it is called here.
    pub name: &'static str,
    /// The family, by its name in `dewdrop-model`.
    family: &'static str,
    /// What the model's `config.json` says about its text model.
    config: &'static str,
}

/// Every shape.
pub const SHAPES: &[Shape] = &[
    Shape {
        name: "qwen3-0.6b",
        family: "qwen3",
        config: r#"{ "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "num_attention_heads": 16,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936,
            "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "tie_word_embeddings": true }"#,
    },
    Shape {
        name: "qwen3-4b",
        family: "qwen3",
        config: r#"{ "model_type": "qwen3", "hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936,
            "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "tie_word_embeddings": true }"#,
    },
    Shape {
        name: "qwen3.5-0.8b",
        family: "qwen3_5",
        config: r#"{ "model_type": "qwen3_5_text", "hidden_size": 1024, "num_hidden_layers": 24,
            "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 3584,
            "vocab_size": 248320, "full_attention_interval": 4, "linear_num_key_heads": 16,
            "linear_num_value_heads": 16, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.25, "rope_theta": 10000000.0,
            "max_position_embeddings": 262144, "rms_norm_eps": 1e-6, "tie_word_embeddings": true }"#,
    },
    Shape {
        name: "qwen3.5-4b",
        family: "qwen3_5",
        config: r#"{ "model_type": "qwen3_5_text", "hidden_size": 2560, "num_hidden_layers": 32,
            "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216,
            "vocab_size": 248320, "full_attention_interval": 4, "linear_num_key_heads": 16,
            "linear_num_value_heads": 32, "linear_key_head_dim": 128, "linear_value_head_dim": 128,
            "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.25, "rope_theta": 10000000.0,
            "max_position_embeddings": 262144, "rms_norm_eps": 1e-6, "tie_word_embeddings": true }"#,
    },
    Shape {
        name: "llama-3.2-1b",
        family: "llama",
        config: r#"{ "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32,
            "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 8192, "vocab_size": 128256,
            "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
            "rope_scaling": { "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192 }, "tie_word_embeddings": true }"#,
    },
    Shape {
        name: "gemma3-270m",
        family: "gemma3",
        config: r#"{ "model_type": "gemma3_text", "hidden_size": 640, "num_hidden_layers": 18,
            "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 2048,
            "vocab_size": 262144, "sliding_window": 512, "sliding_window_pattern": 6, "query_pre_attn_scalar": 256,
            "max_position_embeddings": 32768, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
            "rope_local_base_freq": 10000.0, "tie_word_embeddings": true }"#,
    },
    Shape {
        name: "lfm2-350m",
        family: "lfm2",
        config: r#"{ "model_type": "lfm2", "hidden_size": 1024, "num_hidden_layers": 16, "num_attention_heads": 16,
            "num_key_value_heads": 8, "intermediate_size": 4608, "vocab_size": 65536,
            "full_attn_idxs": [2, 5, 8, 10, 12, 14], "conv_L_cache": 3, "conv_bias": false, "norm_eps": 1e-5,
            "rope_theta": 1000000.0, "max_position_embeddings": 128000, "tie_word_embeddings": true }"#,
    },
];

impl Shape {
    /// The shape of this name.
    pub fn named(name: &str) -> Option<&'static Shape> {
        SHAPES.iter().find(|shape| shape.name == name)
    }

    /// The model's config.
    pub(super) fn config(&self) -> Value {
        serde_json::from_str(self.config).expect("the table holds JSON")
    }

    /// The model as plain values.
    pub(super) fn descriptor(&self) -> Descriptor {
        let config = self.config();
        describe(Source::HuggingFace(&config), &self.known_tensors(&config), None)
            .expect("the table holds models that can be run")
    }

    /// The model's family.
    pub(super) fn family(&self) -> &'static Family {
        Family::named(self.family).expect("the table names families that there are")
    }

    /// Tensors whose shapes say more than configs do: some families round the width of the feed-forward.
    fn known_tensors(&self, config: &Value) -> BTreeMap<String, TensorInfo> {
        let size = |key: &str| config[key].as_u64().unwrap_or(0) as usize;
        let shape = vec![size("intermediate_size"), size("hidden_size")];
        let tensor = |layer| {
            let name = self.family().tensor_name(SourceKind::HuggingFace, Some(layer), "ffn_gate.weight");
            let (shape, block_type) = (shape.clone(), BlockType::F32);
            (name.clone(), TensorInfo { name, shape, block_type, file: 0, offset: 0, len: 0 })
        };
        (0..size("num_hidden_layers")).map(tensor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_a_model_of_its_family() {
        for shape in SHAPES {
            assert_eq!(shape.descriptor().family, shape.family, "{}", shape.name);
            assert!(shape.descriptor().tied, "{}", shape.name);
        }
        assert!(Shape::named("qwen3-0.6b").is_some() && Shape::named("qwen").is_none());
    }
}
