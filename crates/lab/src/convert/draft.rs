//! The draft layer (multi-token prediction), which the program does not run but files carry.
//!
//! It is an ordinary layer with four tensors around it. GGUF files keep it as one more block after the last layer.

use std::collections::BTreeMap;

use dewdrop_backend::Transform;
use dewdrop_format::TensorInfo;
use dewdrop_model::{Claim, Descriptor, Mixer, ModelError, claim, compile, plain_name};

/// Prefix of the ordinary part in Hugging Face folders.
const LAYER: &str = "mtp.layers.0.";

/// The tensors around it: in folders, in GGUF files after the block's prefix, and whether it is a norm.
const AROUND: [(&str, &str, bool); 4] = [
    ("mtp.fc.weight", "nextn.eh_proj.weight", false),
    ("mtp.pre_fc_norm_embedding.weight", "nextn.enorm.weight", true),
    ("mtp.pre_fc_norm_hidden.weight", "nextn.hnorm.weight", true),
    ("mtp.norm.weight", "nextn.shared_head_norm.weight", true),
];

/// A draft layer that a folder holds.
pub(super) struct Draft {
    /// Its model: the draft layer as the only one.
    pub(super) model: Descriptor,
    /// Role and claim of each tensor of the ordinary part.
    pub(super) layer: Vec<(String, Claim)>,
    /// GGUF name after the block's prefix, tensor and transform of those around it.
    pub(super) around: Vec<(&'static str, TensorInfo, Transform)>,
}

/// The draft layer of a folder, if it has one: configs also speak of draft layers that are not there.
pub(super) fn find(
    model: &Descriptor,
    tensors: &BTreeMap<String, TensorInfo>,
) -> Result<Option<Draft>, ModelError> {
    let plain: BTreeMap<String, &TensorInfo> =
        tensors.iter().map(|(name, tensor)| (plain_name(name), tensor)).collect();
    if model.n_draft_layers != 1 || !plain.keys().any(|name| name.starts_with("mtp.")) {
        return Ok(None);
    }
    let mut around = Vec::new();
    for (name, gguf, is_norm) in AROUND {
        let Some(tensor) = plain.get(name) else {
            return Err(ModelError::MissingTensor { tensor: name.into(), expected: vec![model.width] });
        };
        let transform = if is_norm { Transform::AddOne } else { Transform::None };
        around.push((gguf, (*tensor).clone(), transform));
    }
    let Some(layer) = model.layers.iter().find(|layer| matches!(layer.mixer, Mixer::Attention(_))) else {
        return Ok(None);
    };
    let model = Descriptor { layers: vec![layer.clone()], ..model.clone() };
    let layer = claim_layer(&model, &plain)?;
    Ok(Some(Draft { model, layer, around }))
}

/// Claims the ordinary part as if it were the first layer of a model of its own.
fn claim_layer(
    model: &Descriptor,
    plain: &BTreeMap<String, &TensorInfo>,
) -> Result<Vec<(String, Claim)>, ModelError> {
    let mut tensors = BTreeMap::new();
    for (name, &tensor) in plain {
        let own = name.strip_prefix(LAYER).map(|rest| format!("model.layers.0.{rest}"));
        let is_around = AROUND.iter().any(|(around, ..)| around == name);
        match own {
            Some(own) => drop(tensors.insert(own, tensor.clone())),
            None if is_around || name.starts_with("model.layers.") => {}
            None => drop(tensors.insert(name.clone(), tensor.clone())),
        }
    }
    let program = compile(model);
    let claims = claim(model, &program, &tensors)?;
    if let Some((name, _)) = claims.unused.iter().find(|(name, _)| plain_name(name).starts_with("mtp.")) {
        let (family, first) = (model.family, format!("`{name}`"));
        return Err(ModelError::UnknownTensors { family, count: 1, first });
    }
    let roles = program.sections[1].weights.iter().map(|spec| spec.role.clone());
    Ok(roles.zip(claims.sections[1].clone()).collect())
}
