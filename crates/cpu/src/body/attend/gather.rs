//! The softmax over blocks of 64 keys, and blocks merged in ascending order.

use dewdrop_backend::state::PAGE;

use super::{Query, Row, TOGETHER, Visible};
use crate::body::math::{exp, padded};
use crate::lanes::{Job, Lanes};

/// What some queries have gathered from pages so far, a lane each.
#[derive(Clone, Copy)]
pub(crate) struct Gathered {
    /// The largest score; none: minus infinity.
    pub(crate) max: [f32; TOGETHER],
    /// The sum of weights.
    pub(crate) sum: [f32; TOGETHER],
    /// Whether a query has seen any key.
    pub(crate) seen: [bool; TOGETHER],
}

/// What merging a block multiplies old and new sums by.
#[derive(Clone, Copy)]
pub(super) enum Factors {
    /// The query sees nothing of the block.
    Skip,
    /// It is the first block.
    First,
    Both(f32, f32),
}

impl Gathered {
    pub(crate) const NOTHING: Gathered =
        Gathered { max: [f32::NEG_INFINITY; TOGETHER], sum: [0.0; TOGETHER], seen: [false; TOGETHER] };

    /// Turns a page's scores into weights, hidden ones into zero, and merges their sums.
    #[inline(always)]
    pub(super) fn add<L: Lanes>(
        &mut self,
        l: L,
        visible: &Visible,
        weights: &mut [Row],
    ) -> [Factors; TOGETHER] {
        let mut block = Gathered::NOTHING;
        for (n, weights) in weights.iter_mut().enumerate() {
            let (start, end) = visible.of[n];
            if start < end {
                block.seen[n] = true;
                block.max[n] = largest(l, weights, (start, end));
            }
        }
        // A row's sum waits for its exponentials, so those of all rows come first.
        for (n, weights) in weights.iter_mut().enumerate() {
            exponentials(l, weights, block.max[n], visible.of[n]);
        }
        for (n, weights) in weights.iter().enumerate() {
            block.sum[n] = sum(l, weights);
        }
        self.merge(l, &block)
    }

    /// Merges a block's sums into these.
    #[inline(always)]
    fn merge<L: Lanes>(&mut self, l: L, block: &Gathered) -> [Factors; TOGETHER] {
        let (old, new) = (l.load(&self.max), l.load(&block.max));
        // The old one stays where the new one is NaN, as a comparison would have it.
        let both = l.max(new, old);
        let (a, b) = (exp(l, l.sub(old, both)), exp(l, l.sub(new, both)));
        let sum = l.fma(l.load(&self.sum), a, l.mul(l.load(&block.sum), b));
        let [mut max, mut sums, mut of_old, mut of_new] = [[0.0; TOGETHER]; 4];
        l.store(both, &mut max);
        l.store(sum, &mut sums);
        l.store(a, &mut of_old);
        l.store(b, &mut of_new);
        let mut factors = [Factors::Skip; TOGETHER];
        for n in 0..TOGETHER {
            if block.seen[n] && self.seen[n] {
                (self.max[n], self.sum[n]) = (max[n], sums[n]);
                factors[n] = Factors::Both(of_old[n], of_new[n]);
            } else if block.seen[n] {
                (self.max[n], self.sum[n], self.seen[n]) = (block.max[n], block.sum[n], true);
                factors[n] = Factors::First;
            }
        }
        factors
    }
}

/// What is outside of the visible range becomes `value`.
#[inline(always)]
fn hide(row: &mut Row, (start, end): (usize, usize), value: f32) {
    if start > 0 || end < PAGE {
        row[..start].fill(value);
        row[end..].fill(value);
    }
}

/// The largest visible score; hidden ones become minus infinity.
#[inline(always)]
fn largest<L: Lanes>(l: L, scores: &mut Row, visible: (usize, usize)) -> f32 {
    hide(scores, visible, f32::NEG_INFINITY);
    let mut max = l.splat(f32::NEG_INFINITY);
    for vector in scores.as_chunks().0 {
        // The second operand stays where the first is NaN, as a comparison would have it.
        max = l.max(l.load(vector), max);
    }
    l.largest(max)
}

/// Scores to weights; hidden ones become zero.
#[inline(always)]
fn exponentials<L: Lanes>(l: L, scores: &mut Row, max: f32, visible: (usize, usize)) {
    let max = l.splat(max);
    for vector in scores.as_chunks_mut().0 {
        l.store(exp(l, l.sub(l.load(vector), max)), vector);
    }
    hide(scores, visible, 0.0);
}

/// The sum of a page's weights.
#[inline(always)]
fn sum<L: Lanes>(l: L, weights: &Row) -> f32 {
    let mut sum = l.splat(0.0);
    for vector in weights.as_chunks().0 {
        sum = l.add(sum, l.load(vector));
    }
    l.sum(sum)
}

/// Weights that take up the scales of their values. Weight zero stays so, whatever the scale of a hidden position.
#[inline(always)]
pub(super) fn take_up<L: Lanes>(l: L, weights: &[f32; 16], scales: L::F) -> L::F {
    let weights = l.load(weights);
    let seen = l.less(l.splat(0.0), weights);
    l.float(l.and(seen, l.bits(l.mul(weights, scales))))
}

/// Merges `new` weighted values of sixteen dimensions, or fewer at the end, into `out`.
#[inline(always)]
pub(super) fn merge_into<L: Lanes>(l: L, factors: Factors, new: L::F, out: &mut [f32]) {
    match out.first_chunk_mut() {
        Some(out) => l.store(merged(l, factors, l.load(out), new), out),
        None => {
            let mut lanes = padded(out);
            l.store(merged(l, factors, l.load(&lanes), new), &mut lanes);
            out.copy_from_slice(&lanes[..out.len()]);
        }
    }
}

#[inline(always)]
fn merged<L: Lanes>(l: L, factors: Factors, old: L::F, new: L::F) -> L::F {
    match factors {
        Factors::Skip => old,
        Factors::First => new,
        Factors::Both(a, b) => l.fma(old, l.splat(a), l.mul(new, l.splat(b))),
    }
}

/// Merges what some queries have gathered from one page apart.
pub(crate) struct Merge<'a, 'q> {
    pub(crate) gathered: &'a mut Gathered,
    pub(crate) of_page: &'a Gathered,
    /// Weighted values, `[n_queries, head_dim]`.
    pub(crate) values: &'a [f32],
    pub(crate) queries: &'a mut [Query<'q>],
}

impl Job for Merge<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let factors = self.gathered.merge(l, self.of_page);
        let values = self.values.chunks_exact(self.values.len() / self.queries.len());
        for ((query, values), factors) in self.queries.iter_mut().zip(values).zip(factors) {
            for (values, out) in values.chunks(16).zip(query.out.chunks_mut(16)) {
                merge_into(l, factors, l.load(&padded(values)), out);
            }
        }
    }
}
