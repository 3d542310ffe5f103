//! Activations as int8 for products with quantized weights: blocks of 32 with one scale. And what attention multiplies, as
//! int16 with one scale.
//!
//! `docs/arithmetic.md`, "Activations to int8", "Heads to int16".

use crate::math::{largest_magnitude, power_of_two};

/// Activations that share a scale.
pub const BLOCK: usize = 32;
/// Activations under one entry of [`Quantized::sums`].
pub const SUM: usize = 16;
/// Blocks whose largest magnitude is below this become zeros: `2^-100`, so that the reciprocal scale is finite.
pub const SMALLEST: f32 = power_of_two(-100);
/// The largest quantized magnitude.
pub const LARGEST: f32 = 127.0;
/// The largest magnitude of integers of 16 bits: the sum of 32 products of two is below 2^31.
pub const LARGEST_WORD: f32 = 8191.0;

/// A row quantized to int8.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantized {
    /// Integers in -127 ..= 127, `[n]`.
    pub q: Vec<i8>,
    /// Factor of each block's integers, `[n / 32]`; NaN where the block held a NaN or an infinity.
    pub scales: Vec<f32>,
    /// Exact sum of each 16 integers, `[n / 16]`; a group of 32 takes two.
    pub sums: Vec<i16>,
}

impl Quantized {
    /// Quantizes a row whose length is a multiple of 32.
    pub fn new(x: &[f32]) -> Self {
        let mut quantized = Quantized::default();
        quantized.fill(x);
        quantized
    }

    /// Replaces the content by the quantized `x`, keeping the allocations.
    pub fn fill(&mut self, x: &[f32]) {
        assert!(
            x.len().is_multiple_of(BLOCK),
            "{} activations are no whole number of blocks of {BLOCK}",
            x.len()
        );
        self.q.resize(x.len(), 0);
        self.scales.resize(x.len() / BLOCK, 0.0);
        for ((x, q), scale) in x.chunks_exact(BLOCK).zip(self.q.chunks_exact_mut(BLOCK)).zip(&mut self.scales)
        {
            *scale = quantize_block(x, q);
        }
        self.sums.clear();
        self.sums.extend(self.q.chunks_exact(SUM).map(|q| q.iter().map(|&q| i16::from(q)).sum::<i16>()));
    }

    /// The scale of the group of `group` (16 or 32) integers with index `index`.
    pub fn scale(&self, group: usize, index: usize) -> f32 {
        self.scales[index * group / BLOCK]
    }

    /// `xs` of a group: the sum of its activations as quantized.
    pub fn group_sum(&self, group: usize, index: usize) -> f32 {
        let per_group = group / SUM;
        let sum: i32 = self.sums[index * per_group..][..per_group].iter().map(|&s| i32::from(s)).sum();
        sum as f32 * self.scale(group, index)
    }
}

/// Writes the integers of one block of 32 and returns its scale.
pub fn quantize_block(x: &[f32], q: &mut [i8]) -> f32 {
    let amax = largest_magnitude(x);
    let (scale, inverse) = scale_for(amax, amax / LARGEST);
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse).round_ties_even().clamp(-LARGEST, LARGEST) as i8;
    }
    scale
}

/// Writes integers of 16 bits, at most [`LARGEST_WORD`] in magnitude, and returns their scale, which is a bfloat16.
pub fn quantize_words(x: &[f32], q: &mut [i16]) -> f32 {
    let amax = largest_magnitude(x);
    let (scale, inverse) = scale_for(amax, up_to_bf16(amax / LARGEST_WORD));
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse).round_ties_even() as i16;
    }
    scale
}

/// A scale for this largest magnitude, and what values are multiplied by: NaN and zero where the magnitude is not finite, zeros
/// where it is too small. Values times zero, NaN among them, become integers that are zero.
#[inline(always)]
pub fn scale_for(amax: f32, scale: f32) -> (f32, f32) {
    if !amax.is_finite() {
        (f32::NAN, 0.0)
    } else if amax < SMALLEST {
        (0.0, 0.0)
    } else {
        (scale, 1.0 / scale)
    }
}

