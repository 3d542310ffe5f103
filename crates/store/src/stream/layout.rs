//! Which stretches of files hold a section's tensors, and where these lie once the stretches are in memory.

use std::ops::Range;

use super::PAGE;
use crate::WeightSource;

/// Bytes between two tensors that are read along rather than cutting the read in two.
const GAP: u64 = 64 << 10;

/// A stretch of a file, on whole pages, and its place in a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Index of the file.
    pub(crate) file: usize,
    /// A multiple of [`PAGE`].
    pub(crate) offset: u64,
    /// A multiple of [`PAGE`]; the last one of a file may reach beyond its end.
    pub(crate) len: usize,
    /// Where it goes, a multiple of [`PAGE`].
    pub(crate) at: usize,
}

/// How a section lies in a buffer of its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) extents: Vec<Extent>,
    /// Bytes of each weight within the buffer, in the order of the section's slots.
    pub(crate) places: Vec<Range<usize>>,
    /// Of the buffer, a multiple of [`PAGE`].
    pub(crate) len: usize,
}

impl Layout {
    /// The fewest stretches that hold the tensors where they lie in their files.
    pub(crate) fn new(sources: &[WeightSource]) -> Layout {
        let mut by_place: Vec<usize> = (0..sources.len()).collect();
        by_place.sort_by_key(|&i| (sources[i].info.file, sources[i].info.offset));
        let mut layout = Layout { places: vec![0..0; sources.len()], ..Layout::default() };
        for i in by_place {
            layout.places[i] = layout.add(&sources[i]);
        }
        layout
    }

    /// Takes the next tensor in order of files and offsets; yields its place.
    fn add(&mut self, WeightSource { info, .. }: &WeightSource) -> Range<usize> {
        let (page, start, end) = (PAGE as u64, info.offset, info.offset + info.len);
        let joins =
            |last: &&mut Extent| last.file == info.file && start <= last.offset + last.len as u64 + GAP;
        if let Some(last) = self.extents.last_mut().filter(joins) {
            last.len = last.len.max((end.next_multiple_of(page) - last.offset) as usize);
        } else {
            let offset = start / page * page;
            let len = (end.next_multiple_of(page) - offset) as usize;
            self.extents.push(Extent { file: info.file, offset, len, at: self.len });
        }
        let last = self.extents.last().expect("one was just there");
        self.len = last.at + last.len;
        let place = last.at + (start - last.offset) as usize;
        place..place + info.len as usize
    }
}

/// Bytes of a staging slot that a section with these weights takes, the pages around its tensors included.
pub fn staging_len(sources: &[WeightSource]) -> usize {
    Layout::new(sources).len
}

/// Bytes of memory that a section with these weights takes where it is pinned.
pub fn pinned_len(sources: &[WeightSource]) -> usize {
    sources.chunks(1).map(staging_len).sum()
}

#[cfg(test)]
mod tests {
    use dewdrop_backend::Transform;
    use dewdrop_format::{BlockType, TensorInfo};

    use super::*;

    fn source(file: usize, offset: u64, len: u64) -> WeightSource {
        let shape = vec![len as usize / 4];
        let info = TensorInfo { name: String::new(), block_type: BlockType::F32, shape, file, offset, len };
        WeightSource { info, transform: Transform::None, shape: [1, len as usize / 4] }
    }

    #[test]
    fn neighbours_are_read_together_and_the_distant_apart() {
        let far = 10 << 20;
        let layout = Layout::new(&[
            source(0, far + 32, 8),
            source(0, 5000, 4000),
            source(0, 4100, 900),
            source(1, 4100, 100),
        ]);
        let extent = |file, offset, len, at| Extent { file, offset, len, at };
        assert_eq!(
            layout.extents,
            [extent(0, 4096, 8192, 0), extent(0, far, 4096, 8192), extent(1, 4096, 4096, 12288)]
        );
        assert_eq!(layout.places, [8192 + 32..8192 + 40, 904..4904, 4..904, 12292..12392]);
        assert_eq!(layout.len, 16384);
    }

    #[test]
    fn one_tensor_may_serve_two_slots() {
        let layout = Layout::new(&[source(0, 64, 64), source(0, 64, 64)]);
        assert_eq!((layout.extents.len(), layout.len), (1, PAGE));
        assert_eq!(layout.places, [64..128, 64..128]);
    }
}
