//! Why a file could not be read or written.

use std::path::{Path, PathBuf};

/// Longest part of a name from a file that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Why a model file could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum FormatError {
    /// The file does not start as its format does.
    #[error("{path}: starts with `{found}`, expected {expected} ({remedy})", path = path.display())]
    NotThisFormat { path: PathBuf, found: String, expected: &'static str, remedy: &'static str },
    /// The file ends, or its rest is too small, for what it announces.
    #[error(
        "{path}: {place}: needs {needed} bytes at byte {offset}, but the file ends at byte {end} \
         (cut-off download? fetch it again)",
        path = path.display()
    )]
    CutOff { path: PathBuf, place: String, offset: u64, needed: u64, end: u64 },
    /// Something breaks a rule of the format.
    #[error("{path}: {place}: {found}, expected {expected} ({remedy})", path = path.display())]
    Malformed { path: PathBuf, place: String, found: String, expected: String, remedy: &'static str },
    /// A tensor is of a type that is not supported.
    #[error(
        "{path}: tensor `{tensor}`: type {id}{known} is not supported \
         (quantize the model to another type, such as Q4_K)",
        path = path.display(),
        known = known_as(*name)
    )]
    UnsupportedType { path: PathBuf, tensor: String, id: u32, name: Option<&'static str> },
    /// Two things have the same name.
    #[error("{path}: {what} `{name}` appears twice (damaged file? fetch it again)", path = path.display())]
    Duplicate { path: PathBuf, what: &'static str, name: String },
    /// A tensor's bytes lie outside the file.
    #[error(
        "{path}: tensor `{tensor}`: data ends at byte {end}, but the file has {file_len} bytes \
         (cut-off download? fetch it again)",
        path = path.display()
    )]
    TensorOutOfFile { path: PathBuf, tensor: String, end: u64, file_len: u64 },
    /// Two tensors share bytes.
    #[error(
        "{path}: tensor `{tensor}` starts at byte {start}, inside tensor `{other}`, which ends at byte {end} \
         (damaged file? fetch it again)",
        path = path.display()
    )]
    Overlap { path: PathBuf, tensor: String, start: u64, other: String, end: u64 },
    /// A key of the metadata has a value of the wrong type.
    #[error(
        "{path}: key `{key}`: found {found}, expected {expected} \
         (written by a faulty tool? convert the model again)",
        path = path.display()
    )]
    ValueType { path: PathBuf, key: String, found: String, expected: &'static str },
    /// A JSON text is not what it should be.
    #[error("{path}: {place}: not the JSON that belongs there (damaged file? fetch it again)", path = path.display())]
    Json { path: PathBuf, place: &'static str, source: serde_json::Error },
    /// The shards of a split file do not belong together.
    #[error("{path}: {found}, expected {expected} (are all shards of one model in this folder?)", path = path.display())]
    Shards { path: PathBuf, found: String, expected: String },
    /// What was written does not fit what was declared.
    #[error("{path}: writing tensor `{tensor}`: {found}, expected {expected}", path = path.display())]
    WrongWrite { path: PathBuf, tensor: String, found: String, expected: String },
    /// The operating system refused a write.
    #[error("{path}: write of {len} bytes at byte {offset} failed", path = path.display())]
    Write { path: PathBuf, offset: u64, len: usize, source: std::io::Error },
}

/// What to try when a file breaks a rule that only damage explains.
pub(crate) const DAMAGED: &str = "damaged file? fetch it again";

/// What to try when a file breaks a rule that a tool should have kept.
pub(crate) const FAULTY_TOOL: &str = "written by a faulty tool? convert the model again";

impl FormatError {
    pub(crate) fn malformed(
        path: &Path,
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        remedy: &'static str,
    ) -> Self {
        let (place, found, expected) = (place.into(), found.into(), expected.into());
        Self::Malformed { path: path.into(), place, found, expected, remedy }
    }

    pub(crate) fn duplicate(path: &Path, what: &'static str, name: &str) -> Self {
        Self::Duplicate { path: path.into(), what, name: shown(name) }
    }
}

/// A name from a file as a message may repeat it: without control characters, and not endless.
pub(crate) fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_SHOWN).is_some() {
        text.push_str("...");
    }
    text
}

fn known_as(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" ({name})"))
}
