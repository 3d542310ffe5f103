//! The sequences of a backend, by id.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SequenceState;
use crate::{BackendError, KvTypes, Program, Row, SequenceId};

/// All open sequences of a program.
#[derive(Clone, Debug)]
pub struct Sequences {
    program: Arc<Program>,
    kv: KvTypes,
    next: u32,
    open: BTreeMap<SequenceId, SequenceState>,
    /// Empty ones whose memory is there already.
    reserved: Vec<SequenceState>,
}

impl Sequences {
    /// None are open.
    pub fn new(program: Arc<Program>, kv: impl Into<KvTypes>) -> Self {
        Sequences { program, kv: kv.into(), next: 0, open: BTreeMap::new(), reserved: Vec::new() }
    }

    /// What keys and values are kept as.
    pub fn kv_types(&self) -> KvTypes {
        self.kv
    }

    /// Takes the memory now of `n` sequences of so many positions, open at a time, those that are open already among them.
    /// What was taken before for longer or more ones is given back, but where it is in use.
    pub fn reserve(&mut self, n: usize, positions: usize) {
        self.reserved.clear();
        let n_before = self.open.values().filter(|state| state.is_reserved()).count();
        let mut left = n.saturating_sub(n_before);
        for state in self.open.values_mut() {
            if state.is_reserved() {
                state.reserve(positions);
            } else if left > 0 {
                state.reserve(positions);
                left -= 1;
            }
        }
        for _ in 0..left {
            let mut state = SequenceState::new(&self.program.states, self.kv);
            state.reserve(positions);
            self.reserved.push(state);
        }
    }

    /// A new, empty sequence. Ids are not used again.
    ///
    /// # Panics
    /// If the program's heads cannot be kept so: see [`KvTypes::check`].
    pub fn open(&mut self) -> SequenceId {
        let state = self.reserved.pop();
        self.insert(state.unwrap_or_else(|| SequenceState::new(&self.program.states, self.kv)))
    }

    /// A new sequence with the same content, sharing pages until one of the two writes.
    ///
    /// # Panics
    /// If `id` is not open.
    pub fn fork(&mut self, id: SequenceId) -> SequenceId {
        let state = self.get(id).clone();
        self.insert(state)
    }

    /// Frees a sequence.
    pub fn close(&mut self, id: SequenceId) {
        let state = self.open.remove(&id);
        if let Some(mut state) = state.filter(SequenceState::is_reserved) {
            state.truncate(0);
            self.reserved.push(state);
        }
    }

    /// A sequence's state.
    ///
    /// # Panics
    /// If `id` is not open.
    pub fn get(&self, id: SequenceId) -> &SequenceState {
        self.open.get(&id).unwrap_or_else(|| panic!("sequence {} is not open", id.0))
    }

    /// A sequence's state, to be written.
    ///
    /// # Panics
    /// If `id` is not open.
    pub fn get_mut(&mut self, id: SequenceId) -> &mut SequenceState {
        self.open.get_mut(&id).unwrap_or_else(|| panic!("sequence {} is not open", id.0))
    }

    /// All open sequences, to be written.
    pub fn all_mut(&mut self) -> impl Iterator<Item = (SequenceId, &mut SequenceState)> {
        self.open.iter_mut().map(|(id, state)| (*id, state))
    }

    /// Checks the rows of a pass and makes room for them. Upon an error nothing has changed.
    ///
    /// # Panics
    /// If a row's sequence is not open.
    pub fn begin(&mut self, rows: &[Row]) -> Result<(), BackendError> {
        let n_vocab = self.program.n_vocab;
        let mut ends = BTreeMap::new();
        for row in rows {
            if row.token as usize >= n_vocab {
                return Err(BackendError::Token { token: row.token, n_vocab });
            }
            let end = ends.entry(row.sequence).or_insert_with(|| self.get(row.sequence).len());
            if row.position != *end {
                return Err(BackendError::Position { found: row.position, expected: *end });
            }
            *end += 1;
        }
        for (id, end) in ends {
            let state = self.get_mut(id);
            state.extend(end - state.len());
        }
        Ok(())
    }

