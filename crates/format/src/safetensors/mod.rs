//! Safetensors: how Hugging Face folders keep weights.
//!
//! A file is the length of its header (u64, little-endian), the header in JSON (`{name: {dtype, shape,
//! data_offsets}}` and perhaps `__metadata__`), and the data. A model in several files has an index,
//! `model.safetensors.index.json`, that says which file holds which tensor.

#![warn(clippy::as_conversions)]

mod header;
mod index;

pub use header::{Header, parse_header};
pub use index::parse_index;
