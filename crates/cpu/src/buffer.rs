//! Floats that begin where a cache line does.

use std::ops::{Deref, DerefMut};

use crate::lanes::Floats;

/// Floats for kernels: rows whose width is a multiple of sixteen are loaded without crossing lines.
#[derive(Default)]
pub(crate) struct Buffer {
    lanes: Vec<Floats>,
}

impl Buffer {
    /// `len` zeros, and more up to whole lanes.
    pub(crate) fn new(len: usize) -> Self {
        Buffer { lanes: vec![Floats::ZERO; len.div_ceil(16)] }
    }

    /// Makes it at least `len` long; its content is anything.
    pub(crate) fn grow(&mut self, len: usize) {
        if self.len() < len {
            *self = Buffer::new(len);
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `Floats` are sixteen floats and nothing else (`repr(C)`, 64 bytes).
        unsafe { std::slice::from_raw_parts(self.lanes.as_ptr().cast(), 16 * self.lanes.len()) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`; borrowed as long as the result.
        unsafe { std::slice::from_raw_parts_mut(self.lanes.as_mut_ptr().cast(), 16 * self.lanes.len()) }
    }
}
