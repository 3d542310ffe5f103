//! Families: lines of models that differ from each other in what is written here.
//!
//! To add one, write its file with a `FAMILY`, and its line in [`FAMILIES`]. [`decoder`] reads what all families share;
//! a family's `describe` changes what it does differently.

mod decoder;
mod gemma3;
mod lfm2;
mod llama;
mod qwen2;
mod qwen3;
mod qwen3_5;

use dewdrop_backend::{Activation, Pairing};

use crate::config::{Config, SourceKind};
use crate::descriptor::Descriptor;
use crate::error::ModelError;
use crate::names::{self, Names};

/// Every family that can be run.
pub const FAMILIES: &[&Family] =
    &[&llama::FAMILY, &qwen2::FAMILY, &qwen3::FAMILY, &qwen3_5::FAMILY, &gemma3::FAMILY, &lfm2::FAMILY];

/// A line of models: the names files use for it and its tensors, and how to describe one of them.
#[derive(Debug)]
pub struct Family {
    /// What it is called here.
    pub name: &'static str,
    /// `general.architecture` in GGUF files.
    pub gguf: &'static str,
    /// `model_type` in `config.json`, of the text model where a wrapper has others.
    pub hugging_face: &'static [&'static str],
    /// Which dimensions its ropes turn together in GGUF files. In Hugging Face folders it is always halves.
    pub gguf_pairing: Pairing,
    /// Hugging Face folders store norms without their one: the weight is `1 + w`.
    pub norms_from_zero: bool,
    /// The non-linearity where the file says none.
    pub activation: Activation,
    /// What `config.json` may leave out, in its own words.
    pub defaults: &'static str,
    /// Tensor names that differ from the usual ones.
    pub names: Names,
    /// Reads a config of this family.
    pub(crate) describe: fn(&Config<'_>) -> Result<Descriptor, ModelError>,
}

impl Family {
    /// The family of this name.
    pub fn named(name: &str) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.name == name).copied()
    }

    /// The usual name of the tensor that plays a role, at the top level or in a layer.
    pub fn tensor_name(&self, kind: SourceKind, layer: Option<usize>, role: &str) -> String {
        names::file_names(self, kind, layer, role).swap_remove(0)
    }
}
