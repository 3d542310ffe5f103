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
mod words;

use std::ops::Range;

use dewdrop_backend::state::{AttentionState, Head, PAGE};

use self::gather::Factors;
pub(crate) use self::gather::{Gathered, Merge};
pub(crate) use self::integer::{Integers, Quantize};
pub(crate) use self::keep::Keep;
pub(crate) use self::words::{ToWords, Words};
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
    /// The same where keys are integers of 8 bits, else empty.
    pub(crate) integers: Integers<'a>,
    /// The same where they are integers of 16 bits, else empty.
    pub(crate) words: Words<'a>,
    /// Positions whose keys it sees; not empty.
    pub(crate) sees: Range<usize>,
    /// `[head_dim]`: weighted values of the pages so far, not divided by the sum of weights yet.
    pub(crate) out: &'a mut [f32],
}

/// Some queries, at most [`TOGETHER`], and what they have gathered from pages so far.
pub(crate) struct Group<'q> {
    pub(crate) queries: Vec<Query<'q>>,
    pub(crate) gathered: Gathered,
}

/// Some groups of queries over some pages, page after page: what is fetched of a page serves all of them.
pub(crate) struct Attend<'a, 'q> {
    pub(crate) groups: &'a mut [Group<'q>],
    pub(crate) state: &'a AttentionState,
    /// Key/value head.
    pub(crate) head: usize,
    /// Of those that the sequence does not have, nobody sees anything.
    pub(crate) pages: Range<usize>,
}

/// One head of a page, and of the page after it, which may be fetched while this is worked on.
struct Page<'a> {
    keys: Head<'a>,
    values: Head<'a>,
    next_keys: Head<'a>,
    next_values: Head<'a>,
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
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let mut room = Room::EMPTY;
        let n_pages = self.state.n_pages();
        for index in self.pages.start..self.pages.end.min(n_pages) {
            let (keys, values) = self.state.page(index).head(self.head);
            let (next_keys, next_values) = self.state.page((index + 1).min(n_pages - 1)).head(self.head);
            let page = Page { keys, values, next_keys, next_values };
            // The first who see it fetch what comes next.
            let mut asking = true;
            for Group { queries, gathered } in &mut *self.groups {
                let visible = Visible::new(queries, index);
                if !visible.all.is_empty() {
                    page.scores(l, asking, queries, &visible, &mut room);
                    let factors = gathered.add(l, &visible, &mut room.weights[..queries.len()]);
                    page.weigh(l, asking, queries, &visible, &mut room, &factors);
                    asking = false;
                }
            }
        }
    }
}

/// What kernels need to work in.
struct Room {
    weights: Weights,
    words: words::Weights,
    integers: integer::Weights,
}

impl Room {
    const EMPTY: Room = Room {
        weights: [[0.0; PAGE + SPREAD]; TOGETHER],
        words: [words::Scaled::ZERO; TOGETHER],
        integers: [integer::Scaled::ZERO; TOGETHER],
    };
}

impl Page<'_> {
    /// Scores of its keys for some queries.
    #[inline(always)]
    fn scores<L: Lanes>(
        &self,
        l: L,
        asking: bool,
        queries: &[Query<'_>],
        visible: &Visible,
        room: &mut Room,
    ) {
        let scores = &mut room.weights;
        match (self.keys, self.next_keys) {
            (Head::F32(keys), Head::F32(next)) => {
                float::scores(l, queries, keys, asking.then_some(next), visible, scores)
            }
            (Head::F16(keys), Head::F16(next)) => {
                float::scores(l, queries, keys, asking.then_some(next), visible, scores)
            }
            (Head::BF16(keys), Head::BF16(next)) => {
                float::scores(l, queries, keys, asking.then_some(next), visible, scores)
            }
            (Head::I16 { integers, scales }, Head::I16 { integers: next, .. }) => {
                let keys = words::Kept { integers, scales, ahead: asking.then_some(next) };
                words::scores(l, queries, keys, visible, scores);
            }
            (Head::Q8_0 { integers, scales }, Head::Q8_0 { integers: next, .. }) => {
                let keys = integer::Kept { integers, scales, ahead: asking.then_some(next) };
                integer::scores(l, queries, keys, visible, scores);
            }
            _ => unreachable!("pages of a state are of one type"),
        }
    }

    /// Merges its weighted values into those of some queries.
    #[inline(always)]
    fn weigh<L: Lanes>(
        &self,
        l: L,
        asking: bool,
        queries: &mut [Query<'_>],
        visible: &Visible,
        room: &mut Room,
        factors: &[Factors; TOGETHER],
    ) {
        let weights = &room.weights;
        match (self.values, self.next_values) {
            (Head::F32(values), Head::F32(next)) => {
                float::weigh(l, queries, values, asking.then_some(next), visible, weights, factors)
            }
            (Head::F16(values), Head::F16(next)) => {
                float::weigh(l, queries, values, asking.then_some(next), visible, weights, factors)
            }
            (Head::BF16(values), Head::BF16(next)) => {
                float::weigh(l, queries, values, asking.then_some(next), visible, weights, factors)
            }
            (Head::I16 { integers, scales }, Head::I16 { integers: next, .. }) => {
                let values = words::Kept { integers, scales, ahead: asking.then_some(next) };
                words::weigh(l, queries, values, visible, weights, &mut room.words, factors);
            }
            (Head::Q8_0 { integers, scales }, Head::Q8_0 { integers: next, .. }) => {
                let values = integer::Kept { integers, scales, ahead: asking.then_some(next) };
                integer::weigh(l, queries, values, visible, weights, &mut room.integers, factors);
            }
            _ => unreachable!("pages of a state are of one type"),
        }
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
