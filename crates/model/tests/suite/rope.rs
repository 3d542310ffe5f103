//! Frequencies against values worked out by hand.

use dewdrop_backend::Rope;
use dewdrop_model::{ModelError, Source, describe};
use serde_json::{Value, json};

use crate::checkpoint::{Tensors, tensor};

/// The rope of a llama with heads of 8 and base 10,000: plain frequencies 1, 0.1, 0.01, 0.001.
fn rope(scaling: Value) -> Result<Rope, ModelError> {
    let config = json!({
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 8, "rope_scaling": scaling,
    });
    let tensors: Tensors = [("lm_head.weight".into(), tensor("lm_head.weight", &[8, 16]))].into();
    describe(Source::HuggingFace(&config), &tensors, None).map(|mut model| model.ropes.remove(0))
}

fn assert_close(rope: &Rope, frequencies: [f64; 4], factor: f32) {
    for (found, expected) in rope.frequencies.iter().zip(frequencies) {
        assert!((found / expected - 1.0).abs() < 1e-9, "{:?}", rope.frequencies);
    }
    assert_eq!((rope.frequencies.len(), rope.factor), (4, factor));
}

#[test]
fn plain_and_linear() {
    assert_close(&rope(Value::Null).unwrap(), [1.0, 0.1, 0.01, 0.001], 1.0);
    assert_close(
        &rope(json!({"type": "linear", "factor": 4.0})).unwrap(),
        [0.25, 0.025, 0.0025, 0.00025],
        1.0,
    );
}

#[test]
fn llama3_keeps_short_waves_and_mixes_the_middle() {
    // Wavelengths 6.28, 62.8, 628, 6283 against borders at 100/4 = 25 and 100/1 = 100.
    let smooth = (100.0 * 0.1 / (2.0 * std::f64::consts::PI) - 1.0) / 3.0;
    let middle = (1.0 - smooth) * 0.1 / 8.0 + smooth * 0.1;
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 100,
    });
    assert_close(&rope(scaling).unwrap(), [1.0, middle, 0.01 / 8.0, 0.001 / 8.0], 1.0);
}

#[test]
fn yarn_ramps_over_pairs_and_sharpens() {
    // Pairs at 32 and 1 turns of 1,000 positions: floor(0.698) = 0 and ceil(2.203) = 3, so the ramp is i/3.
    let scaling = json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1000});
    let mixed = |f: f64, ramp: f64| f / 4.0 * ramp + f * (1.0 - ramp);
    let expected = [1.0, mixed(0.1, 1.0 / 3.0), mixed(0.01, 2.0 / 3.0), 0.001 / 4.0];
    assert_close(&rope(scaling.clone()).unwrap(), expected, (0.1 * 4.0_f64.ln() + 1.0) as f32);
    let mut given = scaling;
    given["attention_factor"] = json!(1.5);
    assert_close(&rope(given).unwrap(), expected, 1.5);
}

#[test]
fn unknown_types_and_entries_are_refused() {
    let message = |scaling| rope(scaling).unwrap_err().to_string();
    assert!(message(json!({"rope_type": "longrope", "factor": 2.0})).contains("`\"longrope\"`"));
    let temperature = json!({"rope_type": "default", "llama_4_scaling_beta": 0.1});
    assert!(message(temperature).contains("rope_scaling.llama_4_scaling_beta"));
}
