//! Super-blocks of 256 weights whose groups have a scale only.

use super::blocks::Block;
use super::lanes::{bits, each, field, moved, put_floats, signed_byte, six, times_placed};
use super::plain::{IQ4, nibbles};
use super::{Packing, Sink};
use crate::lanes::{Floats, Lanes};
use crate::panel::{Form, Range};

/// 6 bits in groups of 16. Per half of the block, 64 bytes hold the lower nibbles of 128 codes and 32 bytes, four times
/// two bits, their upper bits.
pub(super) struct Q6K;

impl Packing for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const FORM: Form = Form { group: 16, minima: false, range: Range::Small { bias: 32, steps: 2 } };
    // d and factors; then of each half codes and their upper bits in turn, and two more stretches of codes.
    #[rustfmt::skip]
    const ORDER: &'static [(usize, usize)] = &[
        (208, 2), (192, 16),
        (0, 16), (128, 16), (16, 16), (144, 16), (32, 32),
        (64, 16), (160, 16), (80, 16), (176, 16), (96, 32),
    ];
    const UNIT: usize = 8;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        let d = block.half(l, 0);
        for g in 0..16 {
            let factor = signed_byte(l, block.word(l, 2 + g / 4 * 4), (g % 4) as u32);
            put_floats(l, l.mul(d, l.to_float(factor)), &mut scales[g]);
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>) {
        each!(i in [0 1 2 3 4 5 6 7] {
            for k in 0..4 {
                let low = block.word(l, 18 + 96 * unit + [0, 32, 64, 80][i % 4] + 4 * k);
                let upper = block.word(l, 18 + 96 * unit + [16, 48][i % 2] + 4 * k);
                let low = field(l, low, 4 * (i / 4) as u32, 4);
                sink.put(i, k, l.or(low, moved(l, upper, 2 * (i / 2) as u32, 2, 4)), 0);
            }
        });
    }
}

/// 3 bits in groups of 16: bit j of 32 bytes is the third of codes 32j on, then four times two bits in 32 bytes.
pub(super) struct Q3K;

impl Packing for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const FORM: Form = Form { group: 16, minima: false, range: Range::Small { bias: 4, steps: 4 } };
    const ORDER: &'static [(usize, usize)] = &[(108, 2), (96, 12), (0, 96)];
    const UNIT: usize = 8;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        let d = block.half(l, 0);
        // Factors of 6 bits: nibbles of 8 bytes, low ones first, then four times two bits in 4 bytes.
        let upper = block.word(l, 10);
        for i in 0..4 {
            let lower = l.shr(block.word(l, 2 + 4 * (i % 2)), 4 * (i / 2) as u32);
            let upper = if i < 2 { l.shl(upper, 4 - 2 * i as u32) } else { l.shr(upper, 2 * i as u32 - 4) };
            for j in 0..4 {
                let from = 8 * j as u32;
                let factor = l.sub_int(six(l, lower, upper, from), l.splat_int(32 << from));
                put_floats(l, times_placed(l, d, factor, from), &mut scales[4 * i + j]);
            }
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>) {
        each!(i in [0 1 2 3 4 5 6 7] {
            let from = 2 * (i / 2) as u32;
            // There would be no bit above the last two.
            let shift = if from < 6 { from } else { 0 };
            for k in 0..4 {
                let low = block.word(l, 46 + 32 * unit + 16 * (i % 2) + 4 * k);
                let thirds = l.shr(block.word(l, 14 + 16 * (i % 2) + 4 * k), 4 * unit as u32);
                let third = moved(l, thirds, i as u32 / 2, 1, shift + 2);
                sink.put(i, k, l.or(moved(l, low, from, 2, shift), third), shift);
            }
        });
    }
}

/// Codes of the IQ4 codebook in groups of 32, with scales of 6 bits.
pub(super) struct Iq4Xs;

impl Packing for Iq4Xs {
    const LEN: usize = 256;
    const BYTES: usize = 136;
    const FORM: Form = Form { group: 32, minima: false, range: Range::Signed };

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        // A half d, two bits of each factor in 16, their nibbles in 32.
        let (head, low) = (block.word(l, 0), block.word(l, 4));
        let d = l.half_to_float(head);
        for g in 0..8 {
            let factor = l.or(bits(l, low, 4 * g as u32, 4), l.shl(bits(l, head, 16 + 2 * g as u32, 2), 4));
            let factor = l.sub_int(factor, l.splat_int(32));
            put_floats(l, l.mul(d, l.to_float(factor)), &mut scales[g]);
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>) {
        let codes = nibbles(l, block, 8 + 16 * unit);
        for k in 0..8 {
            sink.put(0, k, l.wide_look_up(&IQ4, codes[k]), 0);
        }
    }
}
