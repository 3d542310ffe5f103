//! Q4_1: halves `d` and `m`, then 32 codes of 4 bits. Weight = `d * code + m`.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{code, half_at, inverse, put_half, range};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q4_1>(BlockType::Q4_1, "Q4_1", 3);

struct Q4_1;

impl Quantized for Q4_1 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = true;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]) {
        scales[0] = half_at(block, 0);
        minima[0] = half_at(block, 2);
        quants.fill(0);
        Plane::<4, 16>::add_to(&block[4..], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let (low, high) = range(weights);
        let inverse = inverse(put_half(block, 0, high / 15.0 - low / 15.0));
        let minimum = put_half(block, 2, low);
        let codes: [u8; 32] = std::array::from_fn(|i| code(weights[i] - minimum, inverse, 0.0, 15.0));
        Plane::<4, 16>::put(&codes, 0, &mut block[4..]);
    }
}
