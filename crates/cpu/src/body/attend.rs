//! Attention of one row's query heads that share a key/value head.
//!
//! A page is one block of 64 keys of `docs/arithmetic.md`, "Attend". Scores have keys as lanes (keys lie with positions
//! innermost), weighted values have dimensions as lanes; heads that share the page share its loads.

use std::ops::Range;

use dewdrop_backend::state::{Element, PAGE};
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::math::{exp, padded, sigmoid};
use crate::lanes::{Job, Lanes};

/// Vectors of keys in a page.
const KEY_VECTORS: usize = PAGE / 16;

/// What keys and values are kept as, on lanes.
pub(crate) trait Kept: Element {
    fn load<L: Lanes>(l: L, from: &[Self; 16]) -> L::F;
    fn store<L: Lanes>(l: L, x: L::F, to: &mut [Self; 16]);
}

impl Kept for f32 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[f32; 16]) -> L::F {
        l.load(from)
    }

    #[inline(always)]
    fn store<L: Lanes>(l: L, x: L::F, to: &mut [f32; 16]) {
        l.store(x, to);
    }
}

impl Kept for f16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[f16; 16]) -> L::F {
        l.load_half(from.reinterpret_cast().first_chunk().expect("sixteen values"))
    }

    #[inline(always)]
    fn store<L: Lanes>(l: L, x: L::F, to: &mut [f16; 16]) {
        l.store_half(x, to.reinterpret_cast_mut().first_chunk_mut().expect("sixteen values"));
    }
}

/// Writes one position of a page's key/value head.
pub(crate) struct Keep<'a, E> {
    /// `[head_dim]`.
    pub(crate) key: &'a [f32],
    /// `[head_dim]`.
    pub(crate) value: &'a [f32],
    /// The position's index in the page.
    pub(crate) index: usize,
    /// `[head_dim, 64]`.
    pub(crate) keys: &'a mut [E],
    /// `[64, head_dim]`.
    pub(crate) values: &'a mut [E],
}

impl<E: Kept> Job for Keep<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let mut lanes = [E::default(); 16];
        let keys = self.keys.chunks_mut(16 * PAGE).zip(self.key.chunks(16));
        for (keys, key) in keys {
            E::store(l, l.load(&padded(key)), &mut lanes);
            for (keys, key) in keys.as_chunks_mut::<PAGE>().0.iter_mut().zip(&lanes) {
                keys[self.index] = *key;
            }
        }
        let dim = self.value.len();
        let values = &mut self.values[self.index * dim..][..dim];
        for (values, value) in values.chunks_mut(16).zip(self.value.chunks(16)) {
            E::store(l, l.load(&padded(value)), &mut lanes);
            values.copy_from_slice(&lanes[..values.len()]);
        }
    }
}

/// One page of a key/value head, and the positions of it that a row sees.
pub(crate) struct VisiblePage<'a, E> {
    /// `[head_dim, 64]`.
    pub(crate) keys: &'a [E],
    /// `[64, head_dim]`.
    pub(crate) values: &'a [E],
    /// Not empty, within 0..64.
    pub(crate) visible: Range<usize>,
}

/// Some query heads of a row over the pages it sees.
pub(crate) struct Attend<'a, E: 'a, P: Iterator<Item = VisiblePage<'a, E>> + Clone> {
    /// `[n_heads, head_dim]`, normed, turned and scaled.
    pub(crate) q: &'a [f32],
    pub(crate) head_dim: usize,
    /// In ascending order, not empty.
    pub(crate) pages: P,
    /// `[n_heads, head_dim]`.
    pub(crate) out: &'a mut [f32],
}

impl<'a, E: Kept, P: Iterator<Item = VisiblePage<'a, E>> + Clone> Job for Attend<'a, E, P> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let dim = self.head_dim;
        let (mut q, mut out) = (self.q, self.out);
        while q.len() >= 4 * dim {
            heads::<L, E, P, 4, 1>(l, &q[..4 * dim], self.pages.clone(), &mut out[..4 * dim]);
            (q, out) = (&q[4 * dim..], &mut out[4 * dim..]);
        }
        if q.len() >= 2 * dim {
            heads::<L, E, P, 2, 2>(l, &q[..2 * dim], self.pages.clone(), &mut out[..2 * dim]);
            (q, out) = (&q[2 * dim..], &mut out[2 * dim..]);
        }
        if !q.is_empty() {
            heads::<L, E, P, 1, 4>(l, q, self.pages, out);
        }
    }
}

/// `H` heads; `V` vectors of keys or dimensions at a time, so that `H * V` sums fill the registers.
#[inline(always)]
fn heads<'a, L: Lanes, E: Kept, P: Iterator<Item = VisiblePage<'a, E>>, const H: usize, const V: usize>(
    l: L,
    q: &[f32],
    pages: P,
    out: &mut [f32],
) {
    let dim = q.len() / H;
    let (mut max, mut sum) = ([0.0; H], [0.0; H]);
    for (index, page) in pages.enumerate() {
        let mut weights = [[0.0; PAGE]; H];
        scores::<L, E, H, V>(l, q, page.keys, &mut weights);
        // What the merge multiplies old and new sums by; none for the first page.
        let mut factors = [None; H];
        for h in 0..H {
            let (m, s) = softmax(l, &mut weights[h], page.visible.clone());
            if index == 0 {
                (max[h], sum[h]) = (m, s);
            } else {
                let both = if m > max[h] { m } else { max[h] };
                let (a, b) = two_exps(l, max[h] - both, m - both);
                sum[h] = sum[h].mul_add(a, s * b);
                max[h] = both;
                factors[h] = Some((a, b));
            }
        }
        let mut at = 0;
        while at + 16 * V <= dim {
            values::<L, E, H, V>(l, &page, dim, at, &weights, &factors, out);
            at += 16 * V;
        }
        while at < dim {
            values::<L, E, H, 1>(l, &page, dim, at, &weights, &factors, out);
            at += 16;
        }
    }
    for h in 0..H {
        let inverse = 1.0 / sum[h];
        for out in &mut out[h * dim..(h + 1) * dim] {
            *out *= inverse;
        }
    }
}

