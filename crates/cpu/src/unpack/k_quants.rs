//! Super-blocks of 256 weights whose groups have a scale and a minimum.

use super::blocks::Blocks;
use super::lanes::{bits, field, moved, negative, put_floats};
use super::{Packing, Sink};
use crate::lanes::{Floats, Lanes};
use crate::panel::{Form, Range};
use crate::panels::Narrow;

/// Scales and minima of Q4_K and Q5_K: `d`, `dmin`, then 6 bits each in 12 bytes. Of the first four groups they are
/// the lower bits of bytes 0..4 and 4..8; of the others nibbles of bytes 8..12 with the upper bits of the former.
#[inline(always)]
fn six_bits<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], minima: &mut [Floats]) {
    let [head, first, second, rest] = blocks.sixteen(l, 0);
    let (d, dmin) = (l.half_to_float(head), l.half_to_float(l.shr(head, 16)));
    for i in 0..4 {
        let at = 8 * i as u32;
        let low = [bits(l, first, at, 6), bits(l, second, at, 6)];
        put_scale(l, d, dmin, low, &mut scales[i], &mut minima[i]);
        let scale = l.or(bits(l, rest, at, 4), l.shl(bits(l, first, at + 6, 2), 4));
        let minimum = l.or(bits(l, rest, at + 4, 4), l.shl(bits(l, second, at + 6, 2), 4));
        put_scale(l, d, dmin, [scale, minimum], &mut scales[i + 4], &mut minima[i + 4]);
    }
}

#[inline(always)]
fn put_scale<L: Lanes>(
    l: L,
    d: L::F,
    dmin: L::F,
    factors: [L::I; 2],
    scale: &mut Floats,
    minimum: &mut Floats,
) {
    put_floats(l, l.mul(d, l.to_float(factors[0])), scale);
    put_floats(l, negative(l, l.mul(dmin, l.to_float(factors[1]))), minimum);
}

/// 4 bits; 32 bytes hold the codes of two groups, the low nibbles those of the first.
pub(super) struct Q4K;

impl Packing for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const FORM: Form = Form { group: 32, minima: true, range: Range::Small { bias: 0, steps: 8 } };
    const NARROW: &'static [Narrow] = &[];
    const UNIT: usize = 2;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], minima: &mut [Floats]) {
        six_bits(l, blocks, scales, minima);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>) {
        // Not all at once: there are registers for few rows' sums and half of the bytes.
        for half in 0..2 {
            let bytes = blocks.sixteen(l, 16 + 32 * unit + 16 * half);
            for k in 0..4 {
                sink.put(0, 4 * half + k, field(l, bytes[k], 0, 4));
                sink.put(1, 4 * half + k, field(l, bytes[k], 4, 4));
            }
        }
    }
}

/// As Q4_K, with fifth bits: bit g of 32 bytes is that of group g.
pub(super) struct Q5K;

impl Packing for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const FORM: Form = Form { group: 32, minima: true, range: Range::Small { bias: 0, steps: 4 } };
    const NARROW: &'static [Narrow] = &[];
    const UNIT: usize = 2;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], minima: &mut [Floats]) {
        six_bits(l, blocks, scales, minima);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>) {
        for half in 0..2 {
            let (high, low) =
                (blocks.sixteen(l, 16 + 16 * half), blocks.sixteen(l, 48 + 32 * unit + 16 * half));
            for k in 0..4 {
                let fifths = l.shr(high[k], 2 * unit as u32);
                sink.put(0, 4 * half + k, l.or(field(l, low[k], 0, 4), moved(l, fifths, 0, 1, 4)));
                sink.put(1, 4 * half + k, l.or(field(l, low[k], 4, 4), moved(l, fifths, 1, 1, 4)));
            }
        }
    }
}

/// 2 bits: four times 32 codes in 32 bytes. Groups of 16, their scale and minimum the nibbles of a byte.
pub(super) struct Q2K;

impl Packing for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const FORM: Form = Form { group: 16, minima: true, range: Range::Small { bias: 0, steps: 4 } };
    const NARROW: &'static [Narrow] = &[];
    const UNIT: usize = 4;
    const IN_ORDER: bool = false;

    #[inline(always)]
    fn group(unit: usize, i: usize) -> usize {
        quarter(unit, i)
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], minima: &mut [Floats]) {
        let head = blocks.word(l, 80);
        let (d, dmin) = (l.half_to_float(head), l.half_to_float(l.shr(head, 16)));
        let factors = blocks.sixteen(l, 0);
        for g in 0..16 {
            let at = 8 * (g % 4) as u32;
            let nibbles = [bits(l, factors[g / 4], at, 4), bits(l, factors[g / 4], at + 4, 4)];
            put_scale(l, d, dmin, nibbles, &mut scales[g], &mut minima[g]);
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>) {
        let bytes = blocks.sixteen(l, 16 + 16 * unit);
        for k in 0..4 {
            sink.put(0, k, field(l, bytes[k], 0, 2));
            sink.put(1, k, field(l, bytes[k], 2, 2));
            sink.put(2, k, field(l, bytes[k], 4, 2));
            sink.put(3, k, field(l, bytes[k], 6, 2));
        }
    }
}

/// Groups of sixteen bytes of four times two bits: 32 bytes hold eight groups, two side by side.
pub(super) const fn quarter(unit: usize, i: usize) -> usize {
    8 * (unit / 2) + 2 * i + unit % 2
}
