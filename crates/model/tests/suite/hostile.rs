//! Configs that lie, are damaged, or ask for what is not known: an error that names the key, never a guess.

use dewdrop_format::gguf::{Array, Metadata, Value as Metadatum};
use dewdrop_model::{ModelError, Source, claim, compile, describe};
use serde_json::{Value, json};

use crate::checkpoint::{Tensors, tensor, tensors_of};

pub(crate) fn llama() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 32, "hidden_act": "silu",
        "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "eos_token_id": 2,
    })
}

/// The whole way, with the tensors that the config itself asks for.
fn run(config: &Value) -> Result<(), ModelError> {
    let model = describe(Source::HuggingFace(config), &Tensors::new(), None)?;
    claim(&model, &compile(&model), &tensors_of(&model)).map(|_| ())
}

#[test]
fn the_config_that_the_tables_spoil_is_fine() {
    assert_eq!(run(&llama()), Ok(()));
    let mut eos = llama();
    eos["eos_token_id"] = json!([7, 2, 7]);
    let model = describe(Source::HuggingFace(&eos), &Tensors::new(), None).unwrap();
    assert_eq!(model.end_tokens, [2, 7]);
}

#[test]
fn spoiled_configs_name_the_key() {
    let cases = [
        ("model_type", json!("gemma9"), "known: llama"),
        ("model_type", json!(3), "model_type"),
        ("hidden_size", json!(0), "`hidden_size`: found `0`"),
        ("hidden_size", json!(-16), "`hidden_size`"),
        ("hidden_size", json!(16.5), "`hidden_size`"),
        ("hidden_size", json!("16"), "`hidden_size`"),
        ("hidden_size", json!(u64::MAX), "`hidden_size`"),
        ("hidden_size", Value::Null, "`hidden_size` is missing"),
        ("num_hidden_layers", json!(4_000_000_000_u64), "`num_hidden_layers`"),
        ("num_attention_heads", json!(0), "query heads"),
        ("num_attention_heads", json!(3), "rotary width"),
        ("num_attention_heads", json!(17), "head width"),
        ("num_key_value_heads", json!(0), "query heads"),
        ("num_key_value_heads", json!(3), "query heads"),
        ("num_key_value_heads", json!([2]), "`num_key_value_heads`"),
        ("head_dim", json!(1 << 22), "heads x head width"),
        ("head_dim", json!(7), "rotary width"),
        ("intermediate_size", json!([24, 0]), "`intermediate_size`"),
        ("vocab_size", json!(1_u64 << 60), "`vocab_size`"),
        ("rms_norm_eps", json!(0), "`rms_norm_eps`"),
        ("rms_norm_eps", json!(-1.0), "`rms_norm_eps`"),
        ("rope_theta", json!(-1), "`rope_theta`"),
        ("rope_theta", json!("big"), "`rope_theta`"),
        ("rope_scaling", json!({"rope_type": "dynamic", "factor": 2.0}), "rope_type"),
        ("rope_scaling", json!({"rope_type": "linear"}), "`rope_scaling.factor` is missing"),
        ("rope_scaling", json!({"rope_type": "linear", "factor": 0}), "`rope_scaling.factor`"),
        ("rope_scaling", json!({"rope_type": "llama3", "factor": 8}), "low_freq_factor"),
        ("rope_scaling", json!("linear"), "`rope_scaling`"),
        ("rope_parameters", json!({"full_attention": 3}), "rope_parameters.full_attention"),
        ("partial_rotary_factor", json!(1.5), "partial_rotary_factor"),
        ("partial_rotary_factor", json!(1e-9), "rotary width"),
        ("hidden_act", json!("relu"), "`hidden_act`"),
        ("sliding_window", json!(16), "`sliding_window`"),
        ("layer_types", json!(["full_attention", "chunked_attention"]), "chunked_attention"),
        ("layer_types", json!(["full_attention"]), "one per layer"),
        ("attn_logit_softcapping", json!(50.0), "`attn_logit_softcapping`"),
        ("final_logit_softcapping", json!(-5.0), "`final_logit_softcapping`"),
        ("residual_multiplier", json!(0.2), "`residual_multiplier`"),
        ("no_rope_layers", json!([1, 0]), "`no_rope_layers`"),
        ("num_local_experts", json!(8), "`num_local_experts`"),
        ("quantization_config", json!({"quant_method": "fp8"}), "packed weights"),
        ("eos_token_id", json!("</s>"), "`eos_token_id`"),
        ("text_config", json!({"model_type": "llama", "hidden_size": 0}), "`hidden_size`"),
    ];
    for (key, value, expected) in cases {
        let mut config = llama();
        config[key] = value.clone();
        let message = run(&config).expect_err(&format!("{key} = {value}")).to_string();
        assert!(message.contains(expected), "{key} = {value}: {message}");
    }
}

#[test]
fn keys_that_say_nothing_pass() {
    for (key, value) in [
        ("residual_multiplier", json!(1.0)),
        ("quantization_config", Value::Null),
        ("attention_bias", json!(false)),
        ("no_rope_layers", json!([])),
        ("rope_scaling", json!({"rope_type": "default"})),
        ("layer_types", json!(["full_attention", "full_attention"])),
        ("pretraining_tp", json!(2)),
    ] {
        let mut config = llama();
        config[key] = value;
        assert_eq!(run(&config), Ok(()), "{key}");
    }
}

