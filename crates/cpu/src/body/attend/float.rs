//! Keys and values kept as floats.

use std::ops::Range;

use dewdrop_backend::state::PAGE;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::gather::{Factors, merge_into};
use super::tiles::{Tiles, prefetch, tiles};
use super::{KEY_VECTORS, Query, Row, TOGETHER, Visible, Weights};
use crate::lanes::Lanes;

/// What keys and values are kept as, on lanes.
pub(super) trait Float: Copy + Default {
    fn load<L: Lanes>(l: L, from: &[Self; 16]) -> L::F;
}

impl Float for f32 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[f32; 16]) -> L::F {
        l.load(from)
    }
}

impl Float for f16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[f16; 16]) -> L::F {
        l.load_half(from.reinterpret_cast().first_chunk().expect("sixteen values"))
    }
}

impl Float for bf16 {
    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[bf16; 16]) -> L::F {
        l.load_upper(from.reinterpret_cast().first_chunk().expect("sixteen values"))
    }
}

/// Scores of those vectors of keys that hold a visible one; hidden ones among them are whatever lies there.
#[inline(always)]
pub(super) fn scores<L: Lanes, E: Float>(
    l: L,
    queries: &[Query<'_>],
    keys: &[E],
    ahead: Option<&[E]>,
    visible: &Visible,
    scores: &mut Weights,
) {
    tiles(l, queries.len(), &mut Scores { queries, keys, ahead, visible, scores });
}

struct Scores<'a, 'q, E> {
    queries: &'a [Query<'q>],
    keys: &'a [E],
    /// Keys that come next, if they are to be fetched.
    ahead: Option<&'a [E]>,
    visible: &'a Visible,
    scores: &'a mut Weights,
}

impl<L: Lanes, E: Float> Tiles<L> for Scores<'_, '_, E> {
    const SIX: bool = true;

    #[inline(always)]
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize) {
        let d = self.queries[first].floats.len();
        let mut q = [&self.queries[first].floats[..0]; N];
        for n in 0..N {
            q[n] = &self.queries[first + n].floats[..d];
        }
        let (keys, _) = self.keys.as_chunks::<16>();
        for vector in (self.visible.all.start / 16 / V * V..self.visible.all.end.div_ceil(16)).step_by(V) {
            let mut columns = [&keys[..0]; V];
            for v in 0..V {
                columns[v] = &keys[(vector + v) * d..][..d];
            }
            if first == 0 {
                prefetch(l, self.ahead, vector * 16 * d, V * 16 * d);
            }
            let mut acc = [[l.splat(0.0); V]; N];
            for i in 0..d {
                for v in 0..V {
                    let keys = E::load(l, &columns[v][i]);
                    for n in 0..N {
                        acc[n][v] = l.fma(l.splat(q[n][i]), keys, acc[n][v]);
                    }
                }
            }
            for n in 0..N {
                let scores = self.scores[first + n].as_chunks_mut::<16>().0;
                for v in 0..V {
                    l.store(acc[n][v], &mut scores[vector + v]);
                }
            }
        }
    }
}

