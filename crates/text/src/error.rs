//! What can be wrong with a tokenizer or a chat template.

use std::path::PathBuf;

use dewdrop_format::FormatError;

/// Why text could not become ids, ids text, or messages a prompt.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields are what the message names")]
pub enum TextError {
    /// A file of the tokenizer could not be read.
    #[error("{path}: cannot be read (is the folder complete?)")]
    Read { path: PathBuf, source: std::io::Error },
    /// A file is not JSON of the expected shape.
    #[error("{file}: not JSON of the expected shape (cut-off download? fetch it again)")]
    Json { file: String, source: serde_json::Error },
    /// GGUF metadata holds a value of the wrong type.
    #[error("the tokenizer's metadata cannot be used")]
    Format(#[from] FormatError),
    /// A key holds something no tokenizer may hold.
    #[error("{file}: `{key}`: found {found}, expected {expected} ({remedy})")]
    Malformed { file: String, key: String, found: String, expected: String, remedy: &'static str },
    /// A key asks for something dewdrop does not do.
    #[error("{file}: `{key}`: {found} is not supported, expected {expected}")]
    Unsupported { file: String, key: String, found: String, expected: String },
    /// The pre-tokenizer's name is not in the table.
    #[error("{file}: `tokenizer.ggml.pre`: unknown pre-tokenizer `{found}`, expected one of {known}")]
    UnknownPre { file: String, found: String, known: String },
    /// A character has neither a token nor byte tokens to spell it.
    #[error("the vocabulary has no token for `{piece}` and no byte tokens to spell it")]
    NoToken { piece: String },
    /// The tokenizer library refused text.
    #[error("text cannot be encoded: {message}")]
    Encode { message: String },
    /// A chat template does not parse.
    #[error("chat template: line {line}: {message}")]
    TemplateSyntax { line: usize, message: String },
    /// A chat template refused the messages, by its own words.
    #[error("chat template refuses these messages: {message}")]
    TemplateRefused { message: String },
    /// A chat template failed while rendering.
    #[error("chat template: line {line}: {message}")]
    TemplateRender { line: usize, message: String },
}

/// What to do about a file that breaks the format's own rules.
pub(crate) const DAMAGED: &str = "damaged or hand-made file? fetch or convert it again";

impl TextError {
    /// A [`TextError::Malformed`] whose remedy is a fresh copy of the file.
    pub(crate) fn malformed(
        file: &str,
        key: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            file: file.into(),
            key: key.into(),
            found: found.into(),
            expected: expected.into(),
            remedy: DAMAGED,
        }
    }

    /// A [`TextError::Unsupported`].
    pub(crate) fn unsupported(
        file: &str,
        key: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Unsupported {
            file: file.into(),
            key: key.into(),
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// Text from a file, short enough for a message and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
