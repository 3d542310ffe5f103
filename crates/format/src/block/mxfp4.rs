//! MXFP4: an exponent byte `e`, then 32 codes of 4 bits, each an E2M1 number (OCP Microscaling Formats 1.0).
//! The codebook holds doubled values, so that they are whole: weight = `2^(e - 128) * CODEBOOK[code]`.

use super::codebook::Codebook;
use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::extreme;
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<MXFP4>(BlockType::MXFP4, "MXFP4", 39);

const CODEBOOK: Codebook = Codebook([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12]);

/// The largest exponent under which every code is a finite `f32`.
const MAX_EXPONENT: u8 = 252;

struct MXFP4;

impl Quantized for MXFP4 {
    const LEN: usize = 32;
    const BYTES: usize = 17;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = power(block[0]);
        CODEBOOK.unpack(&block[1..], quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        // With the specification's exponent the largest weight becomes 4 to 8 before doubling, and the part above 6
        // is cut. One exponent higher cuts nothing but is coarser: take whichever errs less.
        let biased = (extreme(weights).to_bits() >> 23) & 255;
        let low = biased.saturating_sub(2) as u8;
        let (low_codes, low_error) = codes(weights, low);
        let high = (low + 1).min(MAX_EXPONENT);
        let (high_codes, high_error) = codes(weights, high);
        let (exponent, codes) = if high_error < low_error { (high, high_codes) } else { (low, low_codes) };
        block[0] = exponent;
        Plane::<4, 16>::put(&codes, 0, &mut block[1..]);
    }
}

/// `2^(e - 128)`, exactly; the two least are subnormal.
fn power(e: u8) -> f32 {
    match e {
        0 | 1 => f32::from_bits(0x0020_0000 << e),
        _ => f32::from_bits(u32::from(e - 1) << 23),
    }
}

/// The nearest codes under an exponent, and the sum of their squared errors.
fn codes(weights: &[f32], exponent: u8) -> ([u8; 32], f64) {
    let scale = f64::from(power(exponent));
    let mut error = 0.0;
    let codes = std::array::from_fn(|i| {
        let scaled = f64::from(weights[i]) / scale;
        let code = CODEBOOK.nearest(scaled as f32);
        error += ((scaled - f64::from(CODEBOOK.0[usize::from(code)])) * scale).powi(2);
        code
    });
    (codes, error)
}
