//! The tokenizer as Hugging Face folders spell it.
//!
//! `files` finds and reads them, `tokenizer_json` is the shape of the main one, `steps` what its steps mean for us,
//! `roles` the tokens with a role, `build` puts all together.

mod build;
mod files;
mod roles;
mod steps;
mod tokenizer_json;

pub(crate) use build::build;
pub use files::HuggingFaceFiles;
pub(crate) use files::read_folder;

/// Name of the main file, for messages.
const TOKENIZER: &str = "tokenizer.json";
/// Name of the file with roles and templates, for messages.
const CONFIG: &str = "tokenizer_config.json";
