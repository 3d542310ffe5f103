//! Owned memory for weights, aligned for any vector load.

use bytemuck::{Pod, Zeroable};

/// Alignment of [`Aligned`] buffers in bytes: a cache line, and the widest vector register.
pub(crate) const ALIGNMENT: usize = 64;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([u8; ALIGNMENT]);

/// Bytes that begin on a multiple of [`ALIGNMENT`].
pub(crate) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// Zeros, `len` rounded up to whole lines.
    pub(crate) fn zeroed(len: usize) -> Self {
        Aligned { lines: vec![Line::zeroed(); len.div_ceil(ALIGNMENT)] }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.lines)
    }
}

impl AsRef<[u8]> for Aligned {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned() {
        let buffer = Aligned::zeroed(100);
        assert_eq!(buffer.as_ref().len(), 128);
        assert_eq!(buffer.as_ref().as_ptr() as usize % ALIGNMENT, 0);
    }
}
