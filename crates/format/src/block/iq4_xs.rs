//! IQ4_XS: a half `d`, the upper 2 bits of 8 scales, their lower 4 bits, then 256 codes of 4 bits.
//! Weight = `(d * (scale - 32)) * CODEBOOK[code]` with the codebook of IQ4_NL, in groups of 32.

use super::iq4_nl::{CODEBOOK, LOW};
use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{SignedScales, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<IQ4XS>(BlockType::IQ4_XS, "IQ4_XS", 23);

const GROUPS: usize = 8;
const SCALES_HIGH: usize = 2;
const SCALES_LOW: usize = 4;
const CODES: usize = 8;

struct IQ4XS;

impl Quantized for IQ4XS {
    const LEN: usize = 256;
    const BYTES: usize = 136;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        let d = half_at(block, 0);
        let mut factors = [-32; GROUPS];
        Plane::<2, 1>::add_to(&block[SCALES_HIGH..SCALES_LOW], 4, &mut factors);
        Plane::<4, 1>::add_to(&block[SCALES_LOW..CODES], 0, &mut factors);
        for (scale, factor) in scales.iter_mut().zip(factors) {
            *scale = d * f32::from(factor);
        }
        CODEBOOK.unpack(&block[CODES..], quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let scales = SignedScales::<GROUPS>::choose(weights, LOW, -32.0);
        let inverses = scales.factors.map(|factor| inverse(scales.scale * f32::from(factor)));
        let codes: [u8; 256] = std::array::from_fn(|i| CODEBOOK.nearest(weights[i] * inverses[i / 32]));
        let factors = scales.factors.map(|factor| (factor + 32).cast_unsigned());
        put_half(block, 0, scales.scale);
        Plane::<2, 1>::put(&factors, 4, &mut block[SCALES_HIGH..SCALES_LOW]);
        Plane::<4, 1>::put(&factors, 0, &mut block[SCALES_LOW..CODES]);
        Plane::<4, 16>::put(&codes, 0, &mut block[CODES..]);
    }
}
