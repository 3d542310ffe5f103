//! The fast CPU backend: the oracle's bits at the machine's speed.
//!
//! [`Cpu`] takes a program's operations one after another (`op/`), cuts each into tasks, and a pool of threads runs them
//! (`pool`). Tasks call kernels (`body/`), each written once over sixteen lanes (`lanes`) and compiled for every
//! instruction set (`isa/`). Quantized weights are unpacked (`unpack/`) into panels of sixteen channels (`panel`), which
//! serve all rows of the batch; a single row is multiplied as they are unpacked. A model starts from blocks as they lie in
//! the file; weights that are used again are rearranged (`panels`) so that sixteen channels are one stream.
//!
//! Nothing here defines a result: `docs/arithmetic.md` does, and tests compare every kernel on every instruction set,
//! and whole programs, with the oracle, bit for bit.

// Kernels index small arrays by constant counts, which the compiler unrolls into registers; iterators with closures
// would have to be inlined to be compiled with the instruction set enabled.
#![allow(clippy::needless_range_loop, reason = "see above")]

mod activations;
mod body;
mod buffer;
mod cpu;
mod disjoint;
mod footprint;
mod isa;
mod lanes;
pub mod limits;
mod loaded;
mod op;
mod pairs;
mod panel;
mod panels;
mod pass;
mod pool;
mod registers;
mod rows;
mod scratch;
mod unpack;

pub use cpu::{Cpu, instruction_set, instruction_sets};
pub use footprint::activation_bytes;
pub use loaded::moved_bytes;
pub use pool::check_threads;
pub use scratch::scratch_bytes;
