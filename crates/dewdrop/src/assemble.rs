//! From a checkpoint and its model to something that computes: store, backend, core.

use std::sync::Arc;

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{Backend, BackendError, Program};
use dewdrop_cpu::Cpu;
use dewdrop_engine::Core;
use dewdrop_model::Claim;
use dewdrop_store::{Checkpoint, Store, WeightSource};

use crate::{Choice, Error, Model, Options};

/// A core that runs the model of a checkpoint, for measurements that go below sessions.
///
/// # Errors
/// If the backend cannot be had.
pub fn assemble(checkpoint: Arc<Checkpoint>, model: &Model, options: &Options) -> Result<Core, Error> {
    let backend = backend(model.program.clone(), options)?;
    let sections = model.claims.sections.iter().map(|claims| claims.iter().map(weight_source).collect());
    let store = Store::new(checkpoint, sections.collect(), options.residency);
    Ok(Core::new(model.program.clone(), backend, store))
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
