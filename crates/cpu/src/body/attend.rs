//! Attention of query heads that share a key/value head: those of one row, or of several.
//!
//! A page is one block of 64 keys of `docs/arithmetic.md`, "Attend". Scores have keys as lanes (keys lie with positions
//! innermost), weighted values have dimensions as lanes; queries that share the page share its loads.

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

/// One page of a key/value head.
#[derive(Clone, Copy)]
pub(crate) struct HeadPage<'a, E> {
    /// `[head_dim, 64]`.
    pub(crate) keys: &'a [E],
    /// `[64, head_dim]`.
    pub(crate) values: &'a [E],
}

/// A query head of a row.
pub(crate) struct Query<'a> {
    /// `[head_dim]`, normed, turned and scaled.
    pub(crate) q: &'a [f32],
    /// Positions whose keys it sees; not empty.
    pub(crate) sees: Range<usize>,
    /// `[head_dim]`.
    pub(crate) out: &'a mut [f32],
}

/// Some queries over the pages they see.
pub(crate) struct Attend<'a, 'q, P> {
    pub(crate) queries: &'a mut [Query<'q>],
    /// The page of an index.
    pub(crate) pages: P,
}

/// Where pages are.
pub(crate) trait Pages {
    type Element: Kept;

    fn page(&self, index: usize) -> HeadPage<'_, Self::Element>;
}

impl<P: Pages> Job for Attend<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for queries in self.queries.chunks_mut(4) {
            match queries {
                [a, b, c, d] => together::<L, P, 4, 1>(l, [a, b, c, d], &self.pages),
                [a, b, c] => together::<L, P, 3, 1>(l, [a, b, c], &self.pages),
                [a, b] => together::<L, P, 2, 2>(l, [a, b], &self.pages),
                [a] => together::<L, P, 1, 4>(l, [a], &self.pages),
                _ => {}
            }
        }
    }
}

/// What the merge multiplies old and new sums by.
#[derive(Clone, Copy)]
enum Merge {
    /// The page holds nothing that the query sees.
    Skip,
    /// It is the first.
    First,
    Factors(f32, f32),
}

