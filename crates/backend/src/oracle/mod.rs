//! The backend that defines right: `docs/arithmetic.md` as plain loops, one file per operation.
//!
//! Each operation is a function of one row and its sequence's state (or of rows that do not see each other), public so
//! that kernels can be held to it one by one; [`Oracle`] interprets a program with them. Slow on purpose: what is easy
//! to read beside the text comes first.

pub mod attend;
pub mod delta_rule;
pub mod embed;
pub mod glu;
pub mod linear;
mod loaded;
pub mod norm;
mod pass;
mod registers;
pub mod short_conv;
pub mod unembed;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::loaded::Loaded;
use self::pass::Pass;
use crate::state::Sequences;
use crate::{
    Arithmetic, Backend, BackendError, KvTypes, LoadedId, Program, Register, Row, SequenceId, Weight,
    check_finite,
};

/// The reference backend.
pub struct Oracle {
    program: Arc<Program>,
    name: String,
    loaded: BTreeMap<u32, Loaded>,
    next_id: u32,
    pass: Pass,
}

impl Oracle {
    /// An oracle for a program, without weights or sequences.
    pub fn new(program: Arc<Program>, arithmetic: Arithmetic, kv: impl Into<KvTypes>) -> Self {
        let sequences = Sequences::new(program.clone(), kv);
        let name = match arithmetic {
            Arithmetic::Quantized => "oracle",
            Arithmetic::Exact => "oracle (exact)",
        };
        Oracle {
            name: name.to_string(),
            loaded: BTreeMap::new(),
            next_id: 0,
            pass: Pass::new(&program, arithmetic, sequences),
            program,
        }
    }

    /// What the open sequences keep.
    pub fn sequences(&self) -> &Sequences {
        &self.pass.sequences
    }
}

impl Backend for Oracle {
    fn name(&self) -> String {
        self.name.clone()
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
        self.program = program;
    }

    fn begin(&mut self, rows: &[Row]) -> Result<(), BackendError> {
        self.pass.sequences.begin(rows)?;
        self.pass.begin(rows);
        Ok(())
    }

    fn run(&mut self, section: usize, weights: LoadedId) -> Result<(), BackendError> {
        let loaded =
            self.loaded.get(&weights.0).unwrap_or_else(|| panic!("weights {} are not loaded", weights.0));
        assert_eq!(loaded.section, section, "weights {} belong to another section", weights.0);
        for op in &self.program.sections[section].ops {
            self.pass.execute(op, loaded);
        }
        Ok(())
    }

    fn logits(&mut self) -> Result<&[f32], BackendError> {
        check_finite(&self.pass.logits, self.program.n_vocab)?;
        Ok(&self.pass.logits)
    }

    fn read(&mut self, register: Register) -> Vec<f32> {
        self.pass.registers.all(register).to_vec()
    }
}
