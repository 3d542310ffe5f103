//! From a checkpoint to something that computes: descriptor, program, claims, store, backend.

use std::sync::Arc;

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{Backend, BackendError, Program};
use dewdrop_cpu::Cpu;
use dewdrop_engine::Core;
use dewdrop_model::{Claim, Claims, Descriptor, ModelError, ROPE_FACTORS, Source};
use dewdrop_store::{Checkpoint, CheckpointKind, Store, WeightSource};

use crate::{Choice, Error, Options};

/// A model that is known to be runnable.
pub(crate) struct Model {
    pub(crate) descriptor: Descriptor,
    pub(crate) program: Arc<Program>,
    pub(crate) claims: Claims,
}

/// Describes, compiles and claims the model of a checkpoint.
pub(crate) fn model(checkpoint: &Checkpoint) -> Result<Model, Error> {
    let build = || -> Result<Model, ModelError> {
        let factors = rope_factors(checkpoint);
        let descriptor =
            dewdrop_model::describe(source(checkpoint), &checkpoint.tensors, factors.as_deref())?;
        let program = Arc::new(dewdrop_model::compile(&descriptor));
        let claims = dewdrop_model::claim(&descriptor, &program, &checkpoint.tensors)?;
        Ok(Model { descriptor, program, claims })
    };
    build().map_err(|error| Error::Model { path: checkpoint.path().to_owned(), source: Box::new(error) })
}

/// A core that runs it.
pub(crate) fn core(checkpoint: Arc<Checkpoint>, model: &Model, options: &Options) -> Result<Core, Error> {
    let backend = backend(model.program.clone(), options)?;
    let sections = model.claims.sections.iter().map(|claims| claims.iter().map(weight_source).collect());
    let store = Store::new(checkpoint, sections.collect(), options.residency);
    Ok(Core::new(model.program.clone(), backend, store))
}

fn source(checkpoint: &Checkpoint) -> Source<'_> {
    match &checkpoint.kind {
        CheckpointKind::Gguf(gguf) => Source::Gguf(&gguf.metadata),
        CheckpointKind::HuggingFace { config, .. } => Source::HuggingFace(config),
    }
}

/// The values of the tensor that scales a rope's frequencies, if the file has it.
fn rope_factors(checkpoint: &Checkpoint) -> Option<Vec<f32>> {
    let info = checkpoint.tensors.get(ROPE_FACTORS)?;
    let mut values = vec![0.0; info.n_weights()];
    (info.block_type.block().decode)(&checkpoint.bytes(info), &mut values);
    Some(values)
}

fn backend(program: Arc<Program>, options: &Options) -> Result<Box<dyn Backend>, BackendError> {
    let (arithmetic, kv) = (options.arithmetic, options.kv_type());
    Ok(match &options.backend {
        Choice::Oracle => Box::new(Oracle::new(program, arithmetic, kv)),
        Choice::Cpu { isa } => {
            Box::new(Cpu::new(program, arithmetic, kv, options.n_threads(), isa.as_deref())?)
        }
    })
}

fn weight_source(claim: &Claim) -> WeightSource {
    WeightSource { info: claim.info.clone(), transform: claim.transform, shape: [claim.n_out, claim.n_in] }
}