/// The least bfloat16 that is not below `x`, which is positive, and not larger than all of them.
#[inline(always)]
pub fn up_to_bf16(x: f32) -> f32 {
    f32::from_bits((x.to_bits() + 0xffff) & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(quantized: &Quantized) -> Vec<f64> {
        let scale = |i: usize| f64::from(quantized.scales[i / BLOCK]);
        quantized.q.iter().enumerate().map(|(i, &q)| f64::from(q) * scale(i)).collect()
    }

    proptest! {
        #[test]
        fn error_is_half_a_step(
            x in prop::collection::vec(-1f32..1.0, 96),
            exponents in prop::collection::vec(-99i32..120, 3),
        ) {
            let x: Vec<f32> = x.iter().enumerate().map(|(i, x)| x * 2f32.powi(exponents[i / BLOCK])).collect();
            let quantized = Quantized::new(&x);
            for ((i, x), y) in x.iter().enumerate().zip(decode(&quantized)) {
                let block = &quantized.q[i / BLOCK * BLOCK..][..BLOCK];
                let scale = f64::from(quantized.scales[i / BLOCK]);
                // Half a step, and the roundings of scale, reciprocal and product on top.
                let bound = if scale == 0.0 { f64::from(SMALLEST) } else { scale * 0.500_05 };
                prop_assert!((f64::from(*x) - y).abs() <= bound, "{x} became {y}, scale {scale}");
                prop_assert!(scale == 0.0 || block.iter().any(|q| q.unsigned_abs() == 127));
            }
        }

        #[test]
        fn words_are_as_near_as_their_scale_lets_them(
            x in prop::collection::vec(-1f32..1.0, 1..200),
            exponent in -99i32..127,
        ) {
            let x: Vec<f32> = x.iter().map(|x| x * 2f32.powi(exponent)).collect();
            let mut q = vec![0; x.len()];
            let scale = quantize_words(&x, &mut q);
            prop_assert_eq!(scale.to_bits() & 0xffff, 0);
            for (x, q) in x.iter().zip(&q) {
                let bound = if scale == 0.0 { f64::from(SMALLEST) } else { f64::from(scale) * 0.501 };
                prop_assert!((f64::from(*x) - f64::from(*q) * f64::from(scale)).abs() <= bound, "{x} became {q} of {scale}");
                prop_assert!(q.unsigned_abs() <= 8191);
            }
            // The scale is at most 2^-7 larger than it need be.
            prop_assert!(scale == 0.0 || q.iter().any(|q| q.unsigned_abs() >= 8127), "{:?}", q);
        }

        #[test]
        fn sums_are_exact(x in prop::collection::vec(-3f32..3.0, 64)) {
            let quantized = Quantized::new(&x);
            for (group, index) in [(16, 0), (16, 3), (32, 0), (32, 1)] {
                let sum: i32 = quantized.q[index * group..][..group].iter().map(|&q| i32::from(q)).sum();
                let want = sum as f32 * quantized.scales[index * group / BLOCK];
                prop_assert_eq!(quantized.group_sum(group, index).to_bits(), want.to_bits());
            }
        }

        #[test]
        fn blocks_do_not_see_each_other(x in prop::collection::vec(-3f32..3.0, 64)) {
            let (both, second) = (Quantized::new(&x), Quantized::new(&x[BLOCK..]));
            prop_assert_eq!(&both.q[BLOCK..], &second.q[..]);
            prop_assert_eq!(both.scales[1].to_bits(), second.scales[0].to_bits());
        }
    }

    #[test]
    fn edges() {
        let block = |first: f32| {
            let mut x = [0.25; BLOCK];
            x[0] = first;
            Quantized::new(&x)
        };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let quantized = block(bad);
            assert!(quantized.scales[0].is_nan() && quantized.q.iter().all(|&q| q == 0));
            assert!(quantized.group_sum(32, 0).is_nan());
        }
        assert_eq!(block(f32::MAX).q[0], 127);
        assert_eq!(block(f32::MIN).q[0], -127);
        let tiny = Quantized::new(&[f32::from_bits(SMALLEST.to_bits() - 1); BLOCK]);
        assert_eq!((tiny.scales[0].to_bits(), tiny.q[0]), (0, 0));
        assert_eq!(Quantized::new(&[-SMALLEST; BLOCK]).q, [-127; BLOCK]);
    }

    #[test]
    fn edges_of_words() {
        let words = |x: [f32; 2]| {
            let mut q = [1; 2];
            (quantize_words(&x, &mut q), q)
        };
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (scale, q) = words([bad, 1.0]);
            assert!(scale.is_nan() && q == [0; 2]);
        }
        assert_eq!(words([f32::from_bits(SMALLEST.to_bits() - 1), 0.0]), (0.0, [0; 2]));
        assert_eq!(words([8191.0, -0.5]), (1.0, [8191, 0]));
        assert_eq!(words([-8191.0, 1.5]), (1.0, [-8191, 2]));
        assert!(words([f32::MAX, f32::MIN]).1[0] > 8127);
        // The largest sum of 32 products fits.
        assert!(32 * (LARGEST_WORD as i64).pow(2) < 1 << 31);
    }

    #[test]
    fn ties_go_to_even() {
        let mut x = [0.0; BLOCK];
        x[..5].copy_from_slice(&[127.0, 0.5, 1.5, 2.5, -2.5]);
        assert_eq!(Quantized::new(&x).q[..5], [127, 0, 2, 2, -2]);
    }

    #[test]
    fn golden() {
        let x: Vec<f32> = (0..32).map(|i| (i * i) as f32 * 0.013 - 3.7).collect();
        let quantized = Quantized::new(&x);
        assert_eq!(quantized.scales[0].to_bits(), 0x3d8d_cbb8);
        assert_eq!(quantized.q[..8], [-53, -53, -53, -52, -50, -49, -47, -44]);
        assert_eq!(quantized.sums, [-622, 867]);
        assert_eq!(quantized.group_sum(32, 0).to_bits(), 0x4187_b3f7);
    }
}
