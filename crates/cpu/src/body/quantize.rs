//! Rows of activations to int8, as [`dewdrop_backend::quantize`] does it.

use dewdrop_backend::quantize::{BLOCK, LARGEST, LARGEST_WORD, SMALLEST, scale_for, up_to_bf16};

use super::math::magnitude;
use crate::lanes::{Job, Lanes};

/// Quantizes a tile of rows, whose length is a multiple of 32. What it writes has the values of `width` rows side by
/// side.
pub(crate) struct Quantize<'a> {
    /// `[n_rows, n_in]`, not more than `width` rows.
    pub(crate) x: &'a [f32],
    pub(crate) n_in: usize,
    pub(crate) width: usize,
    /// Four inputs each.
    pub(crate) q: &'a mut [[i8; 4]],
    /// One per 32.
    pub(crate) scales: &'a mut [f32],
    /// Sums of each 16, and the same times their scales.
    pub(crate) sums16: &'a mut [i32],
    pub(crate) scaled_sums16: &'a mut [f32],
    /// Of each 32.
    pub(crate) sums32: &'a mut [i32],
    pub(crate) scaled_sums32: &'a mut [f32],
}

impl Job for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let width = self.width;
        for (row, x) in self.x.chunks_exact(self.n_in).enumerate() {
            for (lot, x) in x.as_chunks::<BLOCK>().0.chunks(16).enumerate() {
                // Scales of a lot at a time: one block's would wait for the next steps of another's.
                let mut most = [0; 16];
                for (most, x) in most.iter_mut().zip(x) {
                    let (halves, _) = x.as_chunks::<16>();
                    *most = largest(l, l.load(&halves[0]), l.load(&halves[1]));
                }
                let (scales, inverses) = scales(l, &most);
                for (i, x) in x.iter().enumerate() {
                    let (b, scale) = (lot * 16 + i, scales[i]);
                    let (q, sums) = integers(l, x, inverses[i]);
                    let q = q.as_chunks::<4>().0;
                    for k in 0..BLOCK / 4 {
                        self.q[(b * BLOCK / 4 + k) * width + row] = q[k];
                    }
                    self.scales[b * width + row] = scale;
                    for half in 0..2 {
                        self.sums16[(2 * b + half) * width + row] = sums[half] as i32;
                        self.scaled_sums16[(2 * b + half) * width + row] = sums[half] * scale;
                    }
                    self.sums32[b * width + row] = (sums[0] + sums[1]) as i32;
                    self.scaled_sums32[b * width + row] = (sums[0] + sums[1]) * scale;
                }
            }
        }
    }
}

/// 32 integers, their scale, and the sums of each half, which are whole.
pub(super) struct Block {
    pub(super) q: [i8; BLOCK],
    pub(super) scale: f32,
    pub(super) sums: [f32; 2],
}

#[inline(always)]
pub(super) fn block<L: Lanes>(l: L, x: &[f32; BLOCK]) -> Block {
    let (halves, _) = x.as_chunks::<16>();
    let (scale, inverse) = scale(l, l.load(&halves[0]), l.load(&halves[1]));
    let (q, sums) = integers(l, x, inverse);
    Block { q, scale, sums }
}

/// The largest magnitude of a block, as bits.
#[inline(always)]
fn largest<L: Lanes>(l: L, a: L::F, b: L::F) -> i32 {
    l.largest_int(l.max_int(magnitude(l, a), magnitude(l, b)))
}

/// [`scale_for`] sixteen blocks.
#[inline(always)]
fn scales<L: Lanes>(l: L, most: &[i32; 16]) -> ([f32; 16], [f32; 16]) {
    let most = l.load(&most.map(|most| f32::from_bits(most.cast_unsigned())));
    let (zero, scale) = (l.splat(0.0), l.div(most, l.splat(LARGEST)));
    let (finite, small) = (l.less(most, l.splat(f32::INFINITY)), l.less(most, l.splat(SMALLEST)));
    let inverse = l.select(finite, l.div(l.splat(1.0), scale), zero);
    let (mut scales, mut inverses) = ([0.0; 16], [0.0; 16]);
    l.store(l.select(small, zero, l.select(finite, scale, l.splat(f32::NAN))), &mut scales);
    l.store(l.select(small, zero, inverse), &mut inverses);
    (scales, inverses)
}

/// The integers of a block times the inverse of its scale, and the sums of each half, which are whole.
#[inline(always)]
fn integers<L: Lanes>(l: L, x: &[f32; BLOCK], inverse: f32) -> ([i8; BLOCK], [f32; 2]) {
    if inverse == 0.0 {
        return ([0; BLOCK], [0.0; 2]);
    }
    let (halves, _) = x.as_chunks::<16>();
    // None is beyond the largest magnitude: what is rounded is above 127 by its last bits at most.
    let a = l.to_int(l.round(l.mul(l.load(&halves[0]), l.splat(inverse))));
    let b = l.to_int(l.round(l.mul(l.load(&halves[1]), l.splat(inverse))));
    let mut bytes = [0; 64];
    l.narrow([a, b, a, b], &mut bytes);
    // Sums of whole numbers below 2^24 are exact in any order.
    (*bytes.first_chunk().expect("64 bytes"), [l.sum(l.to_float(a)), l.sum(l.to_float(b))])
}

/// The scale of a block and what its values are multiplied by: zero where all integers are.
#[inline(always)]
pub(super) fn scale<L: Lanes>(l: L, a: L::F, b: L::F) -> (f32, f32) {
    let most = f32::from_bits(largest(l, a, b).cast_unsigned());
    scale_for(most, most / LARGEST)
}

/// The scale of integers of 16 bits, whose number is a multiple of 16, and what their values are multiplied by.
#[inline(always)]
pub(super) fn scale_of_words<L: Lanes>(l: L, x: &[[f32; 16]]) -> (f32, f32) {
    let mut most = l.splat_int(0);
    for x in x {
        most = l.max_int(most, magnitude(l, l.load(x)));
    }
    let most = f32::from_bits(l.largest_int(most).cast_unsigned());
    scale_for(most, up_to_bf16(most / LARGEST_WORD))
}

/// Integers of 16 bits of values times the inverse of their scale.
#[inline(always)]
pub(super) fn words<L: Lanes>(l: L, x: &[f32; 16], inverse: f32) -> [i16; 16] {
    let mut q = [0; 16];
    if inverse != 0.0 {
        // None is beyond the largest magnitude: the scale was not rounded down.
        l.narrow_words(l.to_int(l.round(l.mul(l.load(x), l.splat(inverse)))), &mut q);
    }
    q
}
