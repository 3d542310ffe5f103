//! A backend, its weights and a program: what runs passes.

use std::sync::{Arc, Mutex, MutexGuard};

use dewdrop_backend::{Backend, LoadedId, Program, Register, Row, SequenceId};
use dewdrop_store::{Statistics, Store};

use crate::EngineError;

/// Runs passes of rows through all sections of a program.
pub struct Core {
    program: Arc<Program>,
    backend: Box<dyn Backend>,
    store: Store,
    /// Sections whose weights the backend keeps.
    loaded: Vec<Option<LoadedId>>,
}

impl Core {
    /// `backend` was made for `program`, and `store` holds the weights of its sections.
    ///
    /// # Panics
    /// If store and program differ in their number of sections.
    pub fn new(program: Arc<Program>, backend: Box<dyn Backend>, store: Store) -> Self {
        assert_eq!(store.n_sections(), program.sections.len(), "sections of store and program");
        let loaded = vec![None; program.sections.len()];
        Core { program, backend, store, loaded }
    }

    /// The program that it runs.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The backend's name, for people.
    pub fn backend_name(&self) -> String {
        self.backend.name()
    }

    /// What streaming weights has done; none where nothing is streamed.
    pub fn statistics(&self) -> Option<Statistics> {
        self.store.statistics()
    }

    /// Computes all rows, and yields the logits of those that want them, `[n, n_vocab]` in row order.
    pub fn pass(&mut self, rows: &[Row]) -> Result<&[f32], EngineError> {
        self.trace(rows, |_, _| ())?;
        Ok(self.backend.logits()?)
    }

    /// As [`pass`](Core::pass) without logits, calling `visit` after each section with its index and a reader of registers.
    pub fn trace(
        &mut self,
        rows: &[Row],
        mut visit: impl FnMut(usize, &mut dyn FnMut(Register) -> Vec<f32>),
    ) -> Result<(), EngineError> {
        self.backend.begin(rows)?;
        if let Err(error) = self.store.begin(rows.iter().map(|row| row.token)) {
            self.forget_weights();
            return Err(error.into());
        }
        for section in 0..self.loaded.len() {
            if let Err(error) = self.run_next(section) {
                self.forget_weights();
                return Err(error);
            }
            let backend = &mut self.backend;
            visit(section, &mut |register| backend.read(register));
        }
        Ok(())
    }

    /// A new, empty sequence.
    pub fn open_sequence(&mut self) -> SequenceId {
        self.backend.open_sequence()
    }

    /// Frees a sequence's state.
    pub fn close_sequence(&mut self, id: SequenceId) {
        self.backend.close_sequence(id);
    }

    /// Forgets positions from `position` on; false if recurrent state cannot go back there.
    pub fn truncate(&mut self, id: SequenceId, position: usize) -> bool {
        self.backend.truncate(id, position)
    }

    fn run_next(&mut self, section: usize) -> Result<(), EngineError> {
        let layer = self.store.next_layer()?;
        assert_eq!(layer.section, section, "the store is at the section that runs");
        if let Some(id) = self.loaded[section] {
            return Ok(self.backend.run(section, id)?);
        }
        let id = self.backend.load(section, layer.weights)?;
        let run = self.backend.run(section, id);
        if layer.lasting {
            self.loaded[section] = Some(id);
        } else {
            self.backend.unload(id);
        }
        Ok(run?)
    }

    /// After a failure within a round: begins anew, so that store and backend agree.
    fn forget_weights(&mut self) {
        for id in self.loaded.iter_mut().filter_map(Option::take) {
            self.backend.unload(id);
        }
        self.store.restart();
    }
}

/// A core that several sessions use, one pass at a time.
#[derive(Clone)]
pub struct SharedCore(Arc<Mutex<Core>>);

impl SharedCore {
    /// Shares `core`.
    pub fn new(core: Core) -> Self {
        SharedCore(Arc::new(Mutex::new(core)))
    }

    /// Waits until no other session computes.
    pub fn lock(&self) -> Result<MutexGuard<'_, Core>, EngineError> {
        self.0.lock().map_err(|_| EngineError::Poisoned)
    }

    /// Whether both are the same core.
    pub fn is(&self, other: &SharedCore) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
