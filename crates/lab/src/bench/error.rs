//! Why there are no figures.

use std::io;

use dewdrop_backend::BackendError;
use dewdrop_engine::EngineError;
use dewdrop_format::FormatError;
use dewdrop_model::ModelError;
use dewdrop_store::StoreError;
use dewdrop_text::TextError;

use crate::OutputError;

/// Why a model could not be measured or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum BenchError {
    /// The model's files cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model cannot be run.
    #[error("the model cannot be run")]
    Model(#[from] ModelError),
    /// The backend cannot be had.
    #[error(transparent)]
    Open(Box<dewdrop::Error>),
    /// This machine does not have the instruction set.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A pass failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The tokenizer of a made-up model cannot be spelled.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A made-up model cannot be spelled.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A made-up model cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The system has not enough memory.
    #[error("{bytes} bytes of memory for {what} cannot be had")]
    Memory { bytes: usize, what: &'static str, source: io::Error },
    /// More positions than the model was made for.
    #[error(
        "{asked} positions, but the model was made for at most {most} (ask for less depth or fewer tokens)"
    )]
    Context { asked: usize, most: usize },
    /// More rows in a pass than the budget has room for.
    #[error(
        "{asked} rows, but the budget has room for {most} in a pass (ask for fewer rows, or give more memory)"
    )]
    Rows { asked: usize, most: usize },
    /// The fast backend and the oracle differ: no speed is worth telling then.
    #[error("the logits at position {position} differ from the oracle's (this is a bug: please report it)")]
    Differs { position: usize },
    /// It was asked to end.
    #[error("the measurement was cancelled")]
    Cancelled,
}

impl From<dewdrop::Error> for BenchError {
    fn from(error: dewdrop::Error) -> Self {
        Self::Open(Box::new(error))
    }
}
