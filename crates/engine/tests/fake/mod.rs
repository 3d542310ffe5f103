//! A backend whose logits tell which tokens it has seen, and which counts what is asked of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use dewdrop_backend::{
    Backend, BackendError, Blocks, LoadedId, Program, Register, Row, Section, SequenceId, Transform, Weight,
};
use dewdrop_engine::{Core, Limits, Session, SharedCore};
use dewdrop_format::{BlockType, gguf};
use dewdrop_store::{Checkpoint, Residency, Store, WeightSource};

pub(crate) const N_VOCAB: usize = 10;
pub(crate) const CONTEXT: usize = 32;

/// What was asked of the backend.
#[derive(Default)]
pub(crate) struct Log {
    /// Rows of each pass.
    pub(crate) passes: Vec<usize>,
    pub(crate) n_loads: usize,
    pub(crate) n_unloads: usize,
    pub(crate) n_open: usize,
    /// Fail in this section of the next pass.
    pub(crate) fail_in: Option<usize>,
}

pub(crate) struct Fake {
    is_recurrent: bool,
    sequences: BTreeMap<SequenceId, Vec<u32>>,
    logits: Vec<f32>,
    log: Arc<Mutex<Log>>,
}

/// A core with a backend of this kind, and its log.
pub(crate) fn core(is_recurrent: bool) -> (SharedCore, Arc<Mutex<Log>>) {
    let log = Arc::new(Mutex::new(Log::default()));
    let fake = Fake { is_recurrent, sequences: BTreeMap::new(), logits: Vec::new(), log: log.clone() };
    (SharedCore::new(Core::new(Arc::new(program()), Box::new(fake), store())), log)
}

pub(crate) fn session(core: &SharedCore, chunk: usize) -> Session {
    let limits = Limits { context: CONTEXT, chunk, logits: usize::MAX, n_choices: N_VOCAB };
    Session::new(core.clone(), limits).unwrap()
}

/// The greedy token after these: their sum.
pub(crate) fn next(ids: &[u32]) -> u32 {
    ids.iter().sum::<u32>() % N_VOCAB as u32
}

fn program() -> Program {
    let section = |name: &str| Section { name: name.into(), ops: Vec::new(), weights: Vec::new() };
    Program {
        n_vocab: N_VOCAB,
        width: 1,
        registers: vec![1],
        residual: Register(0),
        ropes: Vec::new(),
        states: Vec::new(),
        sections: vec![section("entry"), section("exit")],
    }
}

/// One weight that both sections use.
fn store() -> Store {
    let mut writer = gguf::Writer::new(gguf::Metadata::new(Path::new("fake"))).unwrap();
    writer.declare("w", &[1], BlockType::F32).unwrap();
    let mut data = writer.start(Vec::new()).unwrap();
    data.write("w", &[0; 4]).unwrap();
    let checkpoint = Checkpoint::from_blocks("fake", Blocks::from(data.finish().unwrap())).unwrap();
    let info = checkpoint.tensors["w"].clone();
    let source = WeightSource { info, transform: Transform::None, shape: [1, 1] };
    Store::new(Arc::new(checkpoint), vec![vec![source.clone()], vec![source]], Residency::Mapped)
}

impl Backend for Fake {
    fn longest_sequence(&self) -> usize {
        self.sequences.values().map(Vec::len).max().unwrap_or(0)
    }

    fn set_sections(&mut self, _program: Arc<Program>) {}

    fn name(&self) -> String {
        "fake".into()
    }

    fn load(&mut self, section: usize, weights: Vec<Weight>) -> Result<LoadedId, BackendError> {
        assert_eq!(weights.len(), 1, "weights are handed over when they are loaded");
        self.log.lock().unwrap().n_loads += 1;
        Ok(LoadedId(section as u32))
    }

    fn unload(&mut self, _: LoadedId) {
        self.log.lock().unwrap().n_unloads += 1;
    }

    fn open_sequence(&mut self) -> SequenceId {
        let mut log = self.log.lock().unwrap();
        log.n_open += 1;
        let id = SequenceId(self.sequences.keys().last().map_or(0, |id| id.0 + 1));
        self.sequences.insert(id, Vec::new());
        id
    }

    fn close_sequence(&mut self, id: SequenceId) {
        self.sequences.remove(&id).expect("an open sequence");
        self.log.lock().unwrap().n_open -= 1;
    }

    fn truncate(&mut self, id: SequenceId, position: usize) -> bool {
        let tokens = self.sequences.get_mut(&id).expect("an open sequence");
        let can = !self.is_recurrent || position == 0 || position == tokens.len();
        if can {
            tokens.truncate(position);
        }
        can
    }

    fn begin(&mut self, rows: &[Row]) -> Result<(), BackendError> {
        if let Some(row) = rows.iter().find(|row| row.token as usize >= N_VOCAB) {
            return Err(BackendError::Token { token: row.token, n_vocab: N_VOCAB });
        }
        self.log.lock().unwrap().passes.push(rows.len());
        self.logits.clear();
        for row in rows {
            let tokens = self.sequences.get_mut(&row.sequence).expect("an open sequence");
            if row.position != tokens.len() {
                return Err(BackendError::Position { found: row.position, expected: tokens.len() });
            }
            tokens.push(row.token);
            if row.wants_logits {
                let best = next(tokens) as usize;
                self.logits.extend((0..N_VOCAB).map(|id| if id == best { 5.0 } else { id as f32 * 0.1 }));
            }
        }
        Ok(())
    }

    fn run(&mut self, section: usize, _: LoadedId) -> Result<(), BackendError> {
        match self.log.lock().unwrap().fail_in.take_if(|at| *at == section) {
            Some(_) => Err(BackendError::NotFinite { row: 0 }),
            None => Ok(()),
        }
    }

    fn logits(&mut self) -> Result<&[f32], BackendError> {
        Ok(&self.logits)
    }

    fn read(&mut self, _: Register) -> Vec<f32> {
        Vec::new()
    }
}
