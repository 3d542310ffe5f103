//! Random changes to configs of every family: an error or a program, never a panic or an endless allocation.

use dewdrop_format::gguf::{Array, Metadata, Value as Metadatum};
use dewdrop_model::{Source, claim, compile, describe};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checkpoint::{Tensors, tensor};
use crate::hostile::llama;

/// A config that has the keys of all families.
fn config(family: usize) -> Value {
    let mut config = llama();
    for (key, value) in [
        (
            "model_type",
            json!(["llama", "mistral", "qwen2", "qwen3", "qwen3_5_text", "gemma3_text", "lfm2"][family % 7]),
        ),
        ("head_dim", json!(8)),
        ("rope_theta", json!(1e4)),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64})),
    ] {
        config[key] = value;
    }
    let own = match family % 7 {
        4 => json!({"linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 4,
            "linear_value_head_dim": 4, "full_attention_interval": 2}),
        5 => {
            json!({"sliding_window": 8, "query_pre_attn_scalar": 4, "hidden_activation": "gelu_pytorch_tanh"})
        }
        6 => json!({"conv_L_cache": 3, "full_attn_idxs": [1]}),
        _ => json!({}),
    };
    config.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    config
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0_u64..9).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_u32..63).prop_map(|bits| json!(1_u64 << bits)),
        any::<f64>().prop_map(Value::from),
        prop_oneof![
            "full_attention",
            "sliding_attention",
            "linear_attention",
            "conv",
            "yarn",
            "linear",
            "llama3",
            "[a-z]{0,4}"
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        let key = prop_oneof![
            "rope_type",
            "factor",
            "full_attention",
            "sliding_attention",
            "rope_theta",
            "beta_fast"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn tensors() -> Tensors {
    [
        "token_embd.weight",
        "model.embed_tokens.weight",
        "model.layers.0.feed_forward.w1.weight",
        "model.layers.1.feed_forward.w1.weight",
    ]
    .iter()
    .map(|name| ((*name).into(), tensor(name, &[32, 16])))
    .collect()
}

fn run(source: Source<'_>) {
    if let Ok(model) = describe(source, &tensors(), None) {
        let program = compile(&model);
        assert!(claim(&model, &program, &tensors()).is_err(), "nearly all tensors are missing");
    }
}

#[test]
fn unspoiled_configs_are_described() {
    for family in 0..7 {
        let config = config(family);
        assert!(describe(Source::HuggingFace(&config), &tensors(), None).is_ok(), "{config}");
    }
}

proptest! {
    #[test]
    fn changed_configs_never_panic(family in 0_usize..7, changes in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4)) {
        let mut config = config(family);
        for (index, value) in changes {
            let entries = config.as_object_mut().unwrap();
            let key = index.get(&entries.keys().cloned().collect::<Vec<_>>()).clone();
            entries[&key] = value;
        }
        run(Source::HuggingFace(&config));
    }

    #[test]
    fn any_json_never_panics(config in value()) {
        run(Source::HuggingFace(&config));
    }

    #[test]
    fn changed_metadata_never_panics(
        family in 0_usize..6,
        changes in prop::collection::vec((0..KEYS.len(), metadatum()), 0..6),
    ) {
        let architecture = ["llama", "qwen2", "qwen3", "qwen35", "gemma3", "lfm2"][family];
        let mut metadata = Metadata::default();
        metadata.insert("general.architecture", architecture);
        for key in KEYS {
            metadata.insert(&format!("{architecture}.{key}"), 2_u32);
        }
        metadata.insert(&format!("{architecture}.rope.scaling.type"), "yarn");
        for (index, value) in changes {
            metadata.insert(&format!("{architecture}.{}", KEYS[index]), value);
        }
        run(Source::Gguf(&metadata));
    }
}

const KEYS: &[&str] = &[
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "ssm.conv_kernel",
    "ssm.state_size",
    "ssm.group_count",
    "ssm.time_step_rank",
    "ssm.inner_size",
    "full_attention_interval",
    "nextn_predict_layers",
    "shortconv.l_cache",
];

fn metadatum() -> impl Strategy<Value = Metadatum> {
    prop_oneof![
        any::<u64>().prop_map(Metadatum::U64),
        (0_u32..5).prop_map(Metadatum::U32),
        any::<i32>().prop_map(Metadatum::I32),
        any::<f32>().prop_map(Metadatum::F32),
        any::<bool>().prop_map(Metadatum::Bool),
        prop_oneof!["none", "linear", "yarn", "x"].prop_map(Metadatum::String),
        prop::collection::vec(0_i32..9, 0..4).prop_map(|all| Metadatum::Array(Array::I32(all))),
        prop::collection::vec(any::<bool>(), 0..4).prop_map(|all| Metadatum::Array(Array::Bool(all))),
    ]
}
