//! GGUF: round trips, files of other writers, and files that break each rule.

mod malformed;
mod round_trip;
mod split;

use std::path::Path;

use dewdrop_format::FormatError;
use dewdrop_format::gguf::{self, Gguf};

/// Parses a whole file.
fn parse(bytes: &[u8]) -> Result<Gguf, FormatError> {
    gguf::parse(Path::new("m.gguf"), bytes, bytes.len() as u64, 0)
}

/// A GGUF file byte by byte, right or wrong.
#[derive(Clone, Default)]
struct Raw(Vec<u8>);

impl Raw {
    /// Magic, version 3 and the two counts.
    fn new(n_tensors: u64, n_entries: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(n_tensors).u64(n_entries)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    fn u32(self, n: u32) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn u64(self, n: u64) -> Self {
        self.bytes(&n.to_le_bytes())
    }

    fn string(self, text: &str) -> Self {
        self.u64(text.len() as u64).bytes(text.as_bytes())
    }

    /// An entry whose value is a `u32`.
    fn entry(self, key: &str, value: u32) -> Self {
        self.string(key).u32(4).u32(value)
    }

    /// A tensor info; sizes innermost first.
    fn tensor(mut self, name: &str, sizes: &[u64], type_id: u32, offset: u64) -> Self {
        self = self.string(name).u32(sizes.len() as u32);
        for &size in sizes {
            self = self.u64(size);
        }
        self.u32(type_id).u64(offset)
    }

    /// Padding to 32 bytes, then `n` bytes of data.
    fn data(mut self, n: usize) -> Self {
        self.0.resize(self.0.len().next_multiple_of(32) + n, 0);
        self
    }
}
