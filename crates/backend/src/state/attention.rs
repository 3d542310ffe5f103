//! Keys and values of one attention layer in one sequence, in pages of 64 positions.

use std::sync::Arc;

use half::f16;

use crate::KvType;

/// Positions in a page.
pub const PAGE: usize = 64;

/// What keys and values are kept as.
pub trait Element: Copy + Default + Send + Sync + Sized + 'static {
    /// Nearest value, ties to even.
    fn round(x: f32) -> Self;
    /// The same value as f32.
    fn widen(self) -> f32;
    /// Pages of this element. Panics if they hold another.
    fn pages(pages: &Pages) -> &Vec<Arc<Page<Self>>>;
    /// Pages of this element. Panics if they hold another.
    fn pages_mut(pages: &mut Pages) -> &mut Vec<Arc<Page<Self>>>;
}

/// Keys and values of 64 positions. Positions that are not written yet hold anything finite.
#[derive(Clone, Debug)]
pub struct Page<E> {
    head_dim: usize,
    keys: Vec<E>,
    values: Vec<E>,
}

/// Pages of either element; clones share pages until one writes.
#[derive(Clone, Debug)]
pub enum Pages {
    /// As computed.
    F32(Vec<Arc<Page<f32>>>),
    /// Rounded to half precision.
    F16(Vec<Arc<Page<f16>>>),
}

/// One attention layer's keys and values of one sequence, on pages at absolute positions.
///
/// It does not know how many of its positions are valid: that is [`SequenceState::len`](super::SequenceState::len).
#[derive(Clone, Debug)]
pub struct AttentionState {
    n_kv_heads: usize,
    head_dim: usize,
    window: Option<usize>,
    pages: Pages,
    /// Pages that are kept however few positions there are.
    n_reserved: usize,
}

impl<E: Element> Page<E> {
    /// A page of zeros.
    pub fn new(n_kv_heads: usize, head_dim: usize) -> Self {
        let zeros = vec![E::default(); n_kv_heads * head_dim * PAGE];
        Page { head_dim, keys: zeros.clone(), values: zeros }
    }

    /// All keys, `[n_kv_heads, head_dim, 64]`: positions innermost.
    pub fn keys(&self) -> &[E] {
        &self.keys
    }

    /// All values, `[n_kv_heads, 64, head_dim]`.
    pub fn values(&self) -> &[E] {
        &self.values
    }

    /// All keys and all values, to be written.
    pub fn keys_and_values_mut(&mut self) -> (&mut [E], &mut [E]) {
        (&mut self.keys, &mut self.values)
    }

    /// One head's keys, `[head_dim, 64]`.
    pub fn head_keys(&self, head: usize) -> &[E] {
        let n = self.head_dim * PAGE;
        &self.keys[head * n..][..n]
    }

    /// One head's values, `[64, head_dim]`.
    pub fn head_values(&self, head: usize) -> &[E] {
        let n = self.head_dim * PAGE;
        &self.values[head * n..][..n]
    }

    /// Writes keys and values of the page's position `index` (< 64), `[n_kv_heads * head_dim]` each, rounding them.
    pub fn write(&mut self, index: usize, keys: &[f32], values: &[f32]) {
        assert!(index < PAGE, "position {index} of a page of {PAGE}");
        let width = self.keys.len() / PAGE;
        assert_eq!((keys.len(), values.len()), (width, width), "keys and values of a page {width} wide");
        for (i, key) in keys.iter().enumerate() {
            self.keys[i * PAGE + index] = E::round(*key);
        }
        for (i, value) in values.iter().enumerate() {
            let (head, dimension) = (i / self.head_dim, i % self.head_dim);
            self.values[(head * PAGE + index) * self.head_dim + dimension] = E::round(*value);
        }
    }
}

impl AttentionState {
    /// No pages.
    pub fn new(n_kv_heads: usize, head_dim: usize, window: Option<usize>, kv: KvType) -> Self {
        let pages = match kv {
            KvType::F32 => Pages::F32(Vec::new()),
            KvType::F16 => Pages::F16(Vec::new()),
        };
        AttentionState { n_kv_heads, head_dim, window, pages, n_reserved: 0 }
    }

