//! Super-blocks of 256 weights whose groups have a scale only.

use super::blocks::Blocks;
use super::k_quants::quarter;
use super::lanes::{bits, field, moved, put_floats, signed_byte};
use super::plain::IQ4;
use super::{Packing, Sink};
use crate::lanes::{Floats, Lanes};
use crate::panel::{Form, Range};
use crate::panels::Narrow;

/// 6 bits in groups of 16. Per half of the block, 64 bytes hold the lower nibbles of 128 codes and 32 bytes, four times
/// two bits, their upper bits.
pub(super) struct Q6K;

impl Packing for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const FORM: Form = Form { group: 16, minima: false, range: Range::Small { bias: 32, steps: 2 } };
    const NARROW: &'static [Narrow] = &[Narrow { at: 208, len: 2 }];
    const UNIT: usize = 2;
    const IN_ORDER: bool = false;

    /// A unit is sixteen bytes of lower nibbles: low ones are those of a group, high ones of the fourth after it.
    #[inline(always)]
    fn group(unit: usize, i: usize) -> usize {
        8 * (unit / 4) + unit % 4 + 4 * i
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], _minima: &mut [Floats]) {
        let (d, factors) = (blocks.half(l, 208), blocks.sixteen(l, 192));
        for g in 0..16 {
            let factor = signed_byte(l, factors[g / 4], (g % 4) as u32);
            put_floats(l, l.mul(d, l.to_float(factor)), &mut scales[g]);
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>) {
        let (half, part) = (unit / 4, unit % 4 / 2);
        let (low, high) =
            (blocks.sixteen(l, 16 * unit), blocks.sixteen(l, 128 + 32 * half + 16 * (unit % 2)));
        for k in 0..4 {
            let high = l.shr(high[k], 2 * part as u32);
            sink.put(0, k, l.or(field(l, low[k], 0, 4), moved(l, high, 0, 2, 4)));
            sink.put(1, k, l.or(field(l, low[k], 4, 4), moved(l, high, 4, 2, 4)));
        }
    }
}

/// 3 bits in groups of 16: bit g of 32 bytes is the third of codes 32g on, then four times two bits in 32 bytes.
pub(super) struct Q3K;

impl Packing for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const FORM: Form = Form { group: 16, minima: false, range: Range::Small { bias: 4, steps: 4 } };
    const NARROW: &'static [Narrow] = &[Narrow { at: 108, len: 2 }];
    const UNIT: usize = 4;
    const IN_ORDER: bool = false;

    #[inline(always)]
    fn group(unit: usize, i: usize) -> usize {
        quarter(unit, i)
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], _minima: &mut [Floats]) {
        let d = blocks.half(l, 108);
        // Factors of 6 bits: nibbles of 8 bytes, low ones first, then four times two bits in 4 bytes.
        let (low, high) = ([blocks.word(l, 96), blocks.word(l, 100)], blocks.word(l, 104));
        for g in 0..16 {
            let byte = 8 * (g % 4) as u32;
            let nibble = bits(l, low[g / 4 % 2], byte + 4 * (g / 8) as u32, 4);
            let factor = l.or(nibble, l.shl(bits(l, high, byte + 2 * (g / 4) as u32, 2), 4));
            let factor = l.sub_int(factor, l.splat_int(32));
            put_floats(l, l.mul(d, l.to_float(factor)), &mut scales[g]);
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>) {
        let (bytes, thirds) = (blocks.sixteen(l, 32 + 16 * unit), blocks.sixteen(l, 16 * (unit % 2)));
        for k in 0..4 {
            let thirds = l.shr(thirds[k], 4 * (unit / 2) as u32);
            sink.put(0, k, l.or(field(l, bytes[k], 0, 2), moved(l, thirds, 0, 1, 2)));
            sink.put(1, k, l.or(field(l, bytes[k], 2, 2), moved(l, thirds, 1, 1, 2)));
            sink.put(2, k, l.or(field(l, bytes[k], 4, 2), moved(l, thirds, 2, 1, 2)));
            sink.put(3, k, l.or(field(l, bytes[k], 6, 2), moved(l, thirds, 3, 1, 2)));
        }
    }
}

/// Codes of the IQ4 codebook in groups of 32, with scales of 6 bits.
pub(super) struct Iq4Xs;

impl Packing for Iq4Xs {
    const LEN: usize = 256;
    const BYTES: usize = 136;
    const FORM: Form = Form { group: 32, minima: false, range: Range::Signed };
    const NARROW: &'static [Narrow] = &[];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], _minima: &mut [Floats]) {
        // A half d, two bits of each factor in 16, their nibbles in 32.
        let (head, low) = (blocks.word(l, 0), blocks.word(l, 4));
        let d = l.half_to_float(head);
        for g in 0..8 {
            let factor = l.or(bits(l, low, 4 * g as u32, 4), l.shl(bits(l, head, 16 + 2 * g as u32, 2), 4));
            let factor = l.sub_int(factor, l.splat_int(32));
            put_floats(l, l.mul(d, l.to_float(factor)), &mut scales[g]);
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>) {
        let bytes = blocks.sixteen(l, 8 + 16 * unit);
        for k in 0..4 {
            sink.put(0, k, l.look_up(&IQ4, field(l, bytes[k], 0, 4)));
        }
        for k in 0..4 {
            sink.put(0, 4 + k, l.look_up(&IQ4, field(l, bytes[k], 4, 4)));
        }
    }
}