/// Adds a page's weighted values.
#[inline(always)]
pub(super) fn weigh<L: Lanes, E: Float>(
    l: L,
    queries: &mut [Query<'_>],
    values: &[E],
    ahead: Option<&[E]>,
    visible: &Visible,
    weights: &Weights,
    factors: &[Factors; TOGETHER],
) {
    let mut rows = [&weights[0]; TOGETHER];
    for n in 0..TOGETHER {
        rows[n] = &weights[n];
    }
    tiles(l, queries.len(), &mut Weigh { queries, values, ahead, visible, weights: rows, factors });
}

struct Weigh<'a, 'q, E> {
    queries: &'a mut [Query<'q>],
    values: &'a [E],
    /// Values that come next, if they are to be fetched.
    ahead: Option<&'a [E]>,
    visible: &'a Visible,
    /// References, and so loaded as they are needed: rows that lie at known distances would be loaded all at once, into
    /// more registers than there are.
    weights: [&'a Row; TOGETHER],
    factors: &'a [Factors; TOGETHER],
}

impl<L: Lanes, E: Float> Tiles<L> for Weigh<'_, '_, E> {
    const SIX: bool = true;

    #[inline(always)]
    fn tile<const N: usize, const V: usize>(&mut self, l: L, first: usize) {
        let d = self.queries[first].out.len();
        let mut at = 0;
        while at + 16 * V <= d {
            self.columns::<L, N, V, true>(l, first, at);
            at += 16 * V;
        }
        while at + 16 <= d {
            self.columns::<L, N, 1, true>(l, first, at);
            at += 16;
        }
        if at < d {
            for n in first..first + N {
                self.columns::<L, 1, 1, false>(l, n, at);
            }
        }
    }
}

impl<E: Float> Weigh<'_, '_, E> {
    /// `16 * V` dimensions from `at` on; if not `WHOLE`, they are the last, and fewer. A position that a query
    /// does not see is not added with weight zero but left out, since its value may be infinite.
    #[inline(always)]
    fn columns<L: Lanes, const N: usize, const V: usize, const WHOLE: bool>(
        &mut self,
        l: L,
        first: usize,
        at: usize,
    ) {
        // Positions that all see; before and after, each query goes by itself.
        let of = &self.visible.of[first..][..N];
        let (mut start, mut end) = of[0];
        for (from, to) in of {
            (start, end) = (start.max(*from), end.min(*to));
        }
        let end = end.max(start);
        if first == 0 {
            prefetch(l, self.ahead, at * PAGE, V * 16 * PAGE);
        }
        let mut acc = [[l.splat(0.0); V]; N];
        for n in 0..N {
            let before = of[n].0..of[n].1.min(start);
            acc[n] = self.run::<L, 1, V, WHOLE>(l, first + n, at, before, [acc[n]])[0];
        }
        acc = self.run::<L, N, V, WHOLE>(l, first, at, start..end, acc);
        for n in 0..N {
            let after = of[n].0.max(end)..of[n].1;
            acc[n] = self.run::<L, 1, V, WHOLE>(l, first + n, at, after, [acc[n]])[0];
        }
        for n in 0..N {
            for v in 0..V {
                let out = &mut self.queries[first + n].out[at + 16 * v..];
                merge_into(l, self.factors[first + n], acc[n][v], out);
            }
        }
    }

    /// Goes on with sums over some positions.
    #[inline(always)]
    fn run<L: Lanes, const N: usize, const V: usize, const WHOLE: bool>(
        &self,
        l: L,
        first: usize,
        at: usize,
        positions: Range<usize>,
        acc: [[L::F; V]; N],
    ) -> [[L::F; V]; N] {
        let values = &self.values[at * PAGE..];
        let weights: [&Row; N] = *self.weights[first..].first_chunk().expect("a tile's queries");
        let mut acc = acc;
        if WHOLE {
            let (values, _) = values.as_chunks::<16>();
            let mut columns: [&[[E; 16]; PAGE]; V] =
                [values.first_chunk().expect("a vector of dimensions"); V];
            for v in 1..V {
                columns[v] = values[v * PAGE..].first_chunk().expect("a vector of dimensions");
            }
            for j in positions.map(|j| j % PAGE) {
                for v in 0..V {
                    let values = E::load(l, &columns[v][j]);
                    for n in 0..N {
                        acc[n][v] = l.fma(l.splat(weights[n][j]), values, acc[n][v]);
                    }
                }
            }
        } else {
            let width = self.values.len() / PAGE - at;
            for j in positions {
                let values = some(l, &values[j * width..][..width]);
                for n in 0..N {
                    acc[n][0] = l.fma(l.splat(weights[n][j]), values, acc[n][0]);
                }
            }
        }
        acc
    }
}

/// Fewer than sixteen elements, zeros beyond the end.
#[inline(always)]
fn some<L: Lanes, E: Float>(l: L, x: &[E]) -> L::F {
    let mut elements = [E::default(); 16];
    elements[..x.len()].copy_from_slice(x);
    E::load(l, &elements)
}

const _: () = assert!(KEY_VECTORS.is_multiple_of(4), "tiles of up to four vectors of keys end with the page");