    /// Key/value heads.
    pub fn n_kv_heads(&self) -> usize {
        self.n_kv_heads
    }

    /// Floats per head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Keys a query sees, itself included; none: all.
    pub fn window(&self) -> Option<usize> {
        self.window
    }

    /// What the pages hold.
    pub fn kv_type(&self) -> KvType {
        match self.pages {
            Pages::F32(_) => KvType::F32,
            Pages::F16(_) => KvType::F16,
        }
    }

    /// All pages; page `i` holds positions `64 i .. 64 (i + 1)`.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// A page's elements.
    ///
    /// # Panics
    /// If the state holds another element or has fewer pages.
    pub fn page<E: Element>(&self, index: usize) -> &Page<E> {
        &E::pages(&self.pages)[index]
    }

    /// A page to be written. One that a clone shares is copied first.
    ///
    /// # Panics
    /// If the state holds another element or has fewer pages.
    pub fn page_mut<E: Element>(&mut self, index: usize) -> &mut Page<E> {
        Arc::make_mut(&mut E::pages_mut(&mut self.pages)[index])
    }

    /// Number of pages.
    pub fn n_pages(&self) -> usize {
        match &self.pages {
            Pages::F32(pages) => pages.len(),
            Pages::F16(pages) => pages.len(),
        }
    }

    /// Allocates pages for `n_positions`, and keeps them from now on, but no others than those of the first `len`.
    pub fn reserve(&mut self, n_positions: usize, len: usize) {
        let n_before = self.n_pages();
        self.n_reserved = n_positions.div_ceil(PAGE);
        self.resize(len);
        match &mut self.pages {
            Pages::F32(pages) => pages.iter_mut().skip(n_before).for_each(settle),
            Pages::F16(pages) => pages.iter_mut().skip(n_before).for_each(settle),
        }
    }

    /// Allocates or frees pages so that they just cover `n_positions`, or what is reserved.
    pub fn resize(&mut self, n_positions: usize) {
        match self.kv_type() {
            KvType::F32 => self.resize_pages::<f32>(n_positions),
            KvType::F16 => self.resize_pages::<f16>(n_positions),
        }
    }

    fn resize_pages<E: Element>(&mut self, n_positions: usize) {
        let (n_kv_heads, head_dim) = (self.n_kv_heads, self.head_dim);
        let page = || Arc::new(Page::<E>::new(n_kv_heads, head_dim));
        let n_pages = n_positions.div_ceil(PAGE).max(self.n_reserved);
        E::pages_mut(&mut self.pages).resize_with(n_pages, page);
    }

    /// Writes a position's keys and values, `[n_kv_heads * head_dim]` each, rounding them to the state's type.
    ///
    /// # Panics
    /// If no page covers the position.
    pub fn write(&mut self, position: usize, keys: &[f32], values: &[f32]) {
        let (page, index) = (position / PAGE, position % PAGE);
        match self.kv_type() {
            KvType::F32 => self.page_mut::<f32>(page).write(index, keys, values),
            KvType::F16 => self.page_mut::<f16>(page).write(index, keys, values),
        }
    }

    /// One head's key at a position, `[head_dim]`.
    pub fn read_key(&self, head: usize, position: usize, key: &mut [f32]) {
        for (i, key) in key.iter_mut().enumerate() {
            let at = i * PAGE + position % PAGE;
            *key = match &self.pages {
                Pages::F32(pages) => pages[position / PAGE].head_keys(head)[at],
                Pages::F16(pages) => pages[position / PAGE].head_keys(head)[at].widen(),
            };
        }
    }

    /// One head's value at a position, `[head_dim]`.
    pub fn read_value(&self, head: usize, position: usize, value: &mut [f32]) {
        for (i, value) in value.iter_mut().enumerate() {
            let at = position % PAGE * self.head_dim + i;
            *value = match &self.pages {
                Pages::F32(pages) => pages[position / PAGE].head_values(head)[at],
                Pages::F16(pages) => pages[position / PAGE].head_values(head)[at].widen(),
            };
        }
    }

