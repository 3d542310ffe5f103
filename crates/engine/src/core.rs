//! A backend, its weights and a program: what runs passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dewdrop_backend::{Backend, LoadedId, Program, Register, Reserve, Row, SequenceId};
use dewdrop_store::{Place, Placement, Replacement, Statistics, Store, WeightSource};

use crate::EngineError;

/// Runs passes of rows through all sections of a program.
pub struct Core {
    program: Arc<Program>,
    backend: Box<dyn Backend>,
    store: Store,
    /// Sections whose weights the backend keeps.
    loaded: Vec<Option<LoadedId>>,
    /// Open sequences, and positions of each that are in use before they are computed.
    held: BTreeMap<SequenceId, usize>,
}

impl Core {
    /// `backend` was made for `program`, and `store` holds the weights of its sections.
    ///
    /// # Panics
    /// If store and program differ in their number of sections.
    pub fn new(program: Arc<Program>, backend: Box<dyn Backend>, store: Store) -> Self {
        assert_eq!(store.n_sections(), program.sections.len(), "sections of store and program");
        let loaded = vec![None; program.sections.len()];
        Core { program, backend, store, loaded, held: BTreeMap::new() }
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

    /// Goes on with the same program, cut into these sections, with weights that live by `placement`. Sequences stay. Weights
    /// that stay in memory before and after do so in between, if the sections are the same.
    ///
    /// # Errors
    /// If there is no memory for staging slots: nothing has changed then.
    ///
    /// # Panics
    /// If program, sections and placement are not of the same number of sections.
    pub fn replace(
        &mut self,
        program: Arc<Program>,
        sections: Vec<Vec<WeightSource>>,
        placement: &Placement,
        reserve: &Reserve,
    ) -> Result<(), EngineError> {
        assert_eq!(sections.len(), program.sections.len(), "sections of store and program");
        let replacement = Replacement::new(sections, placement)?;
        let same = self.store.streams(&replacement);
        for (section, loaded) in self.loaded.iter_mut().enumerate() {
            let stays = same && placement.places[section] == Place::Pinned;
            if let Some(id) = loaded.take_if(|_| !stays) {
                self.backend.unload(id);
            }
        }
        self.loaded.resize(program.sections.len(), None);
        self.backend.set_sections(program.clone());
        self.backend.reserve(reserve);
        self.program = program;
        self.store.replace(replacement);
        Ok(())
    }

    /// Positions of the longest open sequence, those that it will have computed included.
    pub fn longest_sequence(&self) -> usize {
        self.held.values().copied().max().unwrap_or(0).max(self.backend.longest_sequence())
    }

    /// How many sequences are open.
    pub fn n_sequences(&self) -> usize {
        self.held.len()
    }

    /// A new, empty sequence.
    pub fn open_sequence(&mut self) -> SequenceId {
        let id = self.backend.open_sequence();
        self.held.insert(id, 0);
        id
    }

    /// Counts so many positions of a sequence as in use, before they are computed and until it goes back.
    pub fn hold(&mut self, id: SequenceId, positions: usize) {
        let held = self.held.entry(id).or_default();
        *held = positions.max(*held);
    }

    /// Frees a sequence's state.
    pub fn close_sequence(&mut self, id: SequenceId) {
        self.held.remove(&id);
        self.backend.close_sequence(id);
    }

    /// Forgets positions from `position` on; false if recurrent state cannot go back there.
    pub fn truncate(&mut self, id: SequenceId, position: usize) -> bool {
        self.held.insert(id, 0);
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
pub struct SharedCore {
    core: Arc<Mutex<Core>>,
    room: Arc<Mutex<Room>>,
}

/// What there is memory for at present, whatever the limits of a session are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Most tokens of a sequence.
    pub context: usize,
    /// Most rows of a pass.
    pub chunk: usize,
    /// Most rows of a pass over one prompt that want logits.
    pub logits: usize,
    /// Most sequences at a time.
    pub sequences: usize,
}

impl Default for Room {
    fn default() -> Self {
        Room { context: usize::MAX, chunk: usize::MAX, logits: usize::MAX, sequences: usize::MAX }
    }
}

impl SharedCore {
    /// Shares `core`.
    pub fn new(core: Core) -> Self {
        SharedCore { core: Arc::new(Mutex::new(core)), room: Arc::default() }
    }

    /// Waits until no other session computes.
    pub fn lock(&self) -> Result<MutexGuard<'_, Core>, EngineError> {
        self.core.lock().map_err(|_| EngineError::Poisoned)
    }

    /// What there is memory for.
    pub fn room(&self) -> Room {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all sessions what there is memory for. Whoever holds the core's lock meanwhile knows that no pass has more.
    pub fn set_room(&self, room: Room) {
        *self.room.lock().unwrap_or_else(PoisonError::into_inner) = room;
    }

    /// Whether both are the same core.
    pub fn is(&self, other: &SharedCore) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }
}
