//! Q4_0: a half `d`, then 32 codes of 4 bits (low nibbles first). Weight = `d * (code - 8)`.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{code, extreme, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q4_0>(BlockType::Q4_0, "Q4_0", 2);

struct Q4_0;

impl Quantized for Q4_0 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
        quants.fill(-8);
        Plane::<4, 16>::add_to(&block[2..], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let inverse = inverse(put_half(block, 0, extreme(weights) / -8.0));
        let codes: [u8; 32] = std::array::from_fn(|i| code(weights[i], inverse, -8.0, 7.0));
        Plane::<4, 16>::put(&codes, 0, &mut block[2..]);
    }
}
