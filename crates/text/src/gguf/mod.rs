//! The tokenizer as GGUF files spell it.
//!
//! `keys` reads and writes the `tokenizer.*` keys, `build` makes a tokenizer of them, `describe` the way back.

mod build;
mod describe;
mod keys;

pub(crate) use build::{LINES, build};
pub(crate) use describe::describe;

use dewdrop_format::gguf::Strings;

use crate::special::SpecialIds;
use crate::vocabulary::TokenKind;

/// `tokenizer.ggml.model` of byte-level BPE.
const BYTE_LEVEL: &str = "gpt2";
/// `tokenizer.ggml.model` of merging by score.
const SCORES: &str = "llama";
/// `tokenizer.ggml.model` of BPE on UTF-8 with `▁` for the space.
const GEMMA4: &str = "gemma4";
/// `dewdrop.tokenizer.normalizer` for none and for the composed form.
const NORMALIZERS: [&str; 2] = ["none", "nfc"];

/// What a GGUF file says about its tokenizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GgufVocabulary {
    /// Where it was read, for messages.
    pub file: String,
    /// `gpt2`, `llama` or `gemma4`: how words become tokens.
    pub model: String,
    /// How text becomes words.
    pub pre: Option<String>,
    /// Names by id.
    pub tokens: Strings,
    /// What each is for; empty: all text.
    pub kinds: Vec<TokenKind>,
    /// Scores by id, for `llama`.
    pub scores: Vec<f32>,
    /// `left right` by rank, for the others.
    pub merges: Strings,
    /// Tokens with a role.
    pub special: SpecialIds,
    /// Whether text begins with the begin token; none: as the pre-tokenizer's models do.
    pub add_bos: Option<bool>,
    /// Whether text ends with the end token; none: no.
    pub add_eos: Option<bool>,
    /// Whether `llama` text begins with a space; none: yes.
    pub add_space_prefix: Option<bool>,
    /// `nfc` or `none`; none: as the pre-tokenizer's models do. A key of dewdrop's own.
    pub normalizer: Option<String>,
    /// Chat templates by name; the usual one is `default`.
    pub templates: Vec<(String, String)>,
}
