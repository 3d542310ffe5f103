//! Q8_0: a half `d`, then 32 signed bytes. Weight = `d * byte`.

use super::layout::{Quantized, quantized};
use super::scale::{extreme, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q8_0>(BlockType::Q8_0, "Q8_0", 8);

struct Q8_0;

impl Quantized for Q8_0 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        scales[0] = half_at(block, 0);
        for (quant, byte) in quants.iter_mut().zip(&block[2..]) {
            *quant = byte.cast_signed();
        }
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let inverse = inverse(put_half(block, 0, extreme(weights).abs() / 127.0));
        for (weight, byte) in weights.iter().zip(&mut block[2..]) {
            let quant = (weight * inverse).round_ties_even().clamp(-127.0, 127.0) as i8;
            *byte = quant.cast_unsigned();
        }
    }
}
