//! Q4_K: halves `d` and `dmin`, 8 scales and 8 minima of 6 bits in 12 bytes, 256 codes of 4 bits.
//! Weight = `(d * scale) * code - dmin * minimum`, in groups of 32.

use super::layout::{Quantized, quantized};
use super::plane::Plane;
use super::scale::{AffineScales, half_at, put_half};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = quantized::<Q4K>(BlockType::Q4K, "Q4_K", 12);

const GROUPS: usize = 8;
const CODES: usize = 16;

struct Q4K;

impl Quantized for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const HAS_MINIMUM: bool = true;

    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]) {
        unpack_scales(block, scales, minima);
        quants.fill(0);
        Plane::<4, 32>::add_to(&block[CODES..], 0, quants);
    }

    fn pack(weights: &[f32], block: &mut [u8]) {
        let scales = AffineScales::choose(weights, 15.0, 63.0);
        let mut codes = [0; 256];
        scales.codes(weights, 15.0, &mut codes);
        pack_scales(&scales, block);
        Plane::<4, 32>::put(&codes, 0, &mut block[CODES..]);
    }
}

/// Scales and minima from the first 16 bytes of a Q4_K or Q5_K block.
///
/// In the 12 bytes after `d` and `dmin`, bytes 0..4 hold scales 0..4 and bytes 4..8 minima 0..4, six bits each. Bytes
/// 8..12 hold the lower nibbles of scales 4..8 and, above them, of minima 4..8; the upper two bits of these are the
/// spare bits of bytes 0..4 and 4..8.
pub(super) fn unpack_scales(block: &[u8], scales: &mut [f32], minima: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    for i in 0..4 {
        let (first, second, rest) = (packed[i], packed[i + 4], packed[i + 8]);
        scales[i] = d * f32::from(first & 63);
        minima[i] = -(dmin * f32::from(second & 63));
        scales[i + 4] = d * f32::from((rest & 15) | ((first >> 6) << 4));
        minima[i + 4] = -(dmin * f32::from((rest >> 4) | ((second >> 6) << 4)));
    }
}

/// The reverse of [`unpack_scales`].
pub(super) fn pack_scales(scales: &AffineScales<GROUPS>, block: &mut [u8]) {
    put_half(block, 0, scales.scale);
    put_half(block, 2, scales.depth);
    let packed = &mut block[4..16];
    for i in 0..4 {
        let (factor, depth) = (scales.factors[i + 4], scales.depths[i + 4]);
        packed[i] = scales.factors[i] | ((factor >> 4) << 6);
        packed[i + 4] = scales.depths[i] | ((depth >> 4) << 6);
        packed[i + 8] = (factor & 15) | ((depth & 15) << 4);
    }
}
