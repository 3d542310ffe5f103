//! Super-blocks of 256 weights whose groups have a scale only.

use super::Fast;
use super::blocks::Blocks;
use super::lanes::{bits, field, put, put_floats, signed_byte};
use super::plain::IQ4;
use crate::lanes::Lanes;
use crate::panel::{Form, PartMut, Range};
use crate::panels::Narrow;

/// 6 bits in groups of 16. Per half of the block, 64 bytes hold the lower nibbles of 128 codes and 32 bytes, four times
/// two bits, their upper bits.
pub(super) struct Q6K;

impl Fast for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const FORM: Form = Form { group: 16, minima: false, range: Range::Small { bias: 32, steps: 2 } };
    const NARROW: &'static [Narrow] = &[Narrow { at: 208, len: 2 }];

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, panel: PartMut<'_>) {
        let (d, factors) = (blocks.half(l, 208), blocks.sixteen(l, 192));
        for g in 0..16 {
            let factor = signed_byte(l, factors[g / 4], (g % 4) as u32);
            put_floats(l, l.mul(d, l.to_float(factor)), &mut panel.scales[g]);
        }
        for (half, steps) in panel.steps.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let high = blocks.thirty_two(l, 128 + 32 * half);
            for part in 0..2 {
                let low = blocks.thirty_two(l, 64 * half + 32 * part);
                let at = 2 * part as u32;
                for k in 0..8 {
                    let first = l.or(field(l, low[k], 0, 4), l.shl(field(l, high[k], at, 2), 4));
                    let second = l.or(field(l, low[k], 4, 4), l.shl(field(l, high[k], at + 4, 2), 4));
                    put(l, first, &mut steps[8 * part + k]);
                    put(l, second, &mut steps[16 + 8 * part + k]);
                }
            }
        }
    }
}

/// 3 bits in groups of 16: bit g of 32 bytes is the third of codes 32g on, then four times two bits in 32 bytes.
pub(super) struct Q3K;

impl Fast for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const FORM: Form = Form { group: 16, minima: false, range: Range::Small { bias: 4, steps: 4 } };
    const NARROW: &'static [Narrow] = &[Narrow { at: 108, len: 2 }];

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, panel: PartMut<'_>) {
        let d = blocks.half(l, 108);
        // Factors of 6 bits: nibbles of 8 bytes, low ones first, then four times two bits in 4 bytes.
        let (low, high) = ([blocks.word(l, 96), blocks.word(l, 100)], blocks.word(l, 104));
        for g in 0..16 {
            let byte = 8 * (g % 4) as u32;
            let nibble = bits(l, low[g / 4 % 2], byte + 4 * (g / 8) as u32, 4);
            let factor = l.or(nibble, l.shl(bits(l, high, byte + 2 * (g / 4) as u32, 2), 4));
            let factor = l.sub_int(factor, l.splat_int(32));
            put_floats(l, l.mul(d, l.to_float(factor)), &mut panel.scales[g]);
        }
        let thirds = blocks.thirty_two(l, 0);
        for (half, steps) in panel.steps.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let bytes = blocks.thirty_two(l, 32 + 32 * half);
            for (i, step) in steps.iter_mut().enumerate() {
                let part = i / 8;
                let third = l.shl(field(l, thirds[i % 8], (4 * half + part) as u32, 1), 2);
                put(l, l.or(field(l, bytes[i % 8], 2 * part as u32, 2), third), step);
            }
        }
    }
}

/// Codes of the IQ4 codebook in groups of 32, with scales of 6 bits.
pub(super) struct Iq4Xs;

impl Fast for Iq4Xs {
    const LEN: usize = 256;
    const BYTES: usize = 136;
    const FORM: Form = Form { group: 32, minima: false, range: Range::Signed };
    const NARROW: &'static [Narrow] = &[];

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, panel: PartMut<'_>) {
        // A half d, two bits of each factor in 16, their nibbles in 32.
        let (head, low) = (blocks.word(l, 0), blocks.word(l, 4));
        let d = l.half_to_float(head);
        for (g, steps) in panel.steps.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let factor = l.or(bits(l, low, 4 * g as u32, 4), l.shl(bits(l, head, 16 + 2 * g as u32, 2), 4));
            let factor = l.sub_int(factor, l.splat_int(32));
            put_floats(l, l.mul(d, l.to_float(factor)), &mut panel.scales[g]);
            let bytes = blocks.sixteen(l, 8 + 16 * g);
            for k in 0..4 {
                put(l, l.look_up(&IQ4, field(l, bytes[k], 0, 4)), &mut steps[k]);
                put(l, l.look_up(&IQ4, field(l, bytes[k], 4, 4)), &mut steps[4 + k]);
            }
        }
    }
}
