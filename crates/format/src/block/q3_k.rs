//! Q3_K: the third bits of 256 codes, their lower 2 bits, 16 scales of 6 bits (lower 4 bits, then upper 2), a half
//! `d`. Weight = `(d * (scale - 32)) * (code - 4)`, in groups of 16.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{SignedScales, code, half_at, inverse, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q3K>(BlockType::Q3K, "Q3_K", 11);

const GROUPS: usize = 16;
const LOW: usize = 32;
const SCALES_LOW: usize = 96;
const SCALES_HIGH: usize = 104;
const D: usize = 108;

struct Q3K;

impl Quantized for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const GROUP: usize = 16;
    const HAS_MINIMUM: bool = false;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], _: &mut [f32]) {
        let d = half_at(block, D);
        let mut factors = [-32; GROUPS];
        Plane::<4, 8>::add_to(&block[SCALES_LOW..SCALES_HIGH], 0, &mut factors);
        Plane::<2, 4>::add_to(&block[SCALES_HIGH..D], 4, &mut factors);
        for (scale, factor) in scales.iter_mut().zip(factors) {
            *scale = d * f32::from(factor);
        }
        quants.fill(-4);
        Plane::<1, 32>::add_to(&block[..LOW], 2, quants);
        Plane::<2, 32>::add_to(&block[LOW..SCALES_LOW], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let scales = SignedScales::<GROUPS>::choose(weights, -4.0, -32.0);
        let inverses = scales.factors.map(|factor| inverse(scales.scale * f32::from(factor)));
        let codes: [u8; 256] = std::array::from_fn(|i| code(weights[i], inverses[i / 16], -4.0, 3.0));
        let factors = scales.factors.map(|factor| (factor + 32).cast_unsigned());
        Plane::<1, 32>::put(&codes, 2, &mut block[..LOW]);
        Plane::<2, 32>::put(&codes, 0, &mut block[LOW..SCALES_LOW]);
        Plane::<4, 8>::put(&factors, 0, &mut block[SCALES_LOW..SCALES_HIGH]);
        Plane::<2, 4>::put(&factors, 4, &mut block[SCALES_HIGH..D]);
        put_half(block, D, scales.scale);
    }
}
