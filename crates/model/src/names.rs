//! What tensors are called.
//!
//! A weight's **role** is its GGUF name without the layer's prefix (`attn_q.weight`), with one canonical role where
//! families differ: the norm before the feed-forward is always `ffn_norm.weight`, the last norm `output_norm.weight`.
//! A [`Family`] lists where its names differ from these, and from the usual Hugging Face names below.

use dewdrop_format::TensorInfo;

use crate::config::SourceKind;
use crate::descriptor::Descriptor;
use crate::family::Family;

/// The GGUF tensor whose values divide the frequencies of a rope (llama 3).
pub const ROPE_FACTORS: &str = "rope_freqs.weight";

/// A family's own names: pairs of a role and a name, both with or both without their last part (`.weight`, `.bias`).
/// Of several names for one role the first that a file has counts.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Where GGUF names differ from the roles.
    pub gguf: &'static [(&'static str, &'static str)],
    /// Where Hugging Face names differ from the usual ones.
    pub hugging_face: &'static [(&'static str, &'static str)],
}

/// The usual Hugging Face names outside layers.
const OUTSIDE: &[(&str, &str)] =
    &[("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// The usual Hugging Face names in a layer.
const IN_LAYER: &[(&str, &str)] = &[
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Prefixes that multimodal wrappers put before the text model, and what they stand for.
const WRAPPERS: &[(&str, &str)] = &[
    ("model.language_model.", "model."),
    ("language_model.model.", "model."),
    ("language_model.lm_head.", "lm_head."),
    ("model.mtp.", "mtp."),
];

/// Parts of a Hugging Face checkpoint that a text model does not use, by the beginning of their names.
const OTHER_PARTS: &[(&str, &str)] = &[
    ("model.visual.", "vision tower"),
    ("visual.", "vision tower"),
    ("model.vision_tower.", "vision tower"),
    ("vision_tower.", "vision tower"),
    ("model.multi_modal_projector.", "projector of the vision tower"),
    ("multi_modal_projector.", "projector of the vision tower"),
    ("model.embed_vision.", "projector of the vision tower"),
    ("model.audio_tower.", "audio tower"),
    ("audio_tower.", "audio tower"),
    ("model.embed_audio.", "projector of the audio tower"),
    ("mtp.", "draft layer (multi-token prediction)"),
];

/// Constants that old checkpoints store, by the end of their names.
const CONSTANTS: &[(&str, &str)] = &[
    ("rotary_emb.inv_freq", "constant that follows from the config"),
    (".attention.masked_bias", "constant mask"),
    (".attn.masked_bias", "constant mask"),
];

/// The names a file may use for a role, the usual one first.
pub(crate) fn file_names(family: &Family, kind: SourceKind, layer: Option<usize>, role: &str) -> Vec<String> {
    let (own, usual) = match (kind, layer) {
        (SourceKind::Gguf, _) => (family.names.gguf, &[][..]),
        (SourceKind::HuggingFace, None) => (family.names.hugging_face, OUTSIDE),
        (SourceKind::HuggingFace, Some(_)) => (family.names.hugging_face, IN_LAYER),
    };
    let mut names = translate(own, role);
    if names.is_empty() {
        names = translate(usual, role);
    }
    if names.is_empty() {
        names.push(role.to_owned());
    }
    let prefix = match (kind, layer) {
        (_, None) => return names,
        (SourceKind::Gguf, Some(layer)) => format!("blk.{layer}."),
        (SourceKind::HuggingFace, Some(layer)) => format!("model.layers.{layer}."),
    };
    names.into_iter().map(|name| prefix.clone() + &name).collect()
}

/// The names that a table gives a role: for the whole role, or else for all but its last part.
fn translate(table: &[(&str, &str)], role: &str) -> Vec<String> {
    let named =
        |wanted: &str| table.iter().filter(|(role, _)| *role == wanted).map(|(_, name)| *name).collect();
    let whole: Vec<&str> = named(role);
    match role.rsplit_once('.') {
        Some((stem, last)) if whole.is_empty() => {
            let stems: Vec<&str> = named(stem);
            stems.into_iter().map(|stem| format!("{stem}.{last}")).collect()
        }
        _ => whole.into_iter().map(str::to_owned).collect(),
    }
}

/// A Hugging Face name as it would be without a multimodal wrapper.
pub fn plain_name(name: &str) -> String {
    for (prefix, stands_for) in WRAPPERS {
        if let Some(rest) = name.strip_prefix(prefix) {
            return format!("{stands_for}{rest}");
        }
    }
    name.to_owned()
}

/// A Hugging Face name, plain and as wrappers would spell it.
pub(crate) fn wrapped(name: &str) -> Vec<String> {
    let spelled =
        |&(prefix, stands_for): &(&str, &str)| Some(format!("{prefix}{}", name.strip_prefix(stands_for)?));
    std::iter::once(name.to_owned()).chain(WRAPPERS.iter().filter_map(spelled)).collect()
}

/// Why a tensor (by its unwrapped name) is not needed; `None`: not known.
pub(crate) fn unused(model: &Descriptor, name: &str) -> Option<&'static str> {
    let reason = |table: &[(&str, &'static str)], fits: fn(&str, &str) -> bool| {
        table.iter().find(|(part, _)| fits(name, part)).map(|(_, reason)| *reason)
    };
    match model.source {
        SourceKind::Gguf if name == ROPE_FACTORS => Some("already in the frequencies of the rope"),
        SourceKind::Gguf => is_draft(model, name).then_some("draft layer (multi-token prediction)"),
        SourceKind::HuggingFace if name == "lm_head.weight" && model.tied => {
            Some("copy of the embedding table")
        }
        SourceKind::HuggingFace => reason(OTHER_PARTS, |name, part| name.starts_with(part))
            .or_else(|| reason(CONSTANTS, |name, part| name.ends_with(part))),
    }
}

/// Whether a GGUF tensor stands in a block after the last layer that the metadata counts as draft layer.
fn is_draft(model: &Descriptor, name: &str) -> bool {
    let block = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let Some(index) = block.and_then(|(index, _)| index.parse::<usize>().ok()) else { return false };
    (model.layers.len()..model.layers.len() + model.n_draft_layers).contains(&index)
}

/// Name and shape of a tensor, for lists in messages.
pub(crate) fn in_words(tensor: &TensorInfo) -> String {
    format!("`{}` {:?}", crate::error::shown(&tensor.name), tensor.shape)
}