/// `N` queries; `V` vectors of keys or dimensions at a time, so that `N * V` sums fill the registers.
#[inline(always)]
fn together<L: Lanes, P: Pages, const N: usize, const V: usize>(
    l: L,
    mut queries: [&mut Query<'_>; N],
    pages: &P,
) {
    let dim = queries[0].q.len();
    let (mut max, mut sum, mut seen) = ([0.0; N], [0.0; N], [false; N]);
    let (mut first, mut end) = (usize::MAX, 0);
    for n in 0..N {
        first = first.min(queries[n].sees.start / PAGE);
        end = end.max(queries[n].sees.end.div_ceil(PAGE));
    }
    for index in first..end {
        let page = pages.page(index);
        let mut weights = [[0.0; PAGE]; N];
        scores::<L, P::Element, N, V>(l, &queries, page.keys, &mut weights);
        let (mut visible, mut merges) = ([(0, 0); N], [Merge::Skip; N]);
        for n in 0..N {
            let within = |position: usize| position.saturating_sub(index * PAGE).min(PAGE);
            visible[n] = (within(queries[n].sees.start), within(queries[n].sees.end));
            if visible[n].0 == visible[n].1 {
                continue;
            }
            let (m, s) = softmax(l, &mut weights[n], visible[n].0..visible[n].1);
            if !seen[n] {
                (max[n], sum[n], seen[n], merges[n]) = (m, s, true, Merge::First);
            } else {
                let both = if m > max[n] { m } else { max[n] };
                let (a, b) = two_exps(l, max[n] - both, m - both);
                sum[n] = sum[n].mul_add(a, s * b);
                max[n] = both;
                merges[n] = Merge::Factors(a, b);
            }
        }
        let weighted = Weighted { values: page.values, dim, visible, weights: &weights, merges };
        let mut at = 0;
        while at + 16 * V <= dim {
            weighted.add::<L, V>(l, at, &mut queries);
            at += 16 * V;
        }
        while at < dim {
            weighted.add::<L, 1>(l, at, &mut queries);
            at += 16;
        }
    }
    for n in 0..N {
        let inverse = 1.0 / sum[n];
        for out in &mut *queries[n].out {
            *out *= inverse;
        }
    }
}

/// Scores of all 64 keys, of whatever lies where no key is visible.
#[inline(always)]
fn scores<L: Lanes, E: Kept, const N: usize, const V: usize>(
    l: L,
    queries: &[&mut Query<'_>; N],
    keys: &[E],
    scores: &mut [[f32; PAGE]; N],
) {
    let dim = queries[0].q.len();
    let mut q = [&queries[0].q[..0]; N];
    for n in 0..N {
        q[n] = &queries[n].q[..dim];
    }
    let mut vector = 0;
    while vector < KEY_VECTORS {
        let mut acc = [[l.splat(0.0); V]; N];
        for (i, keys) in keys.as_chunks::<PAGE>().0[..dim].iter().enumerate() {
            let keys = keys.as_chunks::<16>().0;
            for v in 0..V {
                let keys = E::load(l, &keys[vector + v]);
                for n in 0..N {
                    acc[n][v] = l.fma(l.splat(q[n][i]), keys, acc[n][v]);
                }
            }
        }
        for n in 0..N {
            let scores = scores[n].as_chunks_mut::<16>().0;
            for v in 0..V {
                l.store(acc[n][v], &mut scores[vector + v]);
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

/// A page's values and what each of `N` queries makes of them.
struct Weighted<'a, E, const N: usize> {
    /// `[64, dim]`.
    values: &'a [E],
    dim: usize,
    /// From and to which position in the page the query sees it.
    visible: [(usize, usize); N],
    weights: &'a [[f32; PAGE]; N],
    merges: [Merge; N],
}

impl<E: Kept, const N: usize> Weighted<'_, E, N> {
    /// Adds the weighted values of `16 * V` dimensions from `at` on. A position that a query does not see is not
    /// added with weight zero but left out, since its value may be infinite.
    #[inline(always)]
    fn add<L: Lanes, const V: usize>(&self, l: L, at: usize, queries: &mut [&mut Query<'_>; N]) {
        let mut acc = [[l.splat(0.0); V]; N];
        // Positions that all see; before and after, each query goes by itself.
        let (mut start, mut end) = self.visible[0];
        for n in 1..N {
            (start, end) = (start.max(self.visible[n].0), end.min(self.visible[n].1));
        }
        let end = end.max(start);
        for n in 0..N {
            let (from, to) = self.visible[n];
            self.alone(l, at, n, from..to.min(start), &mut acc[n]);
        }
        for j in start..end {
            for v in 0..V {
                let values = some(l, &self.values[j * self.dim..][..self.dim], at + 16 * v);
                for n in 0..N {
                    acc[n][v] = l.fma(l.splat(self.weights[n][j]), values, acc[n][v]);
                }
            }
        }
        for n in 0..N {
            let (from, to) = self.visible[n];
            self.alone(l, at, n, from.max(end)..to, &mut acc[n]);
            for v in 0..V {
                self.merge(l, at + 16 * v, n, acc[n][v], &mut *queries[n].out);
            }
        }
    }

    #[inline(always)]
    fn alone<L: Lanes, const V: usize>(
        &self,
        l: L,
        at: usize,
        n: usize,
        positions: Range<usize>,
        acc: &mut [L::F; V],
    ) {
        for j in positions {
            for v in 0..V {
                let values = some(l, &self.values[j * self.dim..][..self.dim], at + 16 * v);
                acc[v] = l.fma(l.splat(self.weights[n][j]), values, acc[v]);
            }
        }
    }

    #[inline(always)]
    fn merge<L: Lanes>(&self, l: L, at: usize, n: usize, new: L::F, out: &mut [f32]) {
        let out = &mut out[at..];
        match out.first_chunk_mut() {
            Some(out) => l.store(self.merged(l, n, l.load(out), new), out),
            None => {
                let mut lanes = padded(out);
                l.store(self.merged(l, n, l.load(&lanes), new), &mut lanes);
                out.copy_from_slice(&lanes[..out.len()]);
            }
        }
    }

    #[inline(always)]
    fn merged<L: Lanes>(&self, l: L, n: usize, old: L::F, new: L::F) -> L::F {
        match self.merges[n] {
            Merge::Skip => old,
            Merge::First => new,
            Merge::Factors(a, b) => l.fma(old, l.splat(a), l.mul(new, l.splat(b))),
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
