//! Q2_K: 16 bytes of scale (low nibble) and minimum (high nibble), 256 codes of 2 bits, halves `d` and `dmin`.
//! Weight = `(d * scale) * code - dmin * minimum`, in groups of 16.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{AffineScales, half_at, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q2K>(BlockType::Q2K, "Q2_K", 10);

const GROUPS: usize = 16;
const CODES: usize = 16;
const D: usize = 80;
const DMIN: usize = 82;

struct Q2K;

impl Quantized for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const GROUP: usize = 16;
    const HAS_MINIMUM: bool = true;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]) {
        let (d, dmin) = (half_at(block, D), half_at(block, DMIN));
        for i in 0..GROUPS {
            scales[i] = d * f32::from(block[i] & 15);
            minima[i] = -(dmin * f32::from(block[i] >> 4));
        }
        quants.fill(0);
        Plane::<2, 32>::add_to(&block[CODES..D], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let scales = AffineScales::<GROUPS>::choose(weights, 3.0, 15.0);
        let mut codes = [0; 256];
        scales.codes(weights, 3.0, &mut codes);
        put_half(block, D, scales.scale);
        put_half(block, DMIN, scales.depth);
        for (byte, (factor, depth)) in block.iter_mut().zip(scales.factors.iter().zip(scales.depths)) {
            *byte = factor | (depth << 4);
        }
        Plane::<2, 32>::put(&codes, 0, &mut block[CODES..D]);
    }
}
