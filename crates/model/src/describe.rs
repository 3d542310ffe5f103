//! From a file's own words to a descriptor.

use std::collections::BTreeMap;

use dewdrop_format::TensorInfo;

use crate::config::{Config, Source, text_and_top};
use crate::descriptor::Descriptor;
use crate::error::{ModelError, shown};
use crate::family::{FAMILIES, Family};
use crate::names::ROPE_FACTORS;

/// Everything about the model that `source` describes.
///
/// `tensors` are the headers of all tensors of the checkpoint: they settle what configs leave open, such as whether the
/// head is tied. `rope_factors` are the values of the tensor [`ROPE_FACTORS`], if the file has it.
///
/// # Errors
///
/// If the family is unknown, a key is missing or makes no sense, or a key asks for mathematics that is not supported.
pub fn describe(
    source: Source<'_>,
    tensors: &BTreeMap<String, TensorInfo>,
    rope_factors: Option<&[f32]>,
) -> Result<Descriptor, ModelError> {
    let family = family_of(source)?;
    if tensors.contains_key(ROPE_FACTORS) && rope_factors.is_none() {
        return Err(ModelError::missing(ROPE_FACTORS, "the values of this tensor beside its header"));
    }
    let config = Config::new(source, family, tensors, rope_factors);
    let model = (family.describe)(&config)?;
    config.check_unread()?;
    model.check()?;
    Ok(model)
}

/// The family that a file names. In wrappers the text model's own name counts.
fn family_of(source: Source<'_>) -> Result<&'static Family, ModelError> {
    let (key, found) = match source {
        Source::Gguf(metadata) => {
            ("general.architecture", metadata.get("general.architecture").and_then(|v| v.as_str()))
        }
        Source::HuggingFace(root) => {
            ("model_type", text_and_top(root).find_map(|level| level.get("model_type")?.as_str()))
        }
    };
    let known = |family: &Family| match source {
        Source::Gguf(_) => found == Some(family.gguf),
        Source::HuggingFace(_) => found.is_some_and(|found| family.hugging_face.contains(&found)),
    };
    let Some(found) = found else {
        return Err(ModelError::missing(key, format!("one of {}", known_names(source))));
    };
    FAMILIES.iter().copied().find(|family| known(family)).ok_or_else(|| ModelError::UnknownFamily {
        key,
        found: shown(found),
        known: known_names(source),
    })
}

fn known_names(source: Source<'_>) -> String {
    let names: Vec<&str> = match source {
        Source::Gguf(_) => FAMILIES.iter().map(|family| family.gguf).collect(),
        Source::HuggingFace(_) => FAMILIES.iter().flat_map(|family| family.hugging_face).copied().collect(),
    };
    names.join(", ")
}
