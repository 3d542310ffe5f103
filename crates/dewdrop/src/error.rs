//! What can go wrong, for a user of this crate.

use std::path::PathBuf;

use dewdrop_backend::BackendError;
use dewdrop_engine::EngineError;
use dewdrop_model::ModelError;
use dewdrop_store::{Checkpoint, StoreError};
use dewdrop_text::TextError;

use crate::plan::TooSmall;

/// Why a model could not be opened, or a session not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// The files cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files are fine, the model is not one we can run.
    #[error("{path}: this model cannot be run")]
    Model { path: PathBuf, source: Box<ModelError> },
    /// The tokenizer or chat template cannot be used, or not for this text.
    #[error("{path}: text cannot be turned into tokens")]
    Text { path: PathBuf, source: Box<TextError> },
    /// More context than the model was made for.
    #[error("a context of {asked} tokens, but the model was made for at most {most}")]
    Context { asked: usize, most: usize },
    /// The budget does not suffice, however little is kept in memory.
    #[error("{path}: {refusal}")]
    Memory { path: PathBuf, refusal: Box<TooSmall> },
    /// The backend cannot be had on this machine.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A pass failed, or a request was not valid.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No model was built into this program.
    #[error("no model is built into this program (give a model file or folder)")]
    NoBuiltIn,
}

impl Error {
    pub(crate) fn text(checkpoint: &Checkpoint, source: TextError) -> Self {
        Error::Text { path: checkpoint.path().to_owned(), source: Box::new(source) }
    }
}
