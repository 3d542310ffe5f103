//! Qwen 3: queries and keys normed per head, no biases, heads of their own width.

use dewdrop_backend::{Activation, Pairing};

use super::{Family, decoder, qwen2};
use crate::config::Config;
use crate::descriptor::Descriptor;
use crate::error::ModelError;
use crate::names::Names;

pub(super) static FAMILY: Family = Family {
    name: "qwen3",
    gguf: "qwen3",
    hugging_face: &["qwen3"],
    gguf_pairing: Pairing::Halves,
    norms_from_zero: false,
    activation: Activation::Silu,
    defaults: r#"{ "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 32768, "head_dim": 128 }"#,
    names: Names { gguf: &[], hugging_face: &[] },
    describe,
};

fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let mut model = decoder::describe(config)?;
    for attention in model.attentions() {
        attention.head_norms = true;
    }
    qwen2::set_windows(config, &mut model)?;
    Ok(model)
}
