//! From a checkpoint to the model that it holds.

use std::collections::HashSet;
use std::sync::Arc;

use dewdrop_backend::Program;
use dewdrop_format::BlockType;
use dewdrop_model::{Claim, Claims, Descriptor, ModelError, ROPE_FACTORS, Source};
use dewdrop_store::{Checkpoint, CheckpointKind, WeightSource};

/// A model that is known to be runnable.
#[derive(Clone, Debug)]
pub struct Model {
    /// The model as plain values.
    pub descriptor: Descriptor,
    /// The model as operations.
    pub program: Arc<Program>,
    /// Which tensor plays which role of the program.
    pub claims: Claims,
}

impl Model {
    /// For each section of the program, what fills its weight slots.
    pub(crate) fn weight_sources(&self) -> Vec<Vec<WeightSource>> {
        let sections = self.claims.sections.iter();
        sections.map(|claims| claims.iter().map(weight_source).collect()).collect()
    }

    /// Block types of the matrices that rows are multiplied with.
    pub(crate) fn matrix_types(&self) -> HashSet<BlockType> {
        let claims = self.claims.sections.iter().flatten();
        claims.filter(|claim| claim.n_out > 1).map(|claim| claim.info.block_type).collect()
    }
}

fn weight_source(claim: &Claim) -> WeightSource {
    WeightSource { info: claim.info.clone(), transform: claim.transform, shape: [claim.n_out, claim.n_in] }
}

/// The model in a checkpoint, described, compiled and claimed.
///
/// # Errors
/// If it is not one that can be run: of an unknown family, with settings that are not understood, or with tensors that
/// are missing, misshapen or unknown.
pub fn recognize(checkpoint: &Checkpoint) -> Result<Model, ModelError> {
    let source = match &checkpoint.kind {
        CheckpointKind::Gguf(gguf) => Source::Gguf(&gguf.metadata),
        CheckpointKind::HuggingFace { config, .. } => Source::HuggingFace(config),
    };
    let factors = rope_factors(checkpoint);
    let descriptor = dewdrop_model::describe(source, &checkpoint.tensors, factors.as_deref())?;
    let program = Arc::new(dewdrop_model::compile(&descriptor));
    let claims = dewdrop_model::claim(&descriptor, &program, &checkpoint.tensors)?;
    Ok(Model { descriptor, program, claims })
}

/// The values of the tensor that scales a rope's frequencies, if the file has it; ones where its part of the file is
/// missing, since a plan does not depend on them.
fn rope_factors(checkpoint: &Checkpoint) -> Option<Vec<f32>> {
    let info = checkpoint.tensors.get(ROPE_FACTORS)?;
    let mut values = vec![1.0; info.n_weights()];
    if !checkpoint.has_bytes(info) {
        return Some(values);
    }
    (info.block_type.block().decode)(&checkpoint.bytes(info), &mut values);
    Some(values)
}
