//! Why a pass or a session could not go on.

use dewdrop_backend::BackendError;
use dewdrop_store::StoreError;

use crate::SamplingError;

/// Why a pass or a session could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum EngineError {
    /// The backend refused or failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Weights could not be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sampling parameters out of range.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
    /// More tokens than the context holds.
    #[error(
        "{needed} tokens do not fit the context of {context} (shorten the prompt, or ask for a larger context)"
    )]
    ContextFull { needed: usize, context: usize },
    /// More sessions at a time than the memory budget was planned for.
    #[error(
        "{most} sessions are open, and there is memory for no more (close one, or open the model with a larger \
         `Options::sessions`)"
    )]
    SessionsFull { most: usize },
    /// There is nothing to go on from.
    #[error("no tokens to continue from: give a prompt first")]
    EmptyPrompt,
    /// The session's cancel flag was set. What was computed before stays.
    #[error("cancelled")]
    Cancelled,
    /// Sessions of different cores cannot share a pass.
    #[error("the sessions of a batch must share one core")]
    ForeignSession,
    /// A pass panicked in another thread, so that the backend's state is unknown.
    #[error("an earlier pass panicked; open the model again")]
    Poisoned,
}
