//! Why a model cannot be run.

use serde_json::Value;

/// Longest part of a value from a file that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Why a model cannot be run.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "fields of errors are described by their messages")]
pub enum ModelError {
    /// The file is of a family that is not known.
    #[error("`{key}` is `{found}`, which is no known family (known: {known})")]
    UnknownFamily { key: &'static str, found: String, known: String },
    /// A key is not there, and nothing may be assumed in its place.
    #[error("config key `{key}` is missing, expected {expected}")]
    MissingKey { key: String, expected: String },
    /// A key's value makes no sense.
    #[error("config key `{key}`: found {found}, expected {expected}")]
    BadValue { key: String, found: String, expected: String },
    /// Numbers that make sense alone do not fit each other.
    #[error("{place}: found {found}, expected {expected}")]
    BadSizes { place: String, found: usize, expected: String },
    /// A key asks for mathematics that is not known here.
    #[error(
        "config key `{key}` is {found}, which changes the mathematics in a way that is not supported{hint}"
    )]
    Unsupported { key: String, found: String, hint: String },
    /// A weight of the program has no tensor.
    #[error(
        "tensor `{tensor}` is missing, expected shape {expected:?} (incomplete download, or another family?)"
    )]
    MissingTensor { tensor: String, expected: Vec<usize> },
    /// A tensor has another shape than the config says.
    #[error(
        "tensor `{tensor}`: found shape {found:?}, expected {expected:?} (does the config belong to these weights?)"
    )]
    TensorShape { tensor: String, found: Vec<usize>, expected: Vec<usize> },
    /// A tensor is of a type that its role does not allow.
    #[error("tensor `{tensor}`: found type {found}, expected {expected}")]
    TensorType { tensor: String, found: String, expected: String },
    /// Two tensors are called the same once wrappers' prefixes are taken off.
    #[error("tensors `{first}` and `{second}` are the same weight, expected one of them")]
    DuplicateTensor { first: String, second: String },
    /// Tensors that no part of the program uses.
    #[error(
        "{count} tensors have no use in family {family}, so something about this model is not known: {first}"
    )]
    UnknownTensors { family: &'static str, count: usize, first: String },
}

impl ModelError {
    pub(crate) fn bad(key: &str, found: &Value, expected: impl Into<String>) -> Self {
        Self::BadValue { key: shown(key), found: in_words(found), expected: expected.into() }
    }

    pub(crate) fn unsupported(key: &str, found: &Value, hint: impl Into<String>) -> Self {
        Self::Unsupported { key: shown(key), found: in_words(found), hint: hint.into() }
    }

    pub(crate) fn missing(key: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::MissingKey { key: key.into(), expected: expected.into() }
    }
}

/// A value as a message may repeat it: JSON, not endless.
fn in_words(value: &Value) -> String {
    match value {
        Value::Array(items) if items.len() > 8 => format!("a list of {} values", items.len()),
        Value::Object(entries) if entries.len() > 8 => format!("an object of {} entries", entries.len()),
        _ => format!("`{}`", shown(&value.to_string())),
    }
}

/// Text from a file as a message may repeat it: without control characters, and not endless.
pub(crate) fn shown(text: &str) -> String {
    let mut clean: String =
        text.chars().take(MAX_SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        clean.push_str("...");
    }
    clean
}
