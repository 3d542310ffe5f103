//! From a checkpoint and its model to something that computes: plan, store, backend, core.

use std::sync::Arc;

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{Backend, BackendError, Program};
use dewdrop_cpu::Cpu;
use dewdrop_engine::Core;
use dewdrop_store::{Checkpoint, Residency, Store, WeightSource};

use crate::plan::Weights;
use crate::{Choice, Error, Model, Options, Plan, machine};

/// A core that runs the model of a checkpoint, for measurements that go below sessions.
///
/// # Errors
/// If a part of the files is missing, or the backend cannot be had.
pub fn assemble(checkpoint: Arc<Checkpoint>, model: &Model, options: &Options) -> Result<Core, Error> {
    checkpoint.check_whole()?;
    let sources = model.weight_sources();
    let room = room_for_copies(&sources, options.residency);
    let store = Store::new(checkpoint, sources, options.residency);
    Ok(Core::new(model.program.clone(), backend(model.program.clone(), options, room)?, store))
}

/// Bytes of weights that a backend may hold a second time, rearranged. Those in memory of our own give way to their
/// copies; those in a map of the files stay in memory beside them.
fn room_for_copies(sources: &[Vec<WeightSource>], residency: Residency) -> usize {
    let mapped: u64 = sources.iter().flatten().map(|source| source.info.len).sum();
    match (residency, machine::available_memory()) {
        (Residency::Mapped, Some(available)) => available.saturating_sub(mapped) as usize,
        _ => usize::MAX,
    }
}

/// A core that runs it by plan.
pub(crate) fn by_plan(checkpoint: Arc<Checkpoint>, plan: &Plan, options: &Options) -> Result<Core, Error> {
    checkpoint.check_whole()?;
    let Weights { program, sources, placement, .. } = &plan.weights;
    let store = Store::streamed(checkpoint, sources.to_vec(), placement)?;
    let mut backend = backend(program.clone(), options, usize::MAX)?;
    backend.reserve(&plan.reserve());
    Ok(Core::new(program.clone(), backend, store))
}

fn backend(program: Arc<Program>, options: &Options, room: usize) -> Result<Box<dyn Backend>, BackendError> {
    let (arithmetic, kv) = (options.arithmetic, options.kv_types(&program.states));
    kv.check(&program.states)?;
    Ok(match &options.backend {
        Choice::Oracle => Box::new(Oracle::new(program, arithmetic, kv)),
        Choice::Cpu { isa } => {
            let cpu = Cpu::new(program, arithmetic, kv, options.n_threads(), isa.as_deref())?;
            Box::new(cpu.with_room(room))
        }
    })
}
