//! Checksums in a file: `model.gguf.checksums.json` beside `model.gguf`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Checksums, PIECE, Sums};
use crate::StoreError;
use crate::json::read_small;

/// What the file says it is; another number where it means something else.
const FORMAT: &str = "dewdrop checksums 1";
const ALGORITHM: &str = "xxh3-64";
/// Characters of a sum in hexadecimal.
const DIGITS: usize = 16;

/// Where the checksums of a file lie.
pub fn sidecar_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".checksums.json");
    name.into()
}

#[derive(Deserialize, Serialize)]
struct Sidecar {
    format: String,
    algorithm: String,
    piece_bytes: u64,
    file_bytes: u64,
    header: Entry,
    tensors: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Serialize)]
struct Entry {
    offset: u64,
    bytes: u64,
    /// Of each piece, in hexadecimal, one after the other.
    sums: String,
}

impl Checksums {
    /// The sidecar's text.
    pub fn to_json(&self) -> String {
        let tensors = self.tensors.iter().map(|(name, sums)| (name.clone(), Entry::from(sums)));
        let sidecar = Sidecar {
            format: FORMAT.into(),
            algorithm: ALGORITHM.into(),
            piece_bytes: PIECE,
            file_bytes: self.len,
            header: (&self.header).into(),
            tensors: tensors.collect(),
        };
        let mut text = serde_json::to_string_pretty(&sidecar).expect("keys are texts");
        text.push('\n');
        text
    }
}

/// Reads a sidecar.
pub(super) fn read(path: &Path) -> Result<Checksums, StoreError> {
    let bytes = read_small(path)?;
    let sidecar: Sidecar = serde_json::from_slice(&bytes)
        .map_err(|source| StoreError::Json { path: path.to_owned(), source })?;
    let refuse =
        |found: String, expected: String| StoreError::Checksums { path: path.to_owned(), found, expected };
    let Sidecar { format, algorithm, piece_bytes, .. } = &sidecar;
    if (&**format, &**algorithm, *piece_bytes) != (FORMAT, ALGORITHM, PIECE) {
        let found = format!("`{format}`, {algorithm} of {piece_bytes} bytes");
        return Err(refuse(found, format!("`{FORMAT}`, {ALGORITHM} of {PIECE} bytes")));
    }
    let sums = |place: &str, entry: &Entry| {
        entry.sums().ok_or_else(|| {
            let found = format!("{place}: {} characters of sums", entry.sums.len());
            refuse(found, format!("{DIGITS} hexadecimal ones for each piece of {} bytes", entry.bytes))
        })
    };
    let tensors = sidecar.tensors.iter().map(|(name, entry)| Ok((name.clone(), sums(name, entry)?)));
    Ok(Checksums {
        len: sidecar.file_bytes,
        header: sums("header", &sidecar.header)?,
        tensors: tensors.collect::<Result<_, StoreError>>()?,
    })
}

impl From<&Sums> for Entry {
    fn from(sums: &Sums) -> Self {
        let text = sums.pieces.iter().map(|sum| format!("{sum:016x}")).collect();
        Entry { offset: sums.offset, bytes: sums.len, sums: text }
    }
}

impl Entry {
    /// None if the text is no sums, or not as many as there are pieces.
    fn sums(&self) -> Option<Sums> {
        let (digits, rest) = self.sums.as_bytes().as_chunks::<DIGITS>();
        let is_complete = rest.is_empty() && digits.len() as u64 == self.bytes.div_ceil(PIECE);
        self.offset.checked_add(self.bytes).filter(|_| is_complete)?;
        let sum = |digits: &[u8; DIGITS]| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let pieces = digits.iter().map(sum).collect::<Option<_>>()?;
        Some(Sums { offset: self.offset, len: self.bytes, pieces })
    }
}
