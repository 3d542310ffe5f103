//! IQ4_NL: a half `d`, then 32 codes of 4 bits. Weight = `d * CODEBOOK[code]`.

use super::codebook::Codebook;
use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{extreme, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<IQ4NL>(BlockType::IQ4_NL, "IQ4_NL", 20);

/// GGUF's values for IQ4 types: denser near zero, where most weights are.
pub(super) const CODEBOOK: Codebook =
    Codebook([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]);
/// The codebook's value of largest magnitude.
pub(super) const LOW: f32 = -127.0;

struct IQ4NL;

impl Quantized for IQ4NL {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
        CODEBOOK.unpack(&block[2..], quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let inverse = inverse(put_half(block, 0, extreme(weights) / LOW));
        let codes: [u8; 32] = std::array::from_fn(|i| CODEBOOK.nearest(weights[i] * inverse));
        Plane::<4, 16>::put(&codes, 0, &mut block[2..]);
    }
}
