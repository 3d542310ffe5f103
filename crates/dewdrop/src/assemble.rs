//! From a checkpoint and its model to something that computes: plan, store, backend, core.

use std::sync::Arc;

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{Backend, BackendError, Program};
use dewdrop_cpu::Cpu;
use dewdrop_engine::Core;
use dewdrop_store::{Checkpoint, Store};

use crate::{Choice, Error, Model, Options, Plan};

/// A core that runs the model of a checkpoint, for measurements that go below sessions.
///
/// # Errors
/// If the backend cannot be had.
pub fn assemble(checkpoint: Arc<Checkpoint>, model: &Model, options: &Options) -> Result<Core, Error> {
    let store = Store::new(checkpoint, model.weight_sources(), options.residency);
    Ok(Core::new(model.program.clone(), backend(model.program.clone(), options)?, store))
}

/// A core that runs it by plan.
pub(crate) fn by_plan(checkpoint: Arc<Checkpoint>, plan: &Plan, options: &Options) -> Result<Core, Error> {
    let program = Arc::new(plan.weights.cut.program.clone());
    let store = Store::streamed(checkpoint, plan.weights.sources.clone(), &plan.weights.placement)?;
    Ok(Core::new(program.clone(), backend(program, options)?, store))
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
