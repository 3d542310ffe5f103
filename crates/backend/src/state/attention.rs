//! Keys and values of one attention layer in one sequence, in pages of 64 positions.

use std::ops::Range;
use std::sync::Arc;

use super::page::{Layout, PAGE, Page, Vector};
use crate::KvTypes;

/// One attention layer's keys and values of one sequence, on pages at absolute positions; clones share pages until one
/// writes.
///
/// It does not know how many of its positions are valid: that is [`SequenceState::len`](super::SequenceState::len).
#[derive(Clone, Debug)]
pub struct AttentionState {
    n_kv_heads: usize,
    head_dim: usize,
    window: Option<usize>,
    types: KvTypes,
    pages: Vec<Arc<Page>>,
    /// Pages that are kept however few positions there are.
    n_reserved: usize,
}

impl AttentionState {
    /// No pages.
    ///
    /// # Panics
    /// If the types do not [fit](crate::KvType::fits) such heads.
    pub fn new(n_kv_heads: usize, head_dim: usize, window: Option<usize>, types: impl Into<KvTypes>) -> Self {
        let types = types.into();
        assert!(types.keys.fits(head_dim) && types.values.fits(head_dim), "{types:?} of heads of {head_dim}");
        AttentionState { n_kv_heads, head_dim, window, types, pages: Vec::new(), n_reserved: 0 }
    }

    /// Key/value heads.
    pub fn n_kv_heads(&self) -> usize {
        self.n_kv_heads
    }

    /// Values per head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Keys a query sees, itself included; none: all.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// What the pages hold.
    pub fn types(&self) -> KvTypes {
        self.types
    }

    /// Page `index`, which holds positions `64 * index .. 64 * (index + 1)`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn page(&self, index: usize) -> &Page {
        &self.pages[index]
    }

    /// Some pages to be written. Those that a clone shares are copied first.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn pages_mut(&mut self, indices: Range<usize>) -> impl Iterator<Item = &mut Page> {
        self.pages[indices].iter_mut().map(Arc::make_mut)
    }

    /// Number of pages.
    pub fn n_pages(&self) -> usize {
        self.pages.len()
    }

    /// Allocates pages for `n_positions`, and keeps them from now on, but no others than those of the first `len`.
    pub fn reserve(&mut self, n_positions: usize, len: usize) {
        let n_before = self.n_pages();
        self.n_reserved = n_positions.div_ceil(PAGE);
        self.resize(len);
        // Zeros that nobody wrote are a promise of memory; their copy is memory.
        for page in self.pages.iter_mut().skip(n_before) {
            *page = Arc::new(Page::clone(page));
        }
    }

    /// Allocates or frees pages so that they just cover `n_positions`, or what is reserved.
    pub fn resize(&mut self, n_positions: usize) {
        let page = || Arc::new(Page::new(self.n_kv_heads, self.head_dim, self.types));
        self.pages.resize_with(n_positions.div_ceil(PAGE).max(self.n_reserved), page);
    }

    /// Writes a position's keys and values, `[n_kv_heads * head_dim]` each, rounding them to the state's types.
    ///
    /// # Panics
    /// If no page covers the position.
    pub fn write(&mut self, position: usize, keys: &[f32], values: &[f32]) {
        let width = self.n_kv_heads * self.head_dim;
        assert_eq!((keys.len(), values.len()), (width, width), "keys and values of a state {width} wide");
        Arc::make_mut(&mut self.pages[position / PAGE]).write(position % PAGE, keys, values);
    }

    /// One head's key at a position.
    pub fn key(&self, head: usize, position: usize) -> Vector {
        let (keys, _) = self.pages[position / PAGE].head(head);
        keys.read(Layout::Keys, self.head_dim, position % PAGE)
    }

    /// One head's value at a position.
    pub fn value(&self, head: usize, position: usize) -> Vector {
        let (_, values) = self.pages[position / PAGE].head(head);
        values.read(Layout::Values, self.head_dim, position % PAGE)
    }

    /// Bytes of all pages, those shared with clones included.
    pub fn bytes(&self) -> usize {
        self.n_pages() * PAGE * self.n_kv_heads * self.types.bytes_for(self.head_dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KvType;

    fn floats(vector: Vector) -> Vec<f32> {
        match vector {
            Vector::Floats(floats) => floats,
            Vector::Words { .. } | Vector::Integers { .. } => panic!("floats are kept"),
        }
    }

    #[test]
    fn positions_come_back() {
        let mut state = AttentionState::new(2, 3, None, KvType::F32);
        state.resize(PAGE + 2);
        assert_eq!((state.n_pages(), state.bytes()), (2, 2 * 2 * 2 * 3 * PAGE * 4));
        state.write(PAGE + 1, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
        assert_eq!(floats(state.key(1, PAGE + 1)), [3.0, 4.0, 5.0]);
        assert_eq!(floats(state.value(0, PAGE + 1)), [10.0, 11.0, 12.0]);
    }

    #[test]
    fn clones_share_pages_until_one_writes() {
        let mut state = AttentionState::new(1, 2, None, KvType::F16);
        state.resize(2);
        state.write(0, &[1.0, 2.0], &[3.0, 4.0]);
        let clone = state.clone();
        state.write(1, &[5.0, 6.0], &[7.0, 8.0]);
        assert_eq!(floats(clone.key(0, 1)), [0.0, 0.0]);
        assert_eq!(floats(state.key(0, 1)), [5.0, 6.0]);
        assert_eq!(floats(state.key(0, 0)), [1.0, 2.0]);
    }
}