fn metadata() -> Metadata {
    let mut all = Metadata::default();
    all.insert("general.architecture", "llama");
    for (key, number) in [
        ("block_count", 2_u32),
        ("context_length", 64),
        ("embedding_length", 16),
        ("feed_forward_length", 24),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
        ("rope.dimension_count", 4),
        ("vocab_size", 99),
    ] {
        all.insert(&format!("llama.{key}"), number);
    }
    all.insert("llama.attention.layer_norm_rms_epsilon", 1e-5_f32);
    all
}

fn run_metadata(metadata: &Metadata) -> Result<(), ModelError> {
    let table: Tensors = [("token_embd.weight".into(), tensor("token_embd.weight", &[32, 16]))].into();
    let model = describe(Source::Gguf(metadata), &table, None)?;
    claim(&model, &compile(&model), &tensors_of(&model)).map(|_| ())
}

#[test]
fn spoiled_metadata_names_the_key() {
    assert_eq!(run_metadata(&metadata()), Ok(()));
    let cases: [(&str, Metadatum, &str); 13] = [
        ("llama.block_count", Metadatum::I32(-2), "`llama.block_count`"),
        ("llama.block_count", Metadatum::U64(u64::MAX), "`llama.block_count`"),
        ("llama.attention.head_count_kv", Metadatum::Array(Array::I32(vec![2])), "head_count_kv"),
        ("llama.attention.value_length", Metadatum::U32(8), "`llama.attention.value_length`"),
        ("llama.attention.layer_norm_rms_epsilon", Metadatum::F32(f32::NAN), "layer_norm_rms_epsilon"),
        ("llama.rope.scaling.type", "longrope".into(), "longrope"),
        ("llama.rope.scaling.type", "yarn".into(), "`llama.rope.scaling.factor` is missing"),
        ("llama.rope.dimension_count", Metadatum::U32(5), "`llama.rope.dimension_count`"),
        ("llama.rope.dimension_count", Metadatum::U32(3), "rotary width"),
        ("llama.expert_count", Metadatum::U32(8), "`llama.expert_count`"),
        ("llama.attention.causal", false.into(), "`llama.attention.causal`"),
        ("llama.nextn_predict_layers", Metadatum::U32(2), "nextn_predict_layers"),
        ("llama.something_new", Metadatum::F32(0.5), "`llama.something_new`"),
    ];
    for (key, value, expected) in cases {
        let mut spoiled = metadata();
        spoiled.insert(key, value.clone());
        let message = run_metadata(&spoiled).expect_err(&format!("{key} = {value:?}")).to_string();
        assert!(message.contains(expected), "{key} = {value:?}: {message}");
    }
}

#[test]
fn any_integer_type_and_lists_pass() {
    let mut odd = metadata();
    odd.insert("llama.block_count", Metadatum::I8(2));
    odd.insert("llama.attention.head_count", Metadatum::Array(Array::I32(vec![4, 2])));
    odd.insert("llama.attention.key_length", Metadatum::I64(4));
    odd.insert("llama.feed_forward_length", Metadatum::Array(Array::U16(vec![24, 8])));
    odd.insert("llama.attention.causal", true);
    odd.insert("llama.rope.scaling.finetuned", true);
    assert_eq!(run_metadata(&odd), Ok(()));
}

#[test]
fn tensors_are_claimed_or_refused_by_name() {
    let model = describe(Source::HuggingFace(&llama()), &Tensors::new(), None).unwrap();
    let program = compile(&model);
    let claimed = |change: &dyn Fn(&mut Tensors)| {
        let mut tensors = tensors_of(&model);
        change(&mut tensors);
        claim(&model, &program, &tensors).map_err(|error| error.to_string())
    };
    let add = |tensors: &mut Tensors, name: &str| drop(tensors.insert(name.into(), tensor(name, &[4])));

    let missing = claimed(&|tensors| drop(tensors.remove("model.layers.1.mlp.up_proj.weight"))).unwrap_err();
    assert!(
        missing.contains("`model.layers.1.mlp.up_proj.weight` is missing, expected shape [24, 16]"),
        "{missing}"
    );
    let wrong = claimed(&|tensors| add(tensors, "model.norm.weight")).unwrap_err();
    assert!(wrong.contains("found shape [4], expected [16]"), "{wrong}");
    let unknown = claimed(&|tensors| add(tensors, "model.layers.0.self_attn.q_proj.bias")).unwrap_err();
    assert!(unknown.contains("`model.layers.0.self_attn.q_proj.bias` [4]"), "{unknown}");
    let twice = claimed(&|tensors| add(tensors, "model.language_model.norm.weight")).unwrap_err();
    assert!(twice.contains("same weight"), "{twice}");

    let known = ["vision_tower.x", "model.layers.0.self_attn.rotary_emb.inv_freq", "lm_head.weight"];
    let claims = claimed(&|tensors| known.iter().for_each(|name| add(tensors, name))).unwrap();
    assert_eq!(claims.unused.len(), known.len());
}

#[test]
fn packed_norms_and_broken_rows_are_refused() {
    use dewdrop_format::BlockType;
    let model = describe(Source::HuggingFace(&llama()), &Tensors::new(), None).unwrap();
    let program = compile(&model);
    for (name, block_type) in
        [("model.norm.weight", BlockType::Q8_0), ("model.embed_tokens.weight", BlockType::Q4K)]
    {
        let mut tensors = tensors_of(&model);
        tensors.get_mut(name).unwrap().block_type = block_type;
        match claim(&model, &program, &tensors) {
            Err(ModelError::TensorType { tensor, .. }) => assert_eq!(tensor, name),
            other => panic!("{other:?}"),
        }
    }
}
