//! Memory that reads fill: anonymous, given back when it is dropped.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

/// A stretch of memory that begins on a page.
struct Region {
    map: MmapRaw,
}

/// Bytes of a huge page: what most systems have, and a good border where they have others.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

/// A part of a region that nobody else has. Dropping the last one gives the region back.
pub(crate) struct Part {
    region: Arc<Region>,
    range: Range<usize>,
}

impl Part {
    /// Memory of its own, on huge pages where the system has them: direct reads into those are up to three times as fast.
    /// It begins with a huge page, so that there are as many as there can be, and the last one ends within it, so that it
    /// takes no more memory than `len`.
    pub(crate) fn new(len: usize) -> io::Result<Part> {
        let n_huge = len / HUGE_PAGE * HUGE_PAGE;
        let slack = if n_huge > 0 { HUGE_PAGE } else { 0 };
        let region = Region { map: MmapOptions::new().len(len + slack).map_anon()?.into() };
        let address = region.map.as_ptr().addr();
        let start = if n_huge > 0 { address.next_multiple_of(HUGE_PAGE) - address } else { 0 };
        // Advice that is refused leaves small pages, which are as good but slower. Around the huge ones there are to be none,
        // though some systems make them unasked: they would take memory beyond `len`.
        #[cfg(target_os = "linux")]
        for (advice, at, n) in [
            (memmap2::Advice::NoHugePage, 0, start),
            (memmap2::Advice::HugePage, start, n_huge),
            (memmap2::Advice::NoHugePage, start + n_huge, len + slack - start - n_huge),
        ] {
            if n > 0 {
                let _ = region.map.advise_range(advice, at, n);
            }
        }
        Ok(Part { region: Arc::new(region), range: start..start + len })
    }

    /// Addresses for `len` bytes, of which only those that are written will take memory.
    pub(crate) fn sparse(len: usize) -> io::Result<Part> {
        let mut options = MmapOptions::new();
        #[cfg(unix)]
        options.no_reserve_swap();
        let region = Region { map: options.len(len).map_anon()?.into() };
        #[cfg(target_os = "linux")]
        let _ = region.map.advise(memmap2::Advice::NoHugePage);
        Ok(Part { region: Arc::new(region), range: 0..len })
    }

    /// Cuts it into `n` parts of `len` bytes.
    ///
    /// # Panics
    /// If that is more than there is.
    pub(crate) fn cut(self, n: usize, len: usize) -> Vec<Part> {
        assert!(n * len <= self.range.len(), "{n} parts of {len} bytes out of {}", self.range.len());
        let start = self.range.start;
        let part = |i| Part { region: self.region.clone(), range: start + i * len..start + (i + 1) * len };
        (0..n).map(part).collect()
    }

    /// Where its bytes are; writing them there is as writing through this borrow.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut u8 {
        // SAFETY: the range lies within the region, by construction.
        unsafe { self.region.map.as_mut_ptr().add(self.range.start) }
    }

    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// Gives its memory back, but not its addresses; all bytes are zeros until they are written again.
    #[cfg(unix)]
    pub(crate) fn forget(&mut self) {
        let (start, len) = (self.range.start, self.range.len());
        // SAFETY: nobody has a reference to these bytes, because this part is borrowed mutably, and zeros are valid.
        let forgotten =
            unsafe { self.region.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, len) };
        forgotten.expect("whole pages of an anonymous map can be dropped");
    }

    /// Takes other memory in place of its own, of which nobody else may have a part, where there is no such advice. Keeps
    /// it where there is no other.
    #[cfg(not(unix))]
    pub(crate) fn forget(&mut self) {
        if let Ok(part) = Part::sparse(self.range.len()) {
            *self = part;
        }
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the range lies within the region and belongs to this part alone. It is written only through pointers
        // that come from a mutable borrow; whoever keeps one longer keeps the part from being seen meanwhile.
        unsafe {
            std::slice::from_raw_parts(self.region.map.as_ptr().add(self.range.start), self.range.len())
        }
    }
}

impl AsMut<[u8]> for Part {
    fn as_mut(&mut self) -> &mut [u8] {
        let len = self.len();
        // SAFETY: the range lies within the region and belongs to this part alone, which is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::PAGE;

    #[test]
    fn parts_are_apart_and_zero_once_forgotten() {
        let mut parts = Part::new(4 * PAGE).unwrap().cut(2, 2 * PAGE);
        // SAFETY: the pages are the part's.
        unsafe { parts[1].as_mut_ptr().write_bytes(7, 2 * PAGE) };
        assert!(parts[0].as_ref().iter().all(|byte| *byte == 0));
        assert!(parts[1].as_ref().iter().all(|byte| *byte == 7));
        parts[1].forget();
        assert!(parts[1].as_ref().iter().all(|byte| *byte == 0));
        assert_eq!(parts[1].as_ref().as_ptr() as usize % PAGE, 0);
    }
}
