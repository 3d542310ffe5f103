//! What sequences keep between passes, in host memory: keys and values on pages, convolutions, delta rules.
//!
//! The oracle and the CPU share it, so a sequence means the same to both. A backend opens and checks sequences through
//! [`Sequences`] and works on whole pages and matrices through the accessors of [`AttentionState`] and
//! [`RecurrentState`].

mod attention;
mod page;
mod recurrent;
mod sequences;

pub use attention::AttentionState;
pub use page::{Head, HeadMut, Layout, PAGE, Page, Vector};
pub use recurrent::RecurrentState;
pub use sequences::Sequences;

use crate::{KvTypes, StateSpec};

/// All that one sequence keeps. A clone is a fork: it shares attention pages until one of the two writes.
#[derive(Clone, Debug)]
pub struct SequenceState {
    states: Vec<State>,
    len: usize,
    is_reserved: bool,
}

#[derive(Clone, Debug)]
enum State {
    Attention(AttentionState),
    Recurrent(RecurrentState),
}

impl SequenceState {
    /// An empty sequence of a program with these states.
    ///
    /// # Panics
    /// If the program's heads cannot be kept so: see [`KvTypes::check`].
    pub fn new(specs: &[StateSpec], kv: impl Into<KvTypes>) -> Self {
        let kv = kv.into();
        SequenceState {
            states: specs.iter().map(|spec| State::new(spec, kv)).collect(),
            len: 0,
            is_reserved: false,
        }
    }

    /// Positions it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no position.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the memory of so many positions now, and keeps no more than that, or than it holds.
    pub fn reserve(&mut self, positions: usize) {
        self.is_reserved = true;
        for state in &mut self.states {
            if let State::Attention(attention) = state {
                attention.reserve(positions, self.len);
            }
        }
    }

    /// Whether its memory is kept.
    pub fn is_reserved(&self) -> bool {
        self.is_reserved
    }

    /// Makes room for `n` more positions, which the caller is about to compute.
    pub fn extend(&mut self, n: usize) {
        self.len += n;
        for state in &mut self.states {
            if let State::Attention(attention) = state {
                attention.resize(self.len);
            }
        }
    }

    /// Forgets all positions from `position` on. False, and nothing changes, if recurrent state cannot go back there.
    ///
    /// # Panics
    /// If the sequence is shorter.
    pub fn truncate(&mut self, position: usize) -> bool {
        assert!(position <= self.len, "truncate at {position} of a sequence of {} positions", self.len);
        let recurrent = self.states.iter().any(|state| matches!(state, State::Recurrent(_)));
        if recurrent && position != 0 && position != self.len {
            return false;
        }
        for state in &mut self.states {
            match state {
                State::Attention(attention) => attention.resize(position),
                State::Recurrent(recurrent) if position == 0 => recurrent.reset(),
                State::Recurrent(_) => {}
            }
        }
        self.len = position;
        true
    }

    /// Attention state with the program's index `index`.
    ///
    /// # Panics
    /// If it is a recurrent one.
    pub fn attention(&self, index: usize) -> &AttentionState {
        match &self.states[index] {
            State::Attention(attention) => attention,
            State::Recurrent(_) => panic!("state {index} is recurrent, not of attention"),
        }
    }

    /// Attention state with the program's index `index`, to be written.
    ///
    /// # Panics
    /// If it is a recurrent one.
    pub fn attention_mut(&mut self, index: usize) -> &mut AttentionState {
        match &mut self.states[index] {
            State::Attention(attention) => attention,
            State::Recurrent(_) => panic!("state {index} is recurrent, not of attention"),
        }
    }

    /// Recurrent state with the program's index `index`.
    ///
    /// # Panics
    /// If it is one of attention.
    pub fn recurrent(&self, index: usize) -> &RecurrentState {
        match &self.states[index] {
            State::Recurrent(recurrent) => recurrent,
            State::Attention(_) => panic!("state {index} is of attention, not recurrent"),
        }
    }

    /// Recurrent state with the program's index `index`, to be written.
    ///
    /// # Panics
    /// If it is one of attention.
    pub fn recurrent_mut(&mut self, index: usize) -> &mut RecurrentState {
        match &mut self.states[index] {
            State::Recurrent(recurrent) => recurrent,
            State::Attention(_) => panic!("state {index} is of attention, not recurrent"),
        }
    }

    /// Bytes of all states, pages shared with forks included.
    pub fn bytes(&self) -> usize {
        let bytes = |state: &State| match state {
            State::Attention(attention) => attention.bytes(),
            State::Recurrent(recurrent) => recurrent.bytes(),
        };
        self.states.iter().map(bytes).sum()
    }
}

impl State {
    fn new(spec: &StateSpec, kv: KvTypes) -> Self {
        match *spec {
            StateSpec::Attention { n_kv_heads, head_dim, window } => {
                State::Attention(AttentionState::new(n_kv_heads, head_dim, window, kv))
            }
            StateSpec::Recurrent { channels, history, n_heads, key_dim, value_dim } => {
                State::Recurrent(RecurrentState::new(channels, history, n_heads, key_dim, value_dim))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KvType;

    const ATTENTION: StateSpec = StateSpec::Attention { n_kv_heads: 1, head_dim: 2, window: None };
    const RECURRENT: StateSpec =
        StateSpec::Recurrent { channels: 1, history: 2, n_heads: 0, key_dim: 0, value_dim: 0 };

    #[test]
    fn attention_goes_back_anywhere_and_frees_pages() {
        let mut state = SequenceState::new(&[ATTENTION], KvType::F16);
        state.extend(3 * PAGE);
        assert_eq!((state.len(), state.attention(0).n_pages(), state.bytes()), (192, 3, 3 * 2 * 2 * 64 * 2));
        assert!(state.truncate(PAGE + 1));
        assert_eq!((state.len(), state.attention(0).n_pages()), (65, 2));
        assert!(state.truncate(0) && state.is_empty());
        assert_eq!(state.bytes(), 0);
    }

    #[test]
    fn recurrence_goes_back_to_the_beginning_only() {
        let mut state = SequenceState::new(&[ATTENTION, RECURRENT], KvType::F32);
        state.extend(2);
        state.recurrent_mut(1).push(&[1.0]);
        assert!(!state.truncate(1));
        assert!(state.truncate(2));
        assert_eq!((state.len(), state.recurrent(1).history()), (2, &[0.0, 1.0][..]));
        assert!(state.truncate(0));
        assert_eq!((state.len(), state.recurrent(1).history()), (0, &[0.0, 0.0][..]));
    }
}
