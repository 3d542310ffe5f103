//! How a model is to be run.

use dewdrop_backend::{Arithmetic, KvType};
use dewdrop_store::Residency;

use crate::machine;

/// Prompt rows per pass: enough that reading weights costs little beside computing.
const CHUNK: usize = 512;

/// How a model is to be run. None of these but `arithmetic` and `kv` changes a token.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Threads that compute; none: one per physical core.
    pub threads: Option<usize>,
    /// Most tokens of a session; none: what the model was made for.
    pub context: Option<usize>,
    /// How linear layers compute.
    pub arithmetic: Arithmetic,
    /// How keys and values are kept; none: F16, or F32 in exact arithmetic.
    pub kv: Option<KvType>,
    /// Who computes.
    pub backend: Choice,
    /// Most prompt rows per pass.
    pub chunk: usize,
    /// How weights live.
    pub residency: Residency,
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

impl Default for Options {
    fn default() -> Self {
        Options {
            threads: None,
            context: None,
            arithmetic: Arithmetic::default(),
            kv: None,
            backend: Choice::Cpu { isa: None },
            chunk: CHUNK,
            residency: Residency::default(),
        }
    }
}

impl Options {
    /// Threads that compute.
    pub fn n_threads(&self) -> usize {
        self.threads.unwrap_or_else(machine::physical_cores).max(1)
    }

    /// How keys and values are kept.
    pub fn kv_type(&self) -> KvType {
        self.kv.unwrap_or(match self.arithmetic {
            Arithmetic::Quantized => KvType::F16,
            Arithmetic::Exact => KvType::F32,
        })
    }
}
