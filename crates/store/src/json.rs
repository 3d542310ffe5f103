//! Small JSON files beside the weights.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::StoreError;

/// Configs are kilobytes, the index of the largest models a few megabytes.
const LIMIT_BYTES: u64 = 64 << 20;

/// Reads a file of bounded size.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>, StoreError> {
    let open_error = |source| StoreError::Open { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(open_error)?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile { path: path.to_owned() });
    }
    if metadata.len() > LIMIT_BYTES {
        return Err(StoreError::TooLarge { path: path.to_owned(), len: metadata.len(), limit: LIMIT_BYTES });
    }
    fs::read(path).map_err(open_error)
}

/// Reads and parses a JSON file.
pub(crate) fn read_json(path: &Path) -> Result<Value, StoreError> {
    let bytes = read_small(path)?;
    serde_json::from_slice(&bytes).map_err(|source| StoreError::Json { path: path.to_owned(), source })
}
