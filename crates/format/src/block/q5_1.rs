//! Q5_1: halves `d` and `m`, the fifth bits of 32 codes, then their lower 4 bits. Weight = `d * code + m`.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{code, half_at, inverse, put_half, range};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q5_1>(BlockType::Q5_1, "Q5_1", 7);

struct Q5_1;

impl Quantized for Q5_1 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = true;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]) {
        scales[0] = half_at(block, 0);
        minima[0] = half_at(block, 2);
        quants.fill(0);
        Plane::<1, 1>::add_to(&block[4..8], 4, quants);
        Plane::<4, 16>::add_to(&block[8..], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let (low, high) = range(weights);
        let inverse = inverse(put_half(block, 0, high / 31.0 - low / 31.0));
        let minimum = put_half(block, 2, low);
        let codes: [u8; 32] = std::array::from_fn(|i| code(weights[i] - minimum, inverse, 0.0, 31.0));
        Plane::<1, 1>::put(&codes, 4, &mut block[4..8]);
        Plane::<4, 16>::put(&codes, 0, &mut block[8..]);
    }
}