    /// Bytes of all pages, those shared with clones included.
    pub fn bytes(&self) -> usize {
        let size = match self.kv_type() {
            KvType::F32 => size_of::<f32>(),
            KvType::F16 => size_of::<f16>(),
        };
        self.n_pages() * 2 * self.n_kv_heads * self.head_dim * PAGE * size
    }
}

/// Zeros that nobody wrote are a promise of memory; their copy is memory.
fn settle<E: Element>(page: &mut Arc<Page<E>>) {
    *page = Arc::new(Page::clone(page));
}

impl Element for f32 {
    fn round(x: f32) -> Self {
        x
    }

    fn widen(self) -> f32 {
        self
    }

    fn pages(pages: &Pages) -> &Vec<Arc<Page<Self>>> {
        match pages {
            Pages::F32(pages) => pages,
            Pages::F16(_) => panic!("pages of f16 read as f32"),
        }
    }

    fn pages_mut(pages: &mut Pages) -> &mut Vec<Arc<Page<Self>>> {
        match pages {
            Pages::F32(pages) => pages,
            Pages::F16(_) => panic!("pages of f16 written as f32"),
        }
    }
}

impl Element for f16 {
    fn round(x: f32) -> Self {
        f16::from_f32(x)
    }

    fn widen(self) -> f32 {
        self.to_f32()
    }

    fn pages(pages: &Pages) -> &Vec<Arc<Page<Self>>> {
        match pages {
            Pages::F16(pages) => pages,
            Pages::F32(_) => panic!("pages of f32 read as f16"),
        }
    }

    fn pages_mut(pages: &mut Pages) -> &mut Vec<Arc<Page<Self>>> {
        match pages {
            Pages::F16(pages) => pages,
            Pages::F32(_) => panic!("pages of f32 written as f16"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_lie_as_documented() {
        let mut state = AttentionState::new(2, 3, None, KvType::F32);
        state.resize(PAGE + 2);
        assert_eq!((state.n_pages(), state.bytes()), (2, 2 * 2 * 2 * 3 * PAGE * 4));
        state.write(PAGE + 1, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
        let page = state.page::<f32>(1);
        assert_eq!(page.keys()[(3 + 2) * PAGE + 1], 5.0);
        assert_eq!(page.head_keys(1)[PAGE + 1], 4.0);
        assert_eq!(page.values()[(PAGE + 1) * 3 + 2], 15.0);
        assert_eq!(page.head_values(0)[3 + 1], 11.0);
        let (mut key, mut value) = ([0.0; 3], [0.0; 3]);
        state.read_key(1, PAGE + 1, &mut key);
        state.read_value(0, PAGE + 1, &mut value);
        assert_eq!((key, value), ([3.0, 4.0, 5.0], [10.0, 11.0, 12.0]));
    }

    #[test]
    fn half_precision_rounds_to_even() {
        let mut state = AttentionState::new(1, 4, None, KvType::F16);
        state.resize(1);
        let tie = 1.0 + 2f32.powi(-11);
        state.write(0, &[tie, tie + 2f32.powi(-10), 1e6, 2f32.powi(-24)], &[tie; 4]);
        let mut key = [0.0; 4];
        state.read_key(0, 0, &mut key);
        assert_eq!(key, [1.0, 1.0 + 2f32.powi(-9), f32::INFINITY, 2f32.powi(-24)]);
    }

    #[test]
    fn clones_share_pages_until_one_writes() {
        let mut state = AttentionState::new(1, 2, None, KvType::F16);
        state.resize(2);
        state.write(0, &[1.0, 2.0], &[3.0, 4.0]);
        let clone = state.clone();
        state.write(1, &[5.0, 6.0], &[7.0, 8.0]);
        assert_eq!(clone.page::<f16>(0).head_keys(0)[1], f16::ZERO);
        assert_eq!(state.page::<f16>(0).head_keys(0)[1].to_f32(), 5.0);
        assert_eq!(state.page::<f16>(0).head_keys(0)[0].to_f32(), 1.0);
    }
}
