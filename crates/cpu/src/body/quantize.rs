//! A row of activations to int8, as [`dewdrop_backend::quantize`] does it.

use dewdrop_backend::quantize::{BLOCK, LARGEST, SMALLEST};

use crate::lanes::{Bytes, Job, Lanes};

/// Quantizes one row whose length is a multiple of 32.
pub(crate) struct Quantize<'a> {
    pub(crate) x: &'a [f32],
    /// As long as `x`.
    pub(crate) q: &'a mut [i8],
    /// One per 32.
    pub(crate) scales: &'a mut [f32],
    /// Sums of each 16.
    pub(crate) sums16: &'a mut [i32],
    /// Sums of each 32.
    pub(crate) sums32: &'a mut [i32],
    /// The same times their scales.
    pub(crate) scaled_sums16: &'a mut [f32],
    pub(crate) scaled_sums32: &'a mut [f32],
}

impl Job for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let blocks = self.x.as_chunks::<BLOCK>().0.iter().zip(self.q.as_chunks_mut::<BLOCK>().0);
        let sums = self.sums16.as_chunks_mut::<2>().0.iter_mut().zip(self.sums32);
        let scaled_sums = self.scaled_sums16.as_chunks_mut::<2>().0.iter_mut().zip(self.scaled_sums32);
        let sums = sums.zip(scaled_sums);
        for (((x, q), scale), ((sums, sum), (scaled_sums, scaled_sum))) in blocks.zip(self.scales).zip(sums) {
            *scale = block(l, x, q, sums);
            *sum = sums[0] + sums[1];
            *scaled_sums = sums.map(|sum| sum as f32 * *scale);
            *scaled_sum = *sum as f32 * *scale;
        }
    }
}

/// Integers and sums of one block; returns its scale.
#[inline(always)]
fn block<L: Lanes>(l: L, x: &[f32; BLOCK], q: &mut [i8; BLOCK], sums: &mut [i32; 2]) -> f32 {
    let [a, b] = halves(x);
    let (a, b) = (l.load(a), l.load(b));
    let magnitude = l.splat_int(i32::MAX);
    // Magnitudes order like their bits, with infinity and then NaN on top.
    let most = l.max_int(l.and(l.bits(a), magnitude), l.and(l.bits(b), magnitude));
    let most = f32::from_bits(l.largest_int(most).cast_unsigned());
    if !most.is_finite() || most < SMALLEST {
        *q = [0; BLOCK];
        *sums = [0; 2];
        return if most.is_finite() { 0.0 } else { f32::NAN };
    }
    let scale = most / LARGEST;
    let inverse = l.splat(1.0 / scale);
    let (a, b) = (integers(l, a, inverse), integers(l, b, inverse));
    let mut bytes = [0; 64];
    l.narrow([a, b, a, b], &mut bytes);
    q.copy_from_slice(&bytes[..BLOCK]);
    // Sums of four bytes each: lanes 0 to 3 are the first sixteen, 4 to 7 the others.
    let bytes = l.load_bytes(&bytes.map(i8::cast_unsigned));
    let fours = l.widen(l.splat_int(0), l.products(l.no_products(), l.splat_int(0x0101_0101), bytes));
    let mut lanes = Bytes::ZERO;
    l.store_bytes(fours, &mut lanes.0);
    let four = |j: usize| i32::from_le_bytes([0, 1, 2, 3].map(|b| lanes.0[4 * j + b]));
    *sums = [four(0) + four(1) + four(2) + four(3), four(4) + four(5) + four(6) + four(7)];
    scale
}

#[inline(always)]
fn halves(x: &[f32; BLOCK]) -> [&[f32; 16]; 2] {
    let (halves, _) = x.as_chunks();
    [&halves[0], &halves[1]]
}

#[inline(always)]
fn integers<L: Lanes>(l: L, x: L::F, inverse: L::F) -> L::I {
    let q = l.round(l.mul(x, inverse));
    l.to_int(l.min(l.splat(LARGEST), l.max(l.splat(-LARGEST), q)))
}
