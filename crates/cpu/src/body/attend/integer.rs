//! Keys and values kept as integers of 8 bits: queries and weights become such integers, too, and their products are exact.

use dewdrop_backend::KV_GROUP;
use dewdrop_backend::state::PAGE;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::gather::{Factors, merge_into, take_up};
use super::tiles::{Tiles, ahead, line_by_line, prefetch, tiles};
use super::{Query, Row, TOGETHER, Visible};
use crate::body::integer_product::four;
use crate::body::quantize;
use crate::lanes::{Job, Lanes};

/// Lots of four dimensions, or positions, in a group.
const LOTS: usize = KV_GROUP / 4;

/// A query head as integers of 8 bits in groups of 32.
#[derive(Clone, Copy, Default)]
pub(crate) struct Integers<'a> {
    /// Four dimensions each.
    pub(crate) q: &'a [[i8; 4]],
    /// Of each group.
    pub(crate) scales: &'a [f32],
    /// Of each group.
    pub(crate) sums: &'a [i32],
}

/// Query heads to integers.
pub(crate) struct Quantize<'a> {
    /// Some groups of 32.
    pub(crate) x: &'a [f32],
    pub(crate) q: &'a mut [[i8; 4]],
    pub(crate) scales: &'a mut [f32],
    pub(crate) sums: &'a mut [i32],
}

impl Job for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (g, x) in self.x.as_chunks::<KV_GROUP>().0.iter().enumerate() {
            let block = quantize::block(l, x);
            self.q[g * LOTS..][..LOTS].copy_from_slice(block.q.as_chunks::<4>().0);
            self.scales[g] = block.scale;
            self.sums[g] = (block.sums[0] + block.sums[1]) as i32;
        }
    }
}

/// Integers and scales of a page's head.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) integers: &'a [i8],
    pub(super) scales: &'a [f16],
    /// Integers that come next, if they are to be fetched.
    pub(super) ahead: Option<&'a [i8]>,
}

/// Scores of those vectors of keys that hold a visible one; hidden ones among them are whatever lies there.
#[inline(always)]
pub(super) fn scores<L: Lanes>(
    l: L,
    queries: &[Query<'_>],
    keys: Kept<'_>,
    visible: &Visible,
    scores: &mut super::Weights,
) {
    tiles(l, queries.len(), &mut Scores { queries, keys, visible, scores });
}

struct Scores<'a, 'q> {
    queries: &'a [Query<'q>],
    keys: Kept<'a>,
    visible: &'a Visible,
    scores: &'a mut super::Weights,
}

impl<L: Lanes> Tiles<L> for Scores<'_, '_> {
    const SIX: bool = false;

    #[inline(always)]
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize) {
        let n_groups = self.queries[first].floats.len() / KV_GROUP;
        let ahead = ahead(self.keys.ahead, self.keys.integers, first).as_ptr();
        let queries: &[Query<'_>; N] = self.queries[first..].first_chunk().expect("a tile's queries");
        for vector in (self.visible.all.start / 16 / V * V..self.visible.all.end.div_ceil(16)).step_by(V) {
            let mut sums = [[l.splat(0.0); V]; N];
            for g in 0..n_groups {
                let products = self.products::<L, N, V>(l, queries, vector, g, ahead);
                for v in 0..V {
                    let scales = &self.keys.scales[g * PAGE + (vector + v) * 16..];
                    let scales = load_half(l, scales.first_chunk().expect("a vector of keys"));
                    for n in 0..N {
                        let scale = l.mul(l.splat(queries[n].integers.scales[g]), scales);
                        sums[n][v] = l.fma(l.to_float(products[n][v]), scale, sums[n][v]);
                    }
                }
                if first == 0 && !line_by_line(N) {
                    for v in 0..V {
                        let at = ((vector + v) * n_groups + g) * LOTS * 64;
                        prefetch(l, self.keys.ahead, at, LOTS * 64);
                    }
                }
            }
            for n in 0..N {
                let scores = self.scores[first + n].as_chunks_mut::<16>().0;
                for v in 0..V {
                    l.store(sums[n][v], &mut scores[vector + v]);
                }
            }
        }
    }
}

impl Scores<'_, '_> {
    /// Products of `V` vectors of keys with a group of dimensions of `N` queries.
    #[inline(always)]
    fn products<L: Lanes, const N: usize, const V: usize>(
        &self,
        l: L,
        queries: &[Query<'_>; N],
        vector: usize,
        g: usize,
        ahead: *const i8,
    ) -> [[L::I; V]; N] {
        let n_groups = queries[0].floats.len() / KV_GROUP;
        let (keys, _) = self.keys.integers.as_chunks::<64>();
        let mut columns = [&[[0; 64]; LOTS]; V];
        for v in 0..V {
            columns[v] = keys[((vector + v) * n_groups + g) * LOTS..].first_chunk().expect("a group");
        }
        let mut q = [&[[0; 4]; LOTS]; N];
        let mut acc = [[l.splat_int(0); V]; N];
        for n in 0..N {
            let Integers { q: all, sums, .. } = queries[n].integers;
            q[n] = all[g * LOTS..].first_chunk().expect("a group");
            acc[n] = [l.splat_int(-L::WIDE_BIAS * sums[g]); V];
        }
        for lot in 0..LOTS {
            for v in 0..V {
                if line_by_line(N) {
                    l.prefetch_far(
                        ahead.wrapping_add((((vector + v) * n_groups + g) * LOTS + lot) * 64).cast(),
                    );
                }
                let keys = l.wide(load(l, &columns[v][lot]));
                for n in 0..N {
                    acc[n][v] = l.wide_products(acc[n][v], keys, four(l, q[n][lot]));
                }
            }
        }
        acc
    }
}

/// Adds a page's weighted values.
#[inline(always)]
pub(super) fn weigh<L: Lanes>(
    l: L,
    queries: &mut [Query<'_>],
    values: Kept<'_>,
    visible: &Visible,
    weights: &super::Weights,
    scaled: &mut Weights,
    factors: &[Factors; TOGETHER],
) {
    let n = queries.len();
    for (g, scales) in values.scales.as_chunks::<PAGE>().0.iter().enumerate() {
        for (scaled, weights) in scaled[..n].iter_mut().zip(weights) {
            scaled.fill(l, weights, scales);
        }
        tiles(l, n, &mut Weigh { queries, values, g, visible, weights: scaled, factors });
    }
}

/// Weights as integers, of each query.
pub(super) type Weights = [Scaled; TOGETHER];

/// Weights of a page's keys times the scales of a group of dimensions, as integers in blocks of 32.
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    /// Four positions each.
    q: [[i8; 4]; PAGE / 4],
    scales: [f32; 2],
}

impl Scaled {
    pub(super) const ZERO: Scaled = Scaled { q: [[0; 4]; PAGE / 4], scales: [0.0; 2] };

