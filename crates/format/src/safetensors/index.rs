//! The index of a model in several files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::FormatError;
use crate::error::{DAMAGED, shown};

/// Which file of the index's folder holds which tensor.
///
/// # Errors
///
/// If the JSON is not an index, or a file's name is more than a name: it must not lead out of the folder.
pub fn parse_index(path: &Path, json: &[u8]) -> Result<BTreeMap<String, String>, FormatError> {
    let index: Index = serde_json::from_slice(json).map_err(|source| FormatError::Json {
        path: path.into(),
        place: "index",
        source,
    })?;
    for (tensor, file) in &index.weight_map {
        if !is_file_name(file) {
            let (place, found) = (format!("tensor `{}`", shown(tensor)), format!("file `{}`", shown(file)));
            let expected = "the name of a .safetensors file in the same folder";
            return Err(FormatError::malformed(path, place, found, expected, DAMAGED));
        }
    }
    Ok(index.weight_map)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether this names a file in a folder on any system: no separators, drives, parents or hidden files.
fn is_file_name(file: &str) -> bool {
    let plain = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | ':');
    file.ends_with(".safetensors") && !file.starts_with('.') && file.chars().all(plain)
}
