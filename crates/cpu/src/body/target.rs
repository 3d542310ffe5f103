//! Where a product's values go.

use std::ops::Range;

use super::math::padded;
use crate::disjoint::Disjoint;
use crate::lanes::Lanes;
use crate::panel::CHANNELS;

/// `[n_rows, n_out]`, of which a product owns some columns.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) out: Disjoint<'a, f32>,
    pub(crate) n_out: usize,
    /// The first of this product's channels, and their number: at most sixteen for what computes them side by side.
    pub(crate) channel: usize,
    pub(crate) n_channels: usize,
    /// Whether there are no values of earlier spans to add to.
    pub(crate) first: bool,
    /// What follows the last span.
    pub(crate) end: Option<End<'a>>,
}

/// `out = old + (out + bias)`.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    /// `[n_out]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `[n_rows, n_out]`.
    pub(crate) old: Option<&'a [f32]>,
}

impl Target<'_> {
    /// That of the `i`-th sixteen channels.
    #[inline(always)]
    pub(crate) fn sixteen(self, i: usize) -> Self {
        let n_channels = CHANNELS.min(self.n_channels - i * CHANNELS);
        Target { channel: self.channel + i * CHANNELS, n_channels, ..self }
    }

    /// That of some spans, of a product's first ones, its last ones, or others.
    #[inline(always)]
    pub(crate) fn part(self, is_first: bool, is_last: bool) -> Self {
        Target { first: is_first, end: self.end.filter(|_| is_last), ..self }
    }

    /// A row's value of the spans before these; none if these are the first. Spans are added one by one, so values start
    /// from it.
    ///
    /// # Safety
    /// These columns are the present task's alone.
    #[inline(always)]
    pub(crate) unsafe fn before<L: Lanes>(&self, l: L, row: usize) -> Option<L::F> {
        if self.first {
            return None;
        }
        let at = row * self.n_out + self.channel;
        // SAFETY: by the caller.
        let out = unsafe { self.out.part(at..at + self.n_channels) };
        Some(first_sixteen(l, out))
    }

    /// Takes values of some rows, from `first_row` on.
    ///
    /// # Safety
    /// These columns are the present task's alone.
    #[inline(always)]
    pub(crate) unsafe fn put<L: Lanes>(&self, l: L, first_row: usize, values: &[L::F]) {
        for (r, y) in values.iter().enumerate() {
            let at = (first_row + r) * self.n_out + self.channel;
            // SAFETY: by the caller.
            let out = unsafe { self.out.part(at..at + self.n_channels) };
            if let Some(out) = out.first_chunk_mut() {
                l.store(self.finish(l, at, *y), out);
            } else {
                let mut all = [0.0; CHANNELS];
                l.store(self.finish(l, at, *y), &mut all);
                out.copy_from_slice(&all[..out.len()]);
            }
        }
    }

    /// Asks for the memory that [`Target::put`] will write, and read, for some rows: it waits for one line after another.
    #[inline(always)]
    pub(crate) fn ask<L: Lanes>(&self, l: L, rows: Range<usize>) {
        let old = self.end.and_then(|end| end.old);
        for row in rows {
            let at = row * self.n_out + self.channel;
            l.prefetch(self.out.address(at));
            if let Some(old) = old {
                l.prefetch(old.as_ptr().wrapping_add(at).cast());
            }
        }
    }

    /// What becomes of sixteen values, whose place is `at`.
    #[inline(always)]
    fn finish<L: Lanes>(&self, l: L, at: usize, mut y: L::F) -> L::F {
        if let Some(End { bias, old }) = self.end {
            if let Some(bias) = bias {
                y = l.add(y, first_sixteen(l, &bias[self.channel..]));
            }
            if let Some(old) = old {
                y = l.add(first_sixteen(l, &old[at..]), y);
            }
        }
        y
    }
}

/// The first sixteen, filled up with zeros where there are fewer.
#[inline(always)]
fn first_sixteen<L: Lanes>(l: L, x: &[f32]) -> L::F {
    match x.first_chunk() {
        Some(sixteen) => l.load(sixteen),
        None => l.load(&padded(x)),
    }
}