/// Scores of all 64 keys, of whatever lies where no key is visible.
#[inline(always)]
fn scores<L: Lanes, E: Kept, const H: usize, const V: usize>(
    l: L,
    q: &[f32],
    keys: &[E],
    scores: &mut [[f32; PAGE]; H],
) {
    let dim = q.len() / H;
    let mut vector = 0;
    while vector < KEY_VECTORS {
        let mut acc = [[l.splat(0.0); V]; H];
        for (i, keys) in keys.as_chunks::<PAGE>().0[..dim].iter().enumerate() {
            let keys = keys.as_chunks::<16>().0;
            for v in 0..V {
                let keys = E::load(l, &keys[vector + v]);
                for h in 0..H {
                    acc[h][v] = l.fma(l.splat(q[h * dim + i]), keys, acc[h][v]);
                }
            }
        }
        for h in 0..H {
            let scores = scores[h].as_chunks_mut::<16>().0;
            for v in 0..V {
                l.store(acc[h][v], &mut scores[vector + v]);
            }
        }
        vector += V;
    }
}

/// Scores to weights, hidden ones to zero; returns the maximum and the weights' sum.
#[inline(always)]
fn softmax<L: Lanes>(l: L, weights: &mut [f32; PAGE], visible: Range<usize>) -> (f32, f32) {
    weights[..visible.start].fill(f32::NEG_INFINITY);
    weights[visible.end..].fill(f32::NEG_INFINITY);
    let vectors = weights.as_chunks_mut::<16>().0;
    let mut max = l.splat(f32::NEG_INFINITY);
    for vector in vectors.iter() {
        // The second operand stays where the first is NaN, as a comparison would have it.
        max = l.max(l.load(vector), max);
    }
    let max = l.largest(max);
    for vector in vectors.iter_mut() {
        l.store(exp(l, l.sub(l.load(vector), l.splat(max))), vector);
    }
    weights[..visible.start].fill(0.0);
    weights[visible.end..].fill(0.0);
    let mut sum = l.splat(0.0);
    for vector in weights.as_chunks::<16>().0 {
        sum = l.add(sum, l.load(vector));
    }
    (max, l.sum(sum))
}

/// Adds a page's weighted values to `16 * V` dimensions from `at` on.
#[inline(always)]
fn values<L: Lanes, E: Kept, const H: usize, const V: usize>(
    l: L,
    page: &VisiblePage<'_, E>,
    dim: usize,
    at: usize,
    weights: &[[f32; PAGE]; H],
    factors: &[Option<(f32, f32)>; H],
    out: &mut [f32],
) {
    let mut acc = [[l.splat(0.0); V]; H];
    for j in page.visible.clone() {
        let row = &page.values[j * dim..][..dim];
        for v in 0..V {
            let values = some(l, row, at + 16 * v);
            for h in 0..H {
                acc[h][v] = l.fma(l.splat(weights[h][j]), values, acc[h][v]);
            }
        }
    }
    for h in 0..H {
        let out = &mut out[h * dim..(h + 1) * dim];
        for v in 0..V {
            let at = at + 16 * v;
            let n = (dim - at).min(16);
            let merged = match factors[h] {
                None => acc[h][v],
                Some((a, b)) => {
                    let old = l.load(&padded(&out[at..at + n]));
                    l.fma(old, l.splat(a), l.mul(acc[h][v], l.splat(b)))
                }
            };
            let mut lanes = [0.0; 16];
            l.store(merged, &mut lanes);
            out[at..at + n].copy_from_slice(&lanes[..n]);
        }
    }
}

/// Sixteen elements from `at` on, zeros beyond the end.
#[inline(always)]
fn some<L: Lanes, E: Kept>(l: L, x: &[E], at: usize) -> L::F {
    match x[at..].first_chunk() {
        Some(x) => E::load(l, x),
        None => {
            let mut elements = [E::default(); 16];
            elements[..x.len() - at].copy_from_slice(&x[at..]);
            E::load(l, &elements)
        }
    }
}

#[inline(always)]
fn two_exps<L: Lanes>(l: L, x: f32, y: f32) -> (f32, f32) {
    let mut lanes = padded(&[x, y]);
    l.store(exp(l, l.load(&lanes)), &mut lanes);
    (lanes[0], lanes[1])
}

/// `values *= sigmoid(gates)`.
pub(crate) struct Gate<'a> {
    pub(crate) gates: &'a [f32],
    pub(crate) values: &'a mut [f32],
}

impl Job for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (values, gates) in self.values.chunks_mut(16).zip(self.gates.chunks(16)) {
            let mut lanes = padded(values);
            l.store(l.mul(l.load(&lanes), sigmoid(l, l.load(&padded(gates)))), &mut lanes);
            values.copy_from_slice(&lanes[..values.len()]);
        }
    }
}
