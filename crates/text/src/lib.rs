//! Tokenizers, incremental detokenizing, chat templates.
//!
//! A [`Tokenizer`] comes from the files of a Hugging Face folder or from GGUF metadata and is the same thing after: a long
//! text is taken in stretches (`stretches`), added tokens are cut out of it (`added`), the rest is normalized and cut into
//! words (the `tokenizers` library; `pre` knows the GGUF names), words become ids (merging by rank in `bpe`, by score in
//! `score_merge`).
//! A [`Detokenizer`] turns ids into text as they come. A [`ChatTemplate`] turns messages into the text of a prompt.
//!
//! Files are hostile until checked and end in a [`TextError`]; no input panics.

#![forbid(unsafe_code)]

mod added;
mod bpe;
mod byte_alphabet;
mod chain;
mod detokenizer;
mod error;
mod gguf;
mod hugging_face;
mod pre;
mod score_merge;
mod special;
mod stretches;
mod template;
mod tokenizer;
mod tokens;
mod vocabulary;

pub use detokenizer::Detokenizer;
pub use error::TextError;
pub use gguf::GgufVocabulary;
pub use hugging_face::HuggingFaceFiles;
pub use special::SpecialIds;
pub use template::{ChatTemplate, Content, Message, TemplateOptions};
pub use tokenizer::{EncodeOptions, Tokenizer};
pub use vocabulary::TokenKind;
