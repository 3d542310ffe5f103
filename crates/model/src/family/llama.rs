//! Llama 2 and 3, SmolLM, TinyLlama, and Mistral, which only adds a window.

use dewdrop_backend::{Activation, Pairing};

use super::{Family, decoder};
use crate::config::{Config, MAX_COUNT, keys};
use crate::descriptor::Descriptor;
use crate::error::ModelError;
use crate::names::Names;

pub(super) static FAMILY: Family = Family {
    name: "llama",
    gguf: "llama",
    hugging_face: &["llama", "mistral"],
    gguf_pairing: Pairing::Adjacent,
    norms_from_zero: false,
    activation: Activation::Silu,
    defaults: r#"{ "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 2048 }"#,
    names: Names { gguf: &[], hugging_face: &[] },
    describe,
};

fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let mut model = decoder::describe(config)?;
    // Llama itself knows no window: where its config has one, it is refused.
    let is_llama = config.model_type() == Some("llama");
    let known = if is_llama { &["full_attention"][..] } else { &["full_attention", "sliding_attention"] };
    let kinds = config.words(&keys::LAYER_TYPES, model.layers.len(), known)?;
    let window = if is_llama { None } else { config.window(MAX_COUNT)? };
    for (index, attention) in model.attentions().enumerate() {
        let slides = kinds.as_ref().is_none_or(|kinds| kinds[index] == "sliding_attention");
        attention.window = window.filter(|_| slides);
    }
    Ok(model)
}
