//! LFM2: gated short convolutions, with attention in some layers.

use dewdrop_backend::{Activation, Pairing, ShortConv};
use serde_json::Value;

use super::{Family, decoder};
use crate::config::{Config, Key, MAX_HEADS, MAX_WIDTH, SourceKind, keys};
use crate::descriptor::{Descriptor, Mixer};
use crate::error::ModelError;
use crate::names::Names;

pub(super) static FAMILY: Family = Family {
    name: "lfm2",
    gguf: "lfm2",
    hugging_face: &["lfm2"],
    gguf_pairing: Pairing::Halves,
    norms_from_zero: false,
    activation: Activation::Silu,
    defaults: r#"{ "norm_eps": 1e-5, "rope_theta": 1000000.0, "max_position_embeddings": 128000,
        "tie_word_embeddings": true, "conv_L_cache": 3 }"#,
    names: Names {
        gguf: &[("output_norm", "token_embd_norm"), ("output_norm", "output_norm")],
        hugging_face: &[
            ("output_norm", "model.embedding_norm"),
            ("attn_norm", "operator_norm"),
            ("attn_output", "self_attn.out_proj"),
            ("attn_q_norm", "self_attn.q_layernorm"),
            ("attn_k_norm", "self_attn.k_layernorm"),
            ("ffn_norm", "ffn_norm"),
            ("ffn_gate", "feed_forward.w1"),
            ("ffn_up", "feed_forward.w3"),
            ("ffn_down", "feed_forward.w2"),
            ("shortconv.in_proj", "conv.in_proj"),
            ("shortconv.conv", "conv.conv"),
            ("shortconv.out_proj", "conv.out_proj"),
        ],
    },
    describe,
};

const KERNEL: Key = Key { gguf: "shortconv.l_cache", hugging_face: &["conv_L_cache"] };
const CONV_BIAS: Key = Key { gguf: "", hugging_face: &["conv_bias"] };
const FULL_LAYERS: Key = Key { gguf: "", hugging_face: &["full_attn_idxs"] };

fn describe(config: &Config<'_>) -> Result<Descriptor, ModelError> {
    let mut model = decoder::describe(config)?;
    let spec = ShortConv { width: model.width, kernel: config.count(&KERNEL, MAX_HEADS)? };
    let bias = match config.kind() {
        SourceKind::Gguf => config.tensor(Some(0), "shortconv.in_proj.bias").is_some(),
        SourceKind::HuggingFace => config.flag(&CONV_BIAS)?,
    };
    let convolves = convolving_layers(config, &mut model)?;
    for (index, (layer, convolves)) in model.layers.iter_mut().zip(convolves).enumerate() {
        match &mut layer.mixer {
            mixer if convolves => *mixer = Mixer::ShortConv { spec: spec.clone(), bias },
            Mixer::Attention(attention) => attention.head_norms = true,
            _ => {}
        }
        // Configs round the width up by rules of their own; the tensor has what came of it.
        layer.feed_forward.width = config.n_out(Some(index), "ffn_gate.weight", MAX_WIDTH)?;
    }
    Ok(model)
}

fn convolving_layers(config: &Config<'_>, model: &mut Descriptor) -> Result<Vec<bool>, ModelError> {
    let n_layers = model.layers.len();
    if config.kind() == SourceKind::Gguf {
        return Ok(model.attentions().map(|attention| attention.n_kv_heads == 0).collect());
    }
    let words = config.words(&keys::LAYER_TYPES, n_layers, &["conv", "full_attention"])?;
    let indices = config.find(&FULL_LAYERS);
    match (words, indices) {
        (Some(words), _) => Ok(words.iter().map(|&word| word == "conv").collect()),
        (None, None) => {
            Err(ModelError::missing(config.spelling(&keys::LAYER_TYPES), "a list of kinds, one per layer"))
        }
        (None, Some(found)) => match &found.value {
            Value::Array(indices)
                if indices.iter().all(|index| index.as_u64().is_some_and(|i| i < n_layers as u64)) =>
            {
                Ok((0..n_layers).map(|layer| !indices.iter().any(|index| index == layer)).collect())
            }
            _ => Err(found.bad(format!("a list of layers below {n_layers}"))),
        },
    }
}
