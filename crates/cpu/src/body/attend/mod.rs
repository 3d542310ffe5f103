//! Attention of some query heads that share a key/value head: those of one row, or of several.
//!
//! A page is one block of 64 keys of `docs/arithmetic.md`, "Attend". Up to sixteen queries go through it together, so
//! that they share what is loaded of it: scores have keys as lanes, weighted values have dimensions as lanes, and where
//! blocks are merged the queries themselves are lanes.

mod float;
mod gather;
mod integer;
mod keep;
mod tiles;

use std::ops::Range;

use dewdrop_backend::state::{AttentionState, Head, PAGE};

pub(crate) use self::gather::{Gathered, Merge};
use self::integer::Kept;
pub(crate) use self::integer::{Integers, Quantize};
pub(crate) use self::keep::Keep;
use super::math::{padded, sigmoid};
use crate::lanes::{Job, Lanes};

/// Queries that go together, at most: as many as there are lanes.
pub(crate) const TOGETHER: usize = 16;
/// Vectors of keys in a page.
const KEY_VECTORS: usize = PAGE / 16;

/// A query head of a row.
pub(crate) struct Query<'a> {
    /// `[head_dim]`, normed, turned and scaled.
    pub(crate) floats: &'a [f32],
    /// The same where keys are integers, else empty.
    pub(crate) integers: Integers<'a>,
    /// Positions whose keys it sees; not empty.
    pub(crate) sees: Range<usize>,
    /// `[head_dim]`: weighted values of the pages so far, not divided by the sum of weights yet.
    pub(crate) out: &'a mut [f32],
}

/// Some queries, at most [`TOGETHER`], over some pages.
pub(crate) struct Attend<'a, 'q> {
    pub(crate) queries: &'a mut [Query<'q>],
    pub(crate) state: &'a AttentionState,
    /// Key/value head.
    pub(crate) head: usize,
    pub(crate) pages: Range<usize>,
}

/// What queries see of a page.
struct Visible {
    /// From and to which position in the page, for each query.
    of: [(usize, usize); TOGETHER],
    /// The least range with all of these.
    all: Range<usize>,
}

/// Scores, and then weights, of a page's keys for each query.
type Weights = [Row; TOGETHER];

/// Those of one query. What tiles of queries read at the same time would lie in the same bank of the cache if rows
/// were as long as a page: see [`SPREAD`].
type Row = [f32; PAGE + SPREAD];

/// Floats, or lots of four bytes, between rows whose same elements are read together: two move them to the next bank.
pub(crate) const SPREAD: usize = 2;

impl Job for Attend<'_, '_> {
    type Output = Gathered;

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) -> Gathered {
        let queries = self.queries;
        let mut gathered = Gathered::NOTHING;
        let mut weights = [[0.0; PAGE + SPREAD]; TOGETHER];
        let last = self.state.n_pages() - 1;
        for index in self.pages {
            let visible = Visible::new(queries, index);
            if visible.all.is_empty() {
                continue;
            }
            let (keys, values) = self.state.page(index).head(self.head);
            // What comes next may be fetched while this is worked on.
            let (next_keys, next_values) = self.state.page((index + 1).min(last)).head(self.head);
            match (keys, next_keys) {
                (Head::F32(keys), Head::F32(next)) => {
                    float::scores(l, queries, keys, next, &visible, &mut weights)
                }
                (Head::F16(keys), Head::F16(next)) => {
                    float::scores(l, queries, keys, next, &visible, &mut weights)
                }
                (Head::BF16(keys), Head::BF16(next)) => {
                    float::scores(l, queries, keys, next, &visible, &mut weights)
                }
                (Head::Q8_0 { integers, scales }, Head::Q8_0 { integers: ahead, .. }) => {
                    integer::scores(l, queries, Kept { integers, scales, ahead }, &visible, &mut weights);
                }
                _ => unreachable!("pages of a state are of one type"),
            }
            let factors = gathered.add(l, &visible, &mut weights[..queries.len()]);
            match (values, next_values) {
                (Head::F32(values), Head::F32(next)) => {
                    float::weigh(l, queries, values, next, &visible, &weights, &factors)
                }
                (Head::F16(values), Head::F16(next)) => {
                    float::weigh(l, queries, values, next, &visible, &weights, &factors)
                }
                (Head::BF16(values), Head::BF16(next)) => {
                    float::weigh(l, queries, values, next, &visible, &weights, &factors)
                }
                (Head::Q8_0 { integers, scales }, Head::Q8_0 { integers: ahead, .. }) => {
                    integer::weigh(
                        l,
                        queries,
                        Kept { integers, scales, ahead },
                        &visible,
                        &weights,
                        &factors,
                    );
                }
                _ => unreachable!("pages of a state are of one type"),
            }
        }
        gathered
    }
}

impl Visible {
    fn new(queries: &[Query<'_>], page: usize) -> Self {
        let within = |position: usize| position.saturating_sub(page * PAGE).min(PAGE);
        let mut visible = Visible { of: [(0, 0); TOGETHER], all: 0..0 };
        for (of, query) in visible.of.iter_mut().zip(queries) {
            *of = (within(query.sees.start), within(query.sees.end));
            if of.0 < of.1 {
                let start = if visible.all.is_empty() { of.0 } else { visible.all.start.min(of.0) };
                visible.all = start..visible.all.end.max(of.1);
            }
        }
        visible
    }
}

/// Divides by the sum of weights, and multiplies by the sigmoids of gates where there are some.
pub(crate) struct Finish<'a> {
    pub(crate) sum: f32,
    pub(crate) gates: Option<&'a [f32]>,
    pub(crate) out: &'a mut [f32],
}

impl Job for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let inverse = 1.0 / self.sum;
        for out in &mut *self.out {
            *out *= inverse;
        }
        if let Some(gates) = self.gates {
            for (out, gates) in self.out.chunks_mut(16).zip(gates.chunks(16)) {
                let mut lanes = padded(out);
                l.store(l.mul(l.load(&lanes), sigmoid(l, l.load(&padded(gates)))), &mut lanes);
                out.copy_from_slice(&lanes[..out.len()]);
            }
        }
    }
}
