//! The vocabulary of operations, the arithmetic, and the oracle.
//!
//! A model is compiled to a [`Program`]: for the entry, each layer and the exit, a short list of [`Op`]s over a few
//! named buffers ([`Register`]) with weights by slot. A [`Backend`] records those operations in order for a batch of
//! [`Row`]s. `docs/arithmetic.md` defines the bits of every operation's result; [`oracle`] is that text as plain loops,
//! and every other backend is held to it bit for bit.

#![forbid(unsafe_code)]

mod backend;
mod cut;
mod error;
pub mod halves;
mod kv_type;
mod liveness;
pub mod math;
mod operation;
pub mod oracle;
mod program;
pub mod quantize;
pub mod rope;
pub mod state;
mod weight;

pub use backend::{Arithmetic, Backend, LoadedId, Reserve, Row, SequenceId, check_finite, largest, maximum};
pub use cut::{Cut, Origin, WeightPart};
pub use error::BackendError;
pub use kv_type::{KV_GROUP, KV_TYPES, KvType, KvTypes};
pub use operation::{Activation, Attention, DeltaRule, HeadOrder, Op, Register, ShortConv, WeightSlot};
pub use program::{Pairing, Program, Rope, Section, StateSpec, WeightSpec};
pub use weight::{Blocks, Memory, Transform, Weight};
