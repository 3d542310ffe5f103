//! Q5_0: a half `d`, the fifth bits of 32 codes, then their lower 4 bits. Weight = `d * (code - 16)`.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{code, extreme, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q5_0>(BlockType::Q5_0, "Q5_0", 6);

struct Q5_0;

impl Quantized for Q5_0 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
        quants.fill(-16);
        Plane::<1, 1>::add_to(&block[2..6], 4, quants);
        Plane::<4, 16>::add_to(&block[6..], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let inverse = inverse(put_half(block, 0, extreme(weights) / -16.0));
        let codes: [u8; 32] = std::array::from_fn(|i| code(weights[i], inverse, -16.0, 15.0));
        Plane::<1, 1>::put(&codes, 4, &mut block[2..6]);
        Plane::<4, 16>::put(&codes, 0, &mut block[6..]);
    }
}
