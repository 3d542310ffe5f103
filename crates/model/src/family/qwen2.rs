//! Qwen 2 and 2.5: biases on queries, keys and values.

use dewdrop_backend::{Activation, Pairing};

use super::{Family, decoder};
use crate::config::{Config, Key, MAX_COUNT, MAX_LAYERS, SourceKind, keys};
use crate::descriptor::Descriptor;
use crate::error::ModelError;
use crate::names::Names;

pub(super) static FAMILY: Family = Family {
    name: "qwen2",
    gguf: "qwen2",
    hugging_face: &["qwen2"],
    gguf_pairing: Pairing::Halves,
    norms_from_zero: false,
    activation: Activation::Silu,
    defaults: r#"{ "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 32768 }"#,
    names: Names { gguf: &[], hugging_face: &[] },
    describe,
};

const USE_WINDOW: Key = Key { gguf: "", hugging_face: &["use_sliding_window"] };
const LAYERS_WITHOUT_WINDOW: Key = Key { gguf: "", hugging_face: &["max_window_layers"] };

fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let mut model = decoder::describe(config)?;
    for attention in model.attentions() {
        attention.qkv_bias = true;
        attention.output_bias = false;
    }
    set_windows(config, &mut model)?;
    Ok(model)
}

/// Published configs carry a window that they do not use.
pub(super) fn set_windows(config: &Config<'_>, model: &mut Descriptor) -> Result<(), ModelError> {
    if config.kind() == SourceKind::Gguf {
        return Ok(());
    }
    let kinds =
        config.words(&keys::LAYER_TYPES, model.layers.len(), &["full_attention", "sliding_attention"])?;
    let window = config.window(MAX_COUNT)?;
    if !config.flag(&USE_WINDOW)? {
        return Ok(());
    }
    let first = config.find(&LAYERS_WITHOUT_WINDOW).map(|found| found.count(0, MAX_LAYERS)).transpose()?;
    for (index, attention) in model.attentions().enumerate() {
        let slides = match &kinds {
            Some(kinds) => kinds[index] == "sliding_attention",
            None => index >= first.unwrap_or(usize::MAX),
        };
        attention.window = window.filter(|_| slides);
    }
    Ok(())
}
