//! Q6_K: the lower 4 bits of 256 codes, their upper 2 bits, 16 scales of 8 signed bits, a half `d`.
//! Weight = `(d * scale) * (code - 32)`, in groups of 16.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{SignedScales, code, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q6K>(BlockType::Q6K, "Q6_K", 14);

const GROUPS: usize = 16;
const HIGH: usize = 128;
const SCALES: usize = 192;
const D: usize = 208;

struct Q6K;

impl Quantized for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        let d = half_at(block, D);
        for (scale, factor) in scales.iter_mut().zip(&block[SCALES..D]) {
            *scale = d * f32::from(factor.cast_signed());
        }
        quants.fill(-32);
        Plane::<4, 64>::add_to(&block[..HIGH], 0, quants);
        Plane::<2, 32>::add_to(&block[HIGH..SCALES], 4, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let scales = SignedScales::<GROUPS>::choose(weights, -32.0, -128.0);
        let inverses = scales.factors.map(|factor| inverse(scales.scale * f32::from(factor)));
        let codes: [u8; 256] = std::array::from_fn(|i| code(weights[i], inverses[i / 16], -32.0, 31.0));
        Plane::<4, 64>::put(&codes, 0, &mut block[..HIGH]);
        Plane::<2, 32>::put(&codes, 4, &mut block[HIGH..SCALES]);
        block[SCALES..D].copy_from_slice(&scales.factors.map(i8::cast_unsigned));
        put_half(block, D, scales.scale);
    }
}