    #[inline(always)]
    fn fill<L: Lanes>(&mut self, l: L, weights: &Row, scales: &[f16; PAGE]) {
        let (weights, scales) = (weights.as_chunks::<16>().0, scales.as_chunks::<16>().0);
        let mut products = [l.splat(0.0); 4];
        for i in 0..4 {
            products[i] = take_up(l, &weights[i], load_half(l, &scales[i]));
        }
        let mut integers = [l.splat_int(0); 4];
        for b in 0..2 {
            let (scale, inverse) = quantize::scale(l, products[2 * b], products[2 * b + 1]);
            self.scales[b] = scale;
            for i in 2 * b..2 * b + 2 {
                // Nothing needs a limit: no product is negative, and the largest becomes 127. Where the scale is NaN,
                // any integer will do.
                integers[i] = l.to_int(l.round(l.mul(products[i], l.splat(inverse))));
            }
        }
        let mut bytes = [0; PAGE];
        l.narrow(integers, &mut bytes);
        self.q.copy_from_slice(bytes.as_chunks().0);
    }
}

struct Weigh<'a, 'q> {
    queries: &'a mut [Query<'q>],
    values: Kept<'a>,
    /// Which group of dimensions.
    g: usize,
    visible: &'a Visible,
    weights: &'a Weights,
    factors: &'a [Factors; TOGETHER],
}

impl<L: Lanes> Tiles<L> for Weigh<'_, '_> {
    const SIX: bool = false;

    #[inline(always)]
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize) {
        if V == 1 {
            self.vectors::<L, N, 1>(l, first, 0);
            self.vectors::<L, N, 1>(l, first, 1);
        } else {
            self.vectors::<L, N, 2>(l, first, 0);
        }
    }
}

impl Weigh<'_, '_> {
    /// `16 * V` dimensions from vector `vector` of the group on.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize, const V: usize>(&mut self, l: L, first: usize, vector: usize) {
        let at = self.g * KV_GROUP + vector * 16;
        let (values, _) = self.values.integers[at * PAGE..].as_chunks::<64>();
        let mut columns = [&[[0; 64]; PAGE / 4]; V];
        for v in 0..V {
            columns[v] = values[v * PAGE / 4..].first_chunk().expect("a vector of dimensions");
        }
        let weights: &[Scaled; N] = self.weights[first..].first_chunk().expect("a tile's queries");
        let ahead = ahead(self.values.ahead, self.values.integers, first)[at * PAGE..].as_ptr();
        let lots = self.visible.all.start / 4..self.visible.all.end.div_ceil(4);
        let mut sums = [[l.splat(0.0); V]; N];
        for b in 0..2 {
            let mut acc = [[l.splat_int(0); V]; N];
            for lot in lots.start.max(b * LOTS)..lots.end.min((b + 1) * LOTS) {
                let lot = lot % (PAGE / 4);
                for v in 0..V {
                    if line_by_line(N) {
                        l.prefetch_far(ahead.wrapping_add((v * PAGE / 4 + lot) * 64).cast());
                    }
                    let values = load(l, &columns[v][lot]);
                    for n in 0..N {
                        let weights = four(l, weights[n].q[lot]);
                        acc[n][v] = l.whole_products(acc[n][v], weights, values);
                    }
                }
            }
            for n in 0..N {
                let scale = l.splat(weights[n].scales[b]);
                for v in 0..V {
                    sums[n][v] = l.fma(l.to_float(acc[n][v]), scale, sums[n][v]);
                }
            }
            if first == 0 && !line_by_line(N) {
                prefetch(l, self.values.ahead, (at * 2 + b * V * 16) * PAGE / 2, V * 16 * PAGE / 2);
            }
        }
        for n in 0..N {
            for v in 0..V {
                let out = &mut self.queries[first + n].out[at + v * 16..];
                merge_into(l, self.factors[first + n], sums[n][v], out);
            }
        }
    }
}

#[inline(always)]
fn load<L: Lanes>(l: L, integers: &[i8; 64]) -> L::I {
    // SAFETY: bytes of either sign have one size and alignment, and any bits.
    l.load_bytes(unsafe { &*std::ptr::from_ref(integers).cast() })
}

#[inline(always)]
fn load_half<L: Lanes>(l: L, from: &[f16; 16]) -> L::F {
    l.load_half(from.reinterpret_cast().first_chunk().expect("sixteen values"))
}
