//! GGUF: one file with everything a model needs.
//!
//! A file is the magic `GGUF`, a version, the number of tensors, the number of metadata entries, the entries, the
//! tensor infos, padding, and the tensors' data, each aligned. All numbers are little-endian. Sizes of a tensor are
//! listed innermost first. Described in the GGML project's `docs/gguf.md`.
//!
//! [`parse`] reads the header, [`merge_shards`] joins the headers of a model split over files, [`Writer`] writes.

#![warn(clippy::as_conversions)]

mod array;
mod header;
mod metadata;
mod reader;
mod split;
mod strings;
mod tensors;
mod value;
mod writer;

pub use array::Array;
pub use header::{Gguf, parse};
pub use metadata::Metadata;
pub use split::{Split, merge_shards, shard_paths};
pub use strings::Strings;
pub use value::Value;
pub use writer::{DataWriter, Writer};

/// First bytes of every file.
const MAGIC: &[u8; 4] = b"GGUF";
/// The version written. Version 2 differs only in that big-endian files did not exist.
const VERSION: u32 = 3;
/// Alignment of data where no key says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;
/// The key that says otherwise.
const ALIGNMENT_KEY: &str = "general.alignment";
/// Most sizes a tensor has.
const MAX_DIMENSIONS: usize = 4;
