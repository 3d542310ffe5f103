//! On-device inference for language models.
//!
//! [`Engine::open`] takes a model as people have it (a GGUF file, a Hugging Face folder), a [`Session`] is one
//! conversation or text, and [`Session::generate`] yields [`Token`]s with their text:
//!
//! ```
//! use dewdrop::{Engine, Options, Sampling};
//!
//! # #[cfg(not(feature = "built-in"))]
//! # fn main() {}
//! # #[cfg(feature = "built-in")]
//! # fn main() -> Result<(), dewdrop::Error> {
//! // Or `Engine::open(Path::new("model.gguf"), options)`.
//! let engine = Engine::built_in(Options::default())?;
//! let mut session = engine.session()?;
//! session.prompt("The morning dew")?;
//! for token in session.generate(&Sampling { n: Some(32), ..Sampling::default() })? {
//!     print!("{}", token?.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The same file, prompt, settings and seed give the same tokens, whatever else runs, however the prompt is cut, and on
//! however many threads. Everything is synchronous and `Send`; several sessions share one engine.

#![forbid(unsafe_code)]

mod assemble;
mod built_in;
mod engine;
mod error;
mod fingerprint;
mod generation;
mod language;
pub mod machine;
mod options;
pub mod plan;
mod prepared;
mod pressure;
mod recognize;
mod session;
mod stop;
mod together;

pub use assemble::assemble;
pub use built_in::built_in;
pub use dewdrop_backend::{Arithmetic, KV_TYPES, KvType, KvTypes};
pub use dewdrop_engine::{Batch, Cancel, EngineError, Finish, Logprobs, Sampling, SamplingError, Stats};
pub use dewdrop_store::{Checkpoint, CheckpointKind, Residency, Statistics as Streaming};
pub use dewdrop_text::{ChatTemplate, EncodeOptions, Tokenizer};
pub use engine::Engine;
pub use error::Error;
pub use generation::{Generation, Token};
pub use language::tokenizer;
pub use options::{Choice, Options};
pub use plan::Plan;
pub use prepared::{Prepared, open_checkpoint};
pub use pressure::MemoryChange;
pub use recognize::{Model, recognize};
pub use session::Session;
pub use together::{Completion, Event, Request};
