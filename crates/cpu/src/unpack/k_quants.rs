//! Super-blocks of 256 weights whose groups have a scale and a minimum.

use super::blocks::Block;
use super::lanes::{each, field, kept, moved, negative, put_floats, six, times, times_placed};
use super::{Packing, Sink};
use crate::lanes::{Floats, Lanes};
use crate::panel::{Form, Range};

/// `d`, and `dmin` with the sign that makes minima additive, from a word of two halves.
#[inline(always)]
fn head<L: Lanes>(l: L, halves: L::I) -> (L::F, L::F) {
    (l.half_to_float(halves), negative(l, l.half_to_float(l.shr(halves, 16))))
}

/// Scales and minima of Q4_K and Q5_K: `d`, `dmin`, then 6 bits each in 12 bytes. Of the first four groups they are
/// the lower bits of bytes 0..4 and 4..8; of the others nibbles of bytes 8..12 with the upper bits of the former.
#[inline(always)]
fn six_bits<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]) {
    let (d, dmin) = head(l, block.word(l, 0));
    let (first, second, rest) = (block.word(l, 4), block.word(l, 8), block.word(l, 12));
    for i in 0..4 {
        let from = 8 * i as u32;
        put_floats(l, times(l, d, first, from, 6), &mut scales[i]);
        put_floats(l, times(l, dmin, second, from, 6), &mut minima[i]);
        let scale = six(l, rest, l.shr(first, 2), from);
        let minimum = six(l, l.shr(rest, 4), l.shr(second, 2), from);
        put_floats(l, times_placed(l, d, scale, from), &mut scales[i + 4]);
        put_floats(l, times_placed(l, dmin, minimum, from), &mut minima[i + 4]);
    }
}

/// 4 bits; 32 bytes hold the codes of two groups, the low nibbles those of the first.
pub(super) struct Q4K;

impl Packing for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const FORM: Form = Form { group: 32, minima: true, range: Range::Small { bias: 0, steps: 8 } };
    const UNIT: usize = 2;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]) {
        six_bits(l, block, scales, minima);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>) {
        each!(i in [0 1] {
            let from = 4 * i as u32;
            for k in 0..8 {
                let bytes = block.word(l, 16 + 32 * unit + 4 * k);
                sink.put(i, k, kept(l, bytes, from, 4), from);
            }
        });
    }
}

/// As Q4_K, with fifth bits: bit g of 32 bytes is that of group g.
pub(super) struct Q5K;

impl Packing for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const FORM: Form = Form { group: 32, minima: true, range: Range::Small { bias: 0, steps: 4 } };
    const UNIT: usize = 2;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]) {
        six_bits(l, block, scales, minima);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>) {
        each!(i in [0 1] {
            for k in 0..8 {
                let low = field(l, block.word(l, 48 + 32 * unit + 4 * k), 4 * i as u32, 4);
                let fifths = l.shr(block.word(l, 16 + 4 * k), 2 * unit as u32);
                sink.put(i, k, l.or(low, moved(l, fifths, i as u32, 1, 4)), 0);
            }
        });
    }
}

/// 2 bits: four times 32 codes in 32 bytes. Groups of 16, their scale and minimum the nibbles of a byte.
pub(super) struct Q2K;

impl Packing for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const FORM: Form = Form { group: 16, minima: true, range: Range::Small { bias: 0, steps: 4 } };
    const UNIT: usize = 8;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]) {
        let (d, dmin) = head(l, block.word(l, 80));
        for i in 0..4 {
            let low = block.word(l, 4 * i);
            let high = l.shr(low, 4);
            for j in 0..4 {
                put_floats(l, times(l, d, low, 8 * j as u32, 4), &mut scales[4 * i + j]);
                put_floats(l, times(l, dmin, high, 8 * j as u32, 4), &mut minima[4 * i + j]);
            }
        }
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>) {
        each!(i in [0 1 2 3 4 5 6 7] {
            let (at, from) = (16 + 32 * unit + 16 * (i % 2), 2 * (i / 2) as u32);
            for k in 0..4 {
                sink.put(i, k, kept(l, block.word(l, at + 4 * k), from, 2), from);
            }
        });
    }
}
