//! How a model is to be run.

use dewdrop_backend::{Arithmetic, KvType, KvTypes, StateSpec};
use dewdrop_store::Residency;

use crate::machine;

/// Prompt rows per pass: enough that reading weights costs little beside computing.
pub(crate) const CHUNK: usize = 512;

/// How a model is to be run. None of these but `arithmetic`, `keys` and `values` changes a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Threads that compute; none: one per physical core.
    pub threads: Option<usize>,
    /// Most tokens of a session; none: what the model was made for.
    pub context: Option<usize>,
    /// How linear layers compute.
    pub arithmetic: Arithmetic,
    /// What keys are kept as; none: I16, or F16 where heads are no multiple of 16 wide, or F32 in exact arithmetic.
    pub keys: Option<KvType>,
    /// What values are kept as; none: the same.
    pub values: Option<KvType>,
    /// Who computes.
    pub backend: Choice,
    /// Most prompt rows per pass; none: 512, or what the budget has room for where weights are streamed.
    pub chunk: Option<usize>,
    /// How weights live where all of them fit into memory.
    pub residency: Residency,
    /// Most bytes of memory that this process may have, everything included; none: what the system has to spare.
    pub memory: Option<u64>,
    /// Sessions at a time that the budget has room for: where there is one, or weights are streamed, no more are opened.
    pub sessions: usize,
    /// Rows of a pass whose logits the budget has room for, for those who want more than the last token's.
    pub logits: usize,
}

/// Who computes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The fast CPU backend.
    Cpu {
        /// Instruction set by name; none: the fastest that this machine has.
        isa: Option<String>,
    },
    /// Plain loops that define the right bits: slow, for tests.
    Oracle,
}

impl Choice {
    /// The instruction set that was asked for by name.
    pub(crate) fn isa(&self) -> Option<&str> {
        match self {
            Choice::Cpu { isa } => isa.as_deref(),
            Choice::Oracle => None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            threads: None,
            context: None,
            arithmetic: Arithmetic::default(),
            keys: None,
            values: None,
            backend: Choice::Cpu { isa: None },
            chunk: None,
            residency: Residency::default(),
            memory: None,
            sessions: 1,
            logits: 1,
        }
    }
}

impl Options {
    /// Threads that compute.
    pub fn n_threads(&self) -> usize {
        self.threads.unwrap_or_else(machine::physical_cores).max(1)
    }

    /// What keys and values of these states are kept as.
    pub fn kv_types(&self, states: &[StateSpec]) -> KvTypes {
        let usual = match self.arithmetic {
            Arithmetic::Quantized if KvTypes::from(KvType::I16).check(states).is_ok() => KvType::I16,
            Arithmetic::Quantized => KvType::F16,
            Arithmetic::Exact => KvType::F32,
        };
        KvTypes { keys: self.keys.unwrap_or(usual), values: self.values.unwrap_or(usual) }
    }
}
