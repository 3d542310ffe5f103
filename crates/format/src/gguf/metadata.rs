//! The key-value part of a GGUF file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::strings::Strings;
use super::value::Value;
use crate::FormatError;
use crate::error::shown;

/// Keys and values in the order of the file.
///
/// The typed queries give `Ok(None)` for a key that is not there, and an error that names file and key for one that
/// holds another type.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    path: PathBuf,
    entries: Vec<(String, Value)>,
    positions: HashMap<String, usize>,
}

impl Metadata {
    /// No entries yet. `path` is for messages.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// Sets a key, in place if it is there, else at the end.
    pub fn insert(&mut self, key: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.positions.get(key) {
            Some(&position) => self.entries[position].1 = value,
            None => self.push(key, value),
        }
    }

    /// Appends an entry read from a file.
    pub(super) fn append(&mut self, key: &str, value: Value) -> Result<(), FormatError> {
        if self.positions.contains_key(key) {
            return Err(FormatError::duplicate(&self.path, "key", key));
        }
        self.push(key, value);
        Ok(())
    }

    /// The file these came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.positions.get(key).map(|&position| &self.entries[position].1)
    }

    /// A whole number from zero up, of any integer type.
    pub fn get_u64(&self, key: &str) -> Result<Option<u64>, FormatError> {
        self.typed(key, "a whole number from 0 up", Value::as_u64)
    }

    /// A whole number of any integer type.
    pub fn get_i64(&self, key: &str) -> Result<Option<i64>, FormatError> {
        self.typed(key, "a whole number", Value::as_i64)
    }

    /// A floating-point number.
    pub fn get_f32(&self, key: &str) -> Result<Option<f32>, FormatError> {
        self.typed(key, "f32", Value::as_f32)
    }

    /// A truth value.
    pub fn get_bool(&self, key: &str) -> Result<Option<bool>, FormatError> {
        self.typed(key, "bool", Value::as_bool)
    }

    /// A text.
    pub fn get_str(&self, key: &str) -> Result<Option<&str>, FormatError> {
        self.typed(key, "string", Value::as_str)
    }

    /// An array of whole numbers from zero up, of any integer type.
    pub fn get_u64s(&self, key: &str) -> Result<Option<Vec<u64>>, FormatError> {
        self.typed(key, "array of whole numbers from 0 up", |value| value.as_array()?.to_u64s())
    }

    /// An array of whole numbers of any integer type.
    pub fn get_i64s(&self, key: &str) -> Result<Option<Vec<i64>>, FormatError> {
        self.typed(key, "array of whole numbers", |value| value.as_array()?.to_i64s())
    }

    /// An array of singles.
    pub fn get_f32s(&self, key: &str) -> Result<Option<&[f32]>, FormatError> {
        self.typed(key, "array of f32", |value| value.as_array()?.as_f32s())
    }

    /// An array of truth values.
    pub fn get_bools(&self, key: &str) -> Result<Option<&[bool]>, FormatError> {
        self.typed(key, "array of bool", |value| value.as_array()?.as_bools())
    }

    /// An array of texts.
    pub fn get_strings(&self, key: &str) -> Result<Option<&Strings>, FormatError> {
        self.typed(key, "array of string", |value| value.as_array()?.as_strings())
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &'static str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, FormatError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(FormatError::ValueType {
                path: self.path.clone(),
                key: shown(key),
                found: described(value),
                expected,
            }),
        }
    }

    fn push(&mut self, key: &str, value: Value) {
        self.positions.insert(key.into(), self.entries.len());
        self.entries.push((key.into(), value));
    }
}

/// Equal entries in equal order; where they came from does not matter.
impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

/// Type and, where it is short, value.
fn described(value: &Value) -> String {
    let name = value.type_name();
    match value {
        Value::Array(_) => name,
        Value::String(text) => format!("{name} `{}`", shown(text)),
        _ => match (value.as_i64(), value.as_f32(), value.as_bool()) {
            (Some(n), _, _) => format!("{name} `{n}`"),
            (_, Some(x), _) => format!("{name} `{x}`"),
            (_, _, Some(truth)) => format!("{name} `{truth}`"),
            _ => name,
        },
    }
}
