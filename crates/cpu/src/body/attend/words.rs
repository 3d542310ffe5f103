//! Keys and values kept as integers of 16 bits: queries and weights become such integers, too, and their products are exact.

use dewdrop_backend::KV_GROUP;
use dewdrop_backend::state::PAGE;
use half::bf16;
use half::slice::HalfFloatSliceExt;

use super::gather::{Factors, merge_into, take_up};
use super::tiles::{Tiles, ahead, line_by_line, prefetch, tiles};
use super::{Query, Row, TOGETHER, Visible};
use crate::body::quantize;
use crate::lanes::{Job, Lanes};

/// Pairs of dimensions, or positions, whose products are summed exactly.
const PAIRS: usize = KV_GROUP / 2;

/// A query head as integers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Words<'a> {
    /// Two dimensions each.
    pub(crate) q: &'a [[i16; 2]],
    pub(crate) scale: f32,
}

/// A query head to integers.
pub(crate) struct ToWords<'a> {
    /// `[head_dim]`, a multiple of 16.
    pub(crate) x: &'a [f32],
    pub(crate) q: &'a mut [[i16; 2]],
}

impl Job for ToWords<'_> {
    /// Their scale.
    type Output = f32;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> f32 {
        let lots = self.x.as_chunks::<16>().0;
        let (scale, inverse) = quantize::scale_of_words(l, lots);
        for (x, q) in lots.iter().zip(self.q.as_chunks_mut::<8>().0) {
            q.copy_from_slice(quantize::words(l, x, inverse).as_chunks().0);
        }
        scale
    }
}

/// Integers and scales of a page's head.
#[derive(Clone, Copy)]
pub(super) struct Kept<'a> {
    pub(super) integers: &'a [i16],
    pub(super) scales: &'a [bf16; PAGE],
    /// Integers that come next, if they are to be fetched.
    pub(super) ahead: Option<&'a [i16]>,
}

impl Kept<'_> {
    /// Scales of sixteen positions.
    #[inline(always)]
    fn scales<L: Lanes>(&self, l: L, sixteen: usize) -> L::F {
        let scales: &[u16; PAGE] = self.scales.reinterpret_cast().first_chunk().expect("a page's scales");
        l.load_upper(&scales.as_chunks().0[sixteen])
    }
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
    const SIX: bool = true;

    #[inline(always)]
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize) {
        let n_pairs = self.queries[first].words.q.len();
        let mut q = [&self.queries[first].words.q[..0]; N];
        for n in 0..N {
            q[n] = &self.queries[first + n].words.q[..n_pairs];
        }
        let keys = self.keys.integers.as_chunks::<32>().0;
        for vector in (self.visible.all.start / 16 / V * V..self.visible.all.end.div_ceil(16)).step_by(V) {
            let mut columns = [&keys[..0]; V];
            for v in 0..V {
                columns[v] = &keys[(vector + v) * n_pairs..][..n_pairs];
            }
            let at = vector * 32 * n_pairs;
            let ahead = ahead(self.keys.ahead, self.keys.integers, first)[at..].as_ptr();
            if first == 0 && !line_by_line(N) {
                prefetch(l, self.keys.ahead, at, V * 32 * n_pairs);
            }
            let mut sums = [[l.splat(0.0); V]; N];
            for group in (0..n_pairs).step_by(PAIRS) {
                let mut acc = [[l.splat_int(0); V]; N];
                for i in group..n_pairs.min(group + PAIRS) {
                    for v in 0..V {
                        if line_by_line(N) {
                            l.prefetch_far(ahead.wrapping_add((v * n_pairs + i) * 32).cast());
                        }
                        let keys = load(l, &columns[v][i]);
                        for n in 0..N {
                            acc[n][v] = l.word_products(acc[n][v], two(l, q[n][i]), keys);
                        }
                    }
                }
                for n in 0..N {
                    for v in 0..V {
                        sums[n][v] = l.add(sums[n][v], l.to_float(acc[n][v]));
                    }
                }
            }
            for v in 0..V {
                let scales = self.keys.scales(l, vector + v);
                for n in 0..N {
                    let scale = l.mul(l.splat(self.queries[first + n].words.scale), scales);
                    let scores = self.scores[first + n].as_chunks_mut::<16>().0;
                    l.store(l.mul(sums[n][v], scale), &mut scores[vector + v]);
                }
            }
        }
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
    for (scaled, weights) in scaled[..n].iter_mut().zip(weights) {
        scaled.fill(l, weights, &values);
    }
    tiles(l, n, &mut Weigh { queries, values, visible, weights: scaled, factors });
}