    /// Positions of the longest one.
    pub fn longest(&self) -> usize {
        self.open.values().map(SequenceState::len).max().unwrap_or(0)
    }

    /// Bytes of all sequences' state.
    pub fn bytes(&self) -> usize {
        self.open.values().map(SequenceState::bytes).sum()
    }

    fn insert(&mut self, state: SequenceState) -> SequenceId {
        let id = SequenceId(self.next);
        self.next += 1;
        self.open.insert(id, state);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KvType, Register, StateSpec};

    fn sequences() -> Sequences {
        let program = Program {
            n_vocab: 10,
            width: 1,
            registers: vec![1],
            residual: Register(0),
            ropes: Vec::new(),
            states: vec![StateSpec::Attention { n_kv_heads: 1, head_dim: 1, window: None }],
            sections: Vec::new(),
        };
        Sequences::new(Arc::new(program), KvType::F32)
    }

    fn row(sequence: SequenceId, position: usize, token: u32) -> Row {
        Row { sequence, position, token, wants_logits: false }
    }

    #[test]
    fn rows_continue_their_sequences() {
        let mut sequences = sequences();
        let (a, b) = (sequences.open(), sequences.open());
        sequences.begin(&[row(a, 0, 1), row(b, 0, 2), row(a, 1, 3)]).unwrap();
        assert_eq!((sequences.get(a).len(), sequences.get(b).len(), sequences.longest()), (2, 1, 2));
        let error = sequences.begin(&[row(b, 1, 1), row(a, 3, 0)]).unwrap_err();
        assert!(matches!(error, BackendError::Position { found: 3, expected: 2 }));
        let error = sequences.begin(&[row(b, 1, 1), row(a, 2, 10)]).unwrap_err();
        assert!(matches!(error, BackendError::Token { token: 10, n_vocab: 10 }));
        assert_eq!((sequences.get(a).len(), sequences.get(b).len()), (2, 1));
    }

    #[test]
    fn reserved_memory_is_used_again() {
        let mut sequences = sequences();
        sequences.reserve(1, 100);
        let (a, b) = (sequences.open(), sequences.open());
        assert_eq!([a, b].map(|id| sequences.get(id).attention(0).n_pages()), [2, 0]);
        sequences.begin(&[row(a, 0, 1)]).unwrap();
        sequences.close(a);
        sequences.close(b);
        let [c, d] = [sequences.open(), sequences.open()];
        assert_eq!([c, d].map(|id| sequences.get(id).attention(0).n_pages()), [2, 0]);
        assert!(sequences.get(c).is_empty());
    }

    #[test]
    fn what_is_open_already_takes_part_of_what_is_reserved() {
        let mut sequences = sequences();
        let a = sequences.open();
        sequences.begin(&[row(a, 0, 1)]).unwrap();
        sequences.reserve(2, 100);
        let (b, c) = (sequences.open(), sequences.open());
        assert_eq!([a, b, c].map(|id| sequences.get(id).attention(0).n_pages()), [2, 2, 0]);
        sequences.reserve(2, 200);
        assert_eq!([a, b, c].map(|id| sequences.get(id).attention(0).n_pages()), [4, 4, 0]);
        sequences.reserve(0, 0);
        assert_eq!([a, b, c].map(|id| sequences.get(id).attention(0).n_pages()), [1, 0, 0]);
    }

    #[test]
    fn forks_go_their_own_ways() {
        let mut sequences = sequences();
        let a = sequences.open();
        sequences.begin(&[row(a, 0, 1)]).unwrap();
        let b = sequences.fork(a);
        sequences.begin(&[row(b, 1, 1)]).unwrap();
        assert_eq!((sequences.get(a).len(), sequences.get(b).len()), (1, 2));
        sequences.close(a);
        assert_ne!(sequences.open(), a);
        assert_eq!(sequences.get(b).attention(0).n_pages(), 1);
    }
}
