//! Bytes on disk: GGUF, safetensors, block types.
//!
//! Everything here turns bytes from outside into checked values and back, and nothing here knows what a model does
//! with them. A container ([`gguf`], [`safetensors`]) yields [`TensorInfo`]s: a name, a shape, a [`BlockType`] and
//! where the bytes lie. A [`Block`] says how those bytes spell weights: layout, decoding, encoding, and how the
//! type enters an integer product.
//!
//! Files are hostile until checked: every count and length is compared with the bytes that are left before anything
//! is allocated, arithmetic on offsets is checked, and a file that breaks a rule ends in a [`FormatError`] that says
//! where, what was found and what was expected. No input panics.
//!
//! To add a block type, write its file in `block/`, add its variant to [`BlockType`] and its line to
//! [`BLOCK_TYPES`].

#![forbid(unsafe_code)]

mod block;
mod error;
pub mod gguf;
pub mod safetensors;
mod tensor;

pub use block::{BLOCK_TYPES, Block, BlockType, Integers};
pub use error::FormatError;
pub use tensor::TensorInfo;
