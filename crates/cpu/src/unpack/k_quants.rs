//! Super-blocks of 256 weights whose groups have a scale and a minimum.

use super::Fast;
use super::blocks::Blocks;
use super::lanes::{bits, field, negative, put, put_floats};
use crate::lanes::Lanes;
use crate::panel::{Form, PartMut, Range};
use crate::panels::Narrow;

/// Scales and minima of Q4_K and Q5_K: `d`, `dmin`, then 6 bits each in 12 bytes. Of the first four groups they are
/// the lower bits of bytes 0..4 and 4..8; of the others nibbles of bytes 8..12 with the upper bits of the former.
#[inline(always)]
fn scales_and_minima<L: Lanes>(l: L, blocks: &impl Blocks, panel: &mut PartMut<'_>) {
    let [head, first, second, rest] = blocks.sixteen(l, 0);
    let (d, dmin) = (l.half_to_float(head), l.half_to_float(l.shr(head, 16)));
    for i in 0..4 {
        let at = 8 * i as u32;
        let low = [bits(l, first, at, 6), bits(l, second, at, 6)];
        put_scale(l, d, dmin, low, i, panel);
        let scale = l.or(bits(l, rest, at, 4), l.shl(bits(l, first, at + 6, 2), 4));
        let minimum = l.or(bits(l, rest, at + 4, 4), l.shl(bits(l, second, at + 6, 2), 4));
        put_scale(l, d, dmin, [scale, minimum], i + 4, panel);
    }
}

#[inline(always)]
fn put_scale<L: Lanes>(l: L, d: L::F, dmin: L::F, factors: [L::I; 2], group: usize, panel: &mut PartMut<'_>) {
    put_floats(l, l.mul(d, l.to_float(factors[0])), &mut panel.scales[group]);
    put_floats(l, negative(l, l.mul(dmin, l.to_float(factors[1]))), &mut panel.minima[group]);
}

/// 4 bits; 32 bytes hold the codes of two groups, the low nibbles those of the first.
pub(super) struct Q4K;

impl Fast for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const FORM: Form = Form { group: 32, minima: true, range: Range::Small { bias: 0, steps: 8 } };
    const NARROW: &'static [Narrow] = &[];

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, mut panel: PartMut<'_>) {
        scales_and_minima(l, blocks, &mut panel);
        for (pair, steps) in panel.steps.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let bytes = blocks.thirty_two(l, 16 + 32 * pair);
            for k in 0..8 {
                put(l, field(l, bytes[k], 0, 4), &mut steps[k]);
                put(l, field(l, bytes[k], 4, 4), &mut steps[8 + k]);
            }
        }
    }
}

/// As Q4_K, with fifth bits: bit g of 32 bytes is that of group g.
pub(super) struct Q5K;

impl Fast for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const FORM: Form = Form { group: 32, minima: true, range: Range::Small { bias: 0, steps: 4 } };
    const NARROW: &'static [Narrow] = &[];

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, mut panel: PartMut<'_>) {
        scales_and_minima(l, blocks, &mut panel);
        let high = blocks.thirty_two(l, 16);
        for (pair, steps) in panel.steps.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let bytes = blocks.thirty_two(l, 48 + 32 * pair);
            let at = 2 * pair as u32;
            for k in 0..8 {
                let fifths = [field(l, high[k], at, 1), field(l, high[k], at + 1, 1)];
                put(l, l.or(field(l, bytes[k], 0, 4), l.shl(fifths[0], 4)), &mut steps[k]);
                put(l, l.or(field(l, bytes[k], 4, 4), l.shl(fifths[1], 4)), &mut steps[8 + k]);
            }
        }
    }
}

/// 2 bits: four times 32 codes in 32 bytes. Groups of 16, their scale and minimum the nibbles of a byte.
pub(super) struct Q2K;

impl Fast for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const FORM: Form = Form { group: 16, minima: true, range: Range::Small { bias: 0, steps: 4 } };
    const NARROW: &'static [Narrow] = &[];

    #[inline(always)]
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, mut panel: PartMut<'_>) {
        let head = blocks.word(l, 80);
        let (d, dmin) = (l.half_to_float(head), l.half_to_float(l.shr(head, 16)));
        let factors = blocks.sixteen(l, 0);
        for g in 0..16 {
            let at = 8 * (g % 4) as u32;
            let nibbles = [bits(l, factors[g / 4], at, 4), bits(l, factors[g / 4], at + 4, 4)];
            put_scale(l, d, dmin, nibbles, g, &mut panel);
        }
        for (half, steps) in panel.steps.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let bytes = blocks.thirty_two(l, 16 + 32 * half);
            for (i, step) in steps.iter_mut().enumerate() {
                put(l, field(l, bytes[i % 8], 2 * (i / 8) as u32, 2), step);
            }
        }
    }
}
