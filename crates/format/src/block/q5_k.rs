//! Q5_K: scales and minima as in Q4_K, the fifth bits of 256 codes, then their lower 4 bits.
//! Weight = `(d * scale) * code - dmin * minimum`, in groups of 32.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::q4_k::{pack_scales, unpack_scales};
use super::scale::AffineScales;
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q5K>(BlockType::Q5K, "Q5_K", 13);

const HIGH: usize = 16;
const LOW: usize = 48;

struct Q5K;

impl Quantized for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = true;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]) {
        unpack_scales(block, scales, minima);
        quants.fill(0);
        Plane::<1, 32>::add_to(&block[HIGH..LOW], 4, quants);
        Plane::<4, 32>::add_to(&block[LOW..], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let scales = AffineScales::choose(weights, 31.0, 63.0);
        let mut codes = [0; 256];
        scales.codes(weights, 31.0, &mut codes);
        pack_scales(&scales, block);
        Plane::<1, 32>::put(&codes, 4, &mut block[HIGH..LOW]);
        Plane::<4, 32>::put(&codes, 0, &mut block[LOW..]);
    }
}
