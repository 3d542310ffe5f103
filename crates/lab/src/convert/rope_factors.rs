//! The tensor in which GGUF files say llama 3's scaling.

use std::f32::consts::PI;

use dewdrop_model::{RopeLaw, Scaling};

/// What each frequency is divided by; none where the scaling has a key of its own.
///
/// In singles and in the order of operations of llama.cpp's converter, so that the bits are the same.
pub(crate) fn of(law: &RopeLaw) -> Option<Vec<f32>> {
    let Scaling::Llama3 { factor, low, high, original } = law.scaling else { return None };
    let [factor, low, high, original] = [factor, low, high, original].map(|number| number as f32);
    let of_pair = |pair: usize| {
        let exponent = (2 * pair) as f32 / law.n_turning as f32;
        let frequency = 1.0 / (libm::pow(law.base, f64::from(exponent)) as f32);
        let wavelength = 2.0 * PI / frequency;
        if wavelength < original / high {
            1.0
        } else if wavelength > original / low {
            factor
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            1.0 / ((1.0 - smooth) / factor + smooth)
        }
    };
    Some((0..law.n_turning / 2).map(of_pair).collect())
}
