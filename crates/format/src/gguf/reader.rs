//! Reading a header's bytes in order, never past their end.

use std::path::Path;

use crate::FormatError;
use crate::error::DAMAGED;

/// A place in the bytes of a header.
pub(super) struct Reader<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(path: &'a Path, bytes: &'a [u8]) -> Self {
        Self { path, bytes, offset: 0 }
    }

    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    pub(super) fn offset(&self) -> u64 {
        to_u64(self.offset)
    }

    /// The next `N` bytes. `place` says what is being read, for the message if the file ends here.
    pub(super) fn array<const N: usize>(
        &mut self,
        place: &impl Fn() -> String,
    ) -> Result<[u8; N], FormatError> {
        match self.bytes[self.offset..].first_chunk() {
            Some(bytes) => {
                self.offset += N;
                Ok(*bytes)
            }
            None => Err(self.cut_off(place, to_u64(N))),
        }
    }

    pub(super) fn u32(&mut self, place: &impl Fn() -> String) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array(place)?))
    }

    pub(super) fn u64(&mut self, place: &impl Fn() -> String) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array(place)?))
    }

    /// A count of things of at least `least_bytes` each: refused unless the rest of the bytes can hold them, so that
    /// it may be used as a capacity.
    pub(super) fn count(
        &mut self,
        least_bytes: usize,
        place: &impl Fn() -> String,
    ) -> Result<usize, FormatError> {
        let count = self.u64(place)?;
        self.check_count(count, least_bytes, place)
    }

    /// Refuses `count` things of at least `least_bytes` each unless the rest of the bytes can hold them.
    pub(super) fn check_count(
        &self,
        count: u64,
        least_bytes: usize,
        place: &impl Fn() -> String,
    ) -> Result<usize, FormatError> {
        let needed = count.saturating_mul(to_u64(least_bytes));
        if needed > to_u64(self.bytes.len() - self.offset) {
            return Err(self.cut_off(place, needed));
        }
        // A count within the length of a slice fits its index type.
        usize::try_from(count).map_err(|_| self.cut_off(place, needed))
    }

    /// A string: its length, then that many bytes of UTF-8.
    pub(super) fn string(&mut self, place: &impl Fn() -> String) -> Result<&'a str, FormatError> {
        let start = self.offset;
        let len = self.count(1, place)?;
        let bytes = &self.bytes[self.offset..self.offset + len];
        self.offset += len;
        std::str::from_utf8(bytes).map_err(|_| {
            let found = format!("bytes at byte {start} that are no text");
            FormatError::malformed(self.path, place(), found, "UTF-8", DAMAGED)
        })
    }

    fn cut_off(&self, place: &impl Fn() -> String, needed: u64) -> FormatError {
        let (offset, end) = (self.offset(), to_u64(self.bytes.len()));
        FormatError::CutOff { path: self.path.into(), place: place(), offset, needed, end }
    }
}

/// A `usize` as `u64`: no machine has wider addresses.
pub(super) fn to_u64(n: usize) -> u64 {
    u64::try_from(n).expect("addresses have at most 64 bits")
}
