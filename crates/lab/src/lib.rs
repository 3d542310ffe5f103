//! Converting, evaluating and measuring models.

#![forbid(unsafe_code)]

pub mod bench;
pub mod convert;
pub mod evaluate;
mod output;

pub mod verify;

pub use output::{OutputError, write_text};
