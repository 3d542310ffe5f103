//! The backend: weights, sequences, passes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dewdrop_backend::check_finite;
use dewdrop_backend::state::Sequences;
use dewdrop_backend::{
    Arithmetic, Backend, BackendError, KvTypes, LoadedId, Program, Register, Reserve, Row, SequenceId, Weight,
};

use crate::isa::Isa;
use crate::loaded::Loaded;
use crate::pass::Pass;
use crate::pool::Pool;

/// Runs programs on this machine's cores, with the oracle's bits.
pub struct Cpu {
    program: Arc<Program>,
    loaded: BTreeMap<u32, Loaded>,
    next_id: u32,
    /// Bytes of weights copied to be rearranged in the present pass, and how many more may be, ever.
    arranged: usize,
    room: usize,
    pass: Pass,
}

/// Bytes of weights that a pass copies to rearrange them, about: some hundredths of a second.
const ARRANGED_PER_PASS: usize = 128 << 20;

impl Cpu {
    /// A backend for a program, without weights or sequences. `threads` work in a pass, the caller's included (best:
    /// one per physical core). `isa` names an instruction set, one of [`instruction_sets`]; else the environment's
    /// `DEWDROP_ISA` does; else it is the fastest.
    ///
    /// # Errors
    /// If this machine does not have the instruction set or so many threads, or the program's heads cannot be kept so.
    pub fn new(
        program: Arc<Program>,
        arithmetic: Arithmetic,
        kv: impl Into<KvTypes>,
        threads: usize,
        isa: Option<&str>,
    ) -> Result<Self, BackendError> {
        let isa = Isa::choose(isa)?;
        let kv = kv.into();
        kv.check(&program.states)?;
        let sequences = Sequences::new(program.clone(), kv);
        let pass = Pass::new(&program, isa, Pool::new(threads)?, arithmetic, sequences);
        Ok(Cpu { program, loaded: BTreeMap::new(), next_id: 0, arranged: 0, room: usize::MAX, pass })
    }

    /// Limits the memory for rearranged copies of weights, in bytes. Weights in memory that was given to the backend are
    /// rearranged where they lie and need no limit; beside a map of the files copies come on top.
    #[must_use]
    pub fn with_room(self, bytes: usize) -> Self {
        Cpu { room: bytes, ..self }
    }

    /// What the open sequences keep.
    pub fn sequences(&self) -> &Sequences {
        &self.pass.sequences
    }
}

/// Names of the instruction sets that this machine has, fastest first.
pub fn instruction_sets() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// Name of the instruction set that [`Cpu::new`] takes when it is given this one, or none.
///
/// # Errors
/// If this machine does not have it.
pub fn instruction_set(isa: Option<&str>) -> Result<&'static str, BackendError> {
    Ok(Isa::choose(isa)?.name())
}

impl Backend for Cpu {
    fn name(&self) -> String {
        let exact = if self.pass.arithmetic == Arithmetic::Exact { ", exact" } else { "" };
        let (isa, n) = (self.pass.isa.name(), self.pass.pool.threads());
        format!("cpu ({isa}, {n} thread{}{exact})", if n == 1 { "" } else { "s" })
    }

    fn reserve(&mut self, reserve: &Reserve) {
        self.pass.reserve(&self.program, reserve);
    }

    fn load(&mut self, section: usize, weights: Vec<Weight>) -> Result<LoadedId, BackendError> {
        let loaded = Loaded::new(section, &self.program.sections[section], weights)?;
        let id = self.next_id;
        self.next_id += 1;
        self.loaded.insert(id, loaded);
        Ok(LoadedId(id))
    }

    fn unload(&mut self, id: LoadedId) {
        self.loaded.remove(&id.0);
    }

    fn open_sequence(&mut self) -> SequenceId {
        self.pass.sequences.open()
    }

    fn close_sequence(&mut self, id: SequenceId) {
        self.pass.sequences.close(id);
    }

    fn truncate(&mut self, id: SequenceId, position: usize) -> bool {
        self.pass.sequences.get_mut(id).truncate(position)
    }

    fn longest_sequence(&self) -> usize {
        self.pass.sequences.longest()
    }

    fn set_sections(&mut self, program: Arc<Program>) {
        self.pass.shrink(&program);
        self.program = program;
        // Whoever cuts a program anew hands over weights in memory of their own.
        self.room = usize::MAX;
    }

    fn begin(&mut self, rows: &[Row]) -> Result<(), BackendError> {
        self.pass.sequences.begin(rows)?;
        self.pass.begin(rows);
        self.arranged = 0;
        Ok(())
    }

    fn run(&mut self, section: usize, weights: LoadedId) -> Result<(), BackendError> {
        let loaded = self.loaded.get_mut(&weights.0);
        let loaded = loaded.unwrap_or_else(|| panic!("weights {} are not loaded", weights.0));
        assert_eq!(loaded.section, section, "weights {} belong to another section", weights.0);
        if self.pass.arithmetic == Arithmetic::Quantized {
            loaded.arrange_in_place(&mut self.pass.pool, &self.pass.scratch, self.pass.isa);
            // Copies are worth it where weights are used a second time: some in each pass, so that none takes long.
            if loaded.has_run && self.arranged < ARRANGED_PER_PASS {
                let bytes = loaded.arrange_moved(&mut self.pass.pool, self.pass.isa, self.room);
                (self.arranged, self.room) = (self.arranged + bytes, self.room - bytes);
            }
        }
        loaded.has_run = true;
        let loaded = &*loaded;
        self.pass.run(section, &self.program.sections[section].ops, loaded);
        Ok(())
    }

    fn logits(&mut self) -> Result<&[f32], BackendError> {
        check_finite(&self.pass.logits, self.program.n_vocab)?;
        Ok(&self.pass.logits)
    }

    fn read(&mut self, register: Register) -> Vec<f32> {
        self.pass.read(register)
    }
}
