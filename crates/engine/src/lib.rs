//! Sessions, batches of rows, sampling.
//!
//! A [`Core`] is a backend with a program and a store of weights: it runs passes over rows. A [`Session`] is one sequence
//! of token ids on a shared core: it cuts prompts into chunks, reuses what is computed already, and generates with a
//! [`Sampler`]. A [`Batch`] runs rows of several sessions in one pass. Everything here is ids and logits; text and files
//! belong to other rooms.

#![forbid(unsafe_code)]

mod batch;
mod cancel;
mod core;
mod error;
mod generate;
pub mod sampler;
mod session;
mod stats;

pub use batch::Batch;
pub use cancel::Cancel;
pub use core::{Core, Room, SharedCore};
pub use error::EngineError;
pub use generate::{Choice, Finish, Generation};
pub use sampler::{Logprobs, Sampler, Sampling, SamplingError};
pub use session::{Limits, Session};
pub use stats::Stats;