/// Weights as integers, of each query.
pub(super) type Weights = [Scaled; TOGETHER];

/// Weights of a page's keys times the scales of its values, as integers.
#[derive(Clone, Copy)]
pub(super) struct Scaled {
    /// Two positions each.
    q: [[i16; 2]; PAGE / 2],
    scale: f32,
}

impl Scaled {
    pub(super) const ZERO: Scaled = Scaled { q: [[0; 2]; PAGE / 2], scale: 0.0 };

    #[inline(always)]
    fn fill<L: Lanes>(&mut self, l: L, weights: &Row, values: &Kept<'_>) {
        let mut products = [[0.0; 16]; PAGE / 16];
        for (i, weights) in weights.as_chunks().0.iter().enumerate() {
            l.store(take_up(l, weights, values.scales(l, i)), &mut products[i]);
        }
        let (scale, inverse) = quantize::scale_of_words(l, &products);
        self.scale = scale;
        for (x, q) in products.iter().zip(self.q.as_chunks_mut::<8>().0) {
            q.copy_from_slice(quantize::words(l, x, inverse).as_chunks().0);
        }
    }
}

struct Weigh<'a, 'q> {
    queries: &'a mut [Query<'q>],
    values: Kept<'a>,
    visible: &'a Visible,
    weights: &'a Weights,
    factors: &'a [Factors; TOGETHER],
}

impl<L: Lanes> Tiles<L> for Weigh<'_, '_> {
    const SIX: bool = true;

    #[inline(always)]
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize) {
        let n_vectors = self.queries[first].out.len() / 16;
        let mut vector = 0;
        while vector + V <= n_vectors {
            self.vectors::<L, N, V>(l, first, vector);
            vector += V;
        }
        while vector < n_vectors {
            self.vectors::<L, N, 1>(l, first, vector);
            vector += 1;
        }
    }
}

impl Weigh<'_, '_> {
    /// `16 * V` dimensions from vector `vector` on.
    #[inline(always)]
    fn vectors<L: Lanes, const N: usize, const V: usize>(&mut self, l: L, first: usize, vector: usize) {
        let at = vector * 16 * PAGE;
        let values = self.values.integers[at..].as_chunks::<32>().0;
        let mut columns = [&[[0; 32]; PAGE / 2]; V];
        for v in 0..V {
            columns[v] = values[v * PAGE / 2..].first_chunk().expect("a vector of dimensions");
        }
        let ahead = ahead(self.values.ahead, self.values.integers, first)[at..].as_ptr();
        if first == 0 && !line_by_line(N) {
            prefetch(l, self.values.ahead, at, V * 16 * PAGE);
        }
        let weights: &[Scaled; N] = self.weights[first..].first_chunk().expect("a tile's queries");
        let visible = self.visible.all.start / 2..self.visible.all.end.div_ceil(2);
        let mut sums = [[l.splat(0.0); V]; N];
        for half in 0..2 {
            let mut acc = [[l.splat_int(0); V]; N];
            for pair in visible.start.max(half * PAIRS)..visible.end.min((half + 1) * PAIRS) {
                let pair = pair % (PAGE / 2);
                for v in 0..V {
                    if line_by_line(N) {
                        l.prefetch_far(ahead.wrapping_add((v * PAGE / 2 + pair) * 32).cast());
                    }
                    let values = load(l, &columns[v][pair]);
                    for n in 0..N {
                        acc[n][v] = l.word_products(acc[n][v], two(l, weights[n].q[pair]), values);
                    }
                }
            }
            for n in 0..N {
                for v in 0..V {
                    sums[n][v] = l.add(sums[n][v], l.to_float(acc[n][v]));
                }
            }
        }
        for n in 0..N {
            let scale = l.splat(weights[n].scale);
            for v in 0..V {
                let out = &mut self.queries[first + n].out[(vector + v) * 16..];
                merge_into(l, self.factors[first + n], l.mul(sums[n][v], scale), out);
            }
        }
    }
}

#[inline(always)]
fn load<L: Lanes>(l: L, integers: &[i16; 32]) -> L::I {
    // SAFETY: 64 bytes of any bits, whose alignment is less.
    l.load_bytes(unsafe { &*std::ptr::from_ref(integers).cast() })
}

/// Two integers, for all lanes.
#[inline(always)]
fn two<L: Lanes>(l: L, q: [i16; 2]) -> L::I {
    // Without signs: then it is one load.
    let [low, high] = q.map(|q| u32::from(q.cast_unsigned()));
    l.splat_int((low | high << 16).cast_signed())
}
