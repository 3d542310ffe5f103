//! Activations as bfloat16 for products with bfloat16 weights: rows with one scale, a power of two.
//!
//! `docs/arithmetic.md`, "Activations to bfloat16". The scale lifts a row so far that no sum of its products is below the
//! smallest normal value. So instructions that take such values for zero have the same bits as those that keep them.

use half::bf16;

use crate::math::{largest_magnitude, power_of_two};

/// Rows whose largest magnitude is below this become zeros: `2^-60`.
pub const SMALLEST: f32 = power_of_two(-60);
/// The exponent of a row's largest magnitude once it is lifted.
const LIFTED: i32 = 60;
/// Lifted values below this become zeros: `2^30`, less than a thousand-millionth of the row's largest.
pub const LEAST: f32 = power_of_two(30);

/// A row rounded to bfloat16.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Halves {
    /// Lifted values, `[n]`.
    pub values: Vec<f32>,
    /// What sums of products are multiplied with: NaN where the row holds a NaN or an infinity, 0 where it is all zeros.
    pub scale: f32,
}

impl Halves {
    /// Rounds a row.
    pub fn new(x: &[f32]) -> Self {
        let Lift { factor, scale } = Lift::new(largest_magnitude(x));
        let lifted = |x: &f32| if factor == 0.0 { 0.0 } else { lift(*x, factor) };
        Halves { values: x.iter().map(lifted).collect(), scale }
    }
}

/// How a row is lifted, and what takes that back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lift {
    /// Zero if all values become zeros.
    pub factor: f32,
    /// `1 / factor`, or see [`Halves::scale`].
    pub scale: f32,
}

impl Lift {
    /// For a row whose largest magnitude (of bits, so that infinity and NaN are on top) this is.
    pub fn new(largest: f32) -> Self {
        if !largest.is_finite() {
            Lift { factor: 0.0, scale: f32::NAN }
        } else if largest < SMALLEST {
            Lift { factor: 0.0, scale: 0.0 }
        } else {
            let exponent = (largest.to_bits() >> 23).cast_signed() - 127;
            Lift { factor: power_of_two(LIFTED - exponent), scale: power_of_two(exponent - LIFTED) }
        }
    }
}

fn lift(x: f32, factor: f32) -> f32 {
    let lifted = bf16::from_f32(x * factor).to_f32();
    if lifted.abs() < LEAST { 0.0 } else { lifted }
}

/// A weight as it is multiplied: zero if it is below the smallest normal value.
pub fn weight(w: f32) -> f32 {
    if w.abs() < f32::MIN_POSITIVE { 0.0 } else { w }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn errors_are_those_of_eight_bits(x in prop::collection::vec(-1f32..1.0, 1..40), exponent in -50i32..120) {
            let x: Vec<f32> = x.iter().map(|x| x * 2f32.powi(exponent)).collect();
            let largest = x.iter().fold(0f32, |most, x| most.max(x.abs()));
            let Halves { values, scale } = Halves::new(&x);
            for (x, y) in x.iter().zip(values) {
                prop_assert!(y.to_bits().trailing_zeros() >= 16 && (y == 0.0 || y.abs() >= LEAST));
                let error = (f64::from(*x) - f64::from(y) * f64::from(scale)).abs();
                prop_assert!(error <= f64::from(x.abs()) / 256.0 || error <= f64::from(largest) / f64::from(LEAST), "{x} {y} {scale}");
            }
        }
    }

    #[test]
    fn edges() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let row = Halves::new(&[1.0, bad]);
            assert!(row.scale.is_nan() && row.values == [0.0; 2]);
        }
        assert_eq!(Halves::new(&[0.0, -0.0, 1e-30]), Halves { values: vec![0.0; 3], scale: 0.0 });
        assert_eq!(
            Halves::new(&[-SMALLEST]),
            Halves { values: vec![-power_of_two(60)], scale: power_of_two(-120) }
        );
        // Rounded up to the next power of two.
        assert_eq!(
            Halves::new(&[f32::MAX]),
            Halves { values: vec![power_of_two(61)], scale: power_of_two(67) }
        );
        assert_eq!(
            Halves::new(&[1.0, power_of_two(-30), power_of_two(-31)]).values,
            [power_of_two(60), power_of_two(30), 0.0]
        );
        assert_eq!((weight(f32::MIN_POSITIVE), weight(-1e-39)), (f32::MIN_POSITIVE, 0.0));
    }
}
