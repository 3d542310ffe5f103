//! Channels of float weights times one row, converted as they are read.

use std::marker::PhantomData;

use super::math::padded;
use crate::lanes::{Bytes, Job, Lanes};
use crate::panel::SPAN;

/// Channels whose sums grow side by side.
const TOGETHER: usize = 4;

/// What float weights lie in a file as.
pub(crate) trait Stored {
    /// Bytes of a weight.
    const BYTES: usize;

    /// Sixteen weights from `16 * BYTES` bytes.
    fn load<L: Lanes>(l: L, from: &[u8]) -> L::F;
}

pub(crate) struct F32;
pub(crate) struct F16;
pub(crate) struct BF16;

impl Stored for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[u8]) -> L::F {
        l.float(l.load_bytes(from.first_chunk().expect("sixteen floats")))
    }
}

impl Stored for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[u8]) -> L::F {
        l.load_half(&halves(from))
    }
}

impl Stored for BF16 {
    const BYTES: usize = 2;

    #[inline(always)]
    fn load<L: Lanes>(l: L, from: &[u8]) -> L::F {
        l.load_upper(&halves(from))
    }
}

#[inline(always)]
fn halves(bytes: &[u8]) -> [u16; 16] {
    let mut halves = [0; 16];
    for j in 0..16 {
        halves[j] = u16::from_le_bytes([bytes[2 * j], bytes[2 * j + 1]]);
    }
    halves
}

/// Products of some channels, whole, with one row.
pub(crate) struct FloatRow<'a, S> {
    /// `[n_channels, n_in]`, as in the file.
    pub(crate) weights: &'a [u8],
    /// `[n_in]`.
    pub(crate) x: &'a [f32],
    /// `[n_channels]`.
    pub(crate) out: &'a mut [f32],
    pub(crate) stored: PhantomData<S>,
}

impl<S: Stored> Job for FloatRow<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let n_channels = self.out.len();
        let mut channel = 0;
        while channel + TOGETHER <= n_channels {
            self.channels::<L, TOGETHER>(l, channel);
            channel += TOGETHER;
        }
        while channel < n_channels {
            self.channels::<L, 1>(l, channel);
            channel += 1;
        }
    }
}

impl<S: Stored> FloatRow<'_, S> {
    #[inline(always)]
    fn channels<L: Lanes, const N: usize>(&mut self, l: L, first: usize) {
        let channel_bytes = self.x.len() * S::BYTES;
        for (span, x) in self.x.chunks(SPAN).enumerate() {
            let mut weights = [&self.weights[..0]; N];
            for c in 0..N {
                let at = (first + c) * channel_bytes + span * SPAN * S::BYTES;
                weights[c] = &self.weights[at..][..x.len() * S::BYTES];
            }
            // The channels that come next, in one stream while these are read in several: else memory would be asked for
            // each of those anew, and would rest.
            let next = (first + N) * channel_bytes + N * span * SPAN * S::BYTES;
            let next = self.weights.as_ptr().wrapping_add(next);
            let sums = span_sums::<L, S, N>(l, &weights, x, next);
            for c in 0..N {
                let out = &mut self.out[first + c];
                *out = if span == 0 { sums[c] } else { *out + sums[c] };
            }
        }
    }
}

/// A span's value of each channel: sums over lanes, and their tree. As many bytes are asked for from `next` on.
#[inline(always)]
fn span_sums<L: Lanes, S: Stored, const N: usize>(
    l: L,
    weights: &[&[u8]; N],
    x: &[f32],
    next: *const u8,
) -> [f32; N] {
    let mut acc = [l.splat(0.0); N];
    let (vectors, rest) = x.as_chunks::<16>();
    let step_bytes = N * 16 * S::BYTES;
    for (i, x) in vectors.iter().enumerate() {
        for line in (0..step_bytes).step_by(64) {
            l.prefetch_far(next.wrapping_add(i * step_bytes + line));
        }
        let x = l.load(x);
        for c in 0..N {
            acc[c] = l.fma(S::load(l, &weights[c][16 * S::BYTES * i..][..16 * S::BYTES]), x, acc[c]);
        }
    }
    let mut sums = [0.0; N];
    for c in 0..N {
        if !rest.is_empty() {
            let mut bytes = Bytes::ZERO;
            let last = &weights[c][16 * S::BYTES * vectors.len()..];
            bytes.0[..last.len()].copy_from_slice(last);
            acc[c] = l.fma(S::load(l, &bytes.0[..16 * S::BYTES]), l.load(&padded(rest)), acc[c]);
        }
        sums[c] = l.sum(acc[c]);
    }
    sums
}
