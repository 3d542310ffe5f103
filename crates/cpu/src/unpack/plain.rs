//! Types of 32 weights with one scale.

use super::blocks::Block;
use super::lanes::{field, fifth_bits, put_floats};
use super::{Packing, Sink};
use crate::lanes::{Floats, Lanes};
use crate::panel::{Form, Range};

const SIGNED: Form = Form { group: 32, minima: false, range: Range::Signed };

const fn small(bias: i32, steps: usize, minima: bool) -> Form {
    Form { group: 32, minima, range: Range::Small { bias, steps } }
}

/// Sixteen bytes of nibbles: the low ones are the first half of a block, the high ones the second.
#[inline(always)]
pub(super) fn nibbles<L: Lanes>(l: L, block: Block<'_>, at: usize) -> [L::I; 8] {
    let mut codes = [l.splat_int(0); 8];
    for k in 0..4 {
        let bytes = block.word(l, at + 4 * k);
        codes[k] = field(l, bytes, 0, 4);
        codes[4 + k] = field(l, bytes, 4, 4);
    }
    codes
}

/// `d * byte`.
pub(super) struct Q8_0;

impl Packing for Q8_0 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const FORM: Form = SIGNED;
    const ORDER: &'static [(usize, usize)] = &[(0, 2), (2, 32)];
    const SMOOTH: bool = true;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        put_floats(l, block.half(l, 0), &mut scales[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        for k in 0..8 {
            sink.put(0, k, l.wide(block.word(l, 2 + 4 * k)), 0);
        }
    }
}

/// `d * (code - 8)`.
pub(super) struct Q4_0;

impl Packing for Q4_0 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const FORM: Form = small(8, 8, false);
    const ORDER: &'static [(usize, usize)] = &[(0, 2), (2, 16)];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        put_floats(l, block.half(l, 0), &mut scales[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        let codes = nibbles(l, block, 2);
        for k in 0..8 {
            sink.put(0, k, codes[k], 0);
        }
    }
}

/// `d * code + m`.
pub(super) struct Q4_1;

impl Packing for Q4_1 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    const FORM: Form = small(0, 8, true);
    const ORDER: &'static [(usize, usize)] = &[(0, 2), (2, 2), (4, 16)];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]) {
        put_floats(l, block.half(l, 0), &mut scales[0]);
        put_floats(l, block.half(l, 2), &mut minima[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        let codes = nibbles(l, block, 4);
        for k in 0..8 {
            sink.put(0, k, codes[k], 0);
        }
    }
}

/// `d * (code - 16)`.
pub(super) struct Q5_0;

impl Packing for Q5_0 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    const FORM: Form = small(16, 4, false);
    const ORDER: &'static [(usize, usize)] = &[(0, 2), (2, 20)];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        put_floats(l, block.half(l, 0), &mut scales[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        five_bits(l, block.word(l, 2), nibbles(l, block, 6), sink);
    }
}

/// `d * code + m`.
pub(super) struct Q5_1;

impl Packing for Q5_1 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const FORM: Form = small(0, 4, true);
    const ORDER: &'static [(usize, usize)] = &[(0, 2), (2, 2), (4, 20)];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]) {
        put_floats(l, block.half(l, 0), &mut scales[0]);
        put_floats(l, block.half(l, 2), &mut minima[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        five_bits(l, block.word(l, 4), nibbles(l, block, 8), sink);
    }
}

/// Codes of five bits, whose fifth are the bits of `high` in order.
#[inline(always)]
fn five_bits<L: Lanes>(l: L, high: L::I, low: [L::I; 8], sink: &mut impl Sink<L>) {
    for k in 0..8 {
        sink.put(0, k, l.or(low[k], fifth_bits(l, high, 4 * k as u32)), 0);
    }
}

/// GGUF's values for IQ4 types.
pub(super) const IQ4: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// `d * IQ4[code]`.
pub(super) struct Iq4Nl;

impl Packing for Iq4Nl {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const FORM: Form = SIGNED;
    const ORDER: &'static [(usize, usize)] = &[(0, 2), (2, 16)];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        put_floats(l, block.half(l, 0), &mut scales[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        let codes = nibbles(l, block, 2);
        for k in 0..8 {
            sink.put(0, k, l.wide_look_up(&IQ4, codes[k]), 0);
        }
    }
}

/// Twice the E2M1 numbers, plus [`E2M1_BIAS`].
const E2M1: [i8; 16] = [12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0];
const E2M1_BIAS: i32 = 12;

/// `2^(e - 128) * (E2M1[code] - 12)`.
pub(super) struct Mxfp4;

impl Packing for Mxfp4 {
    const LEN: usize = 32;
    const BYTES: usize = 17;
    const FORM: Form = small(E2M1_BIAS, 4, false);
    const ORDER: &'static [(usize, usize)] = &[(0, 1), (1, 16)];

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], _minima: &mut [Floats]) {
        // The exponent is moved into place as e - 1; the two that this is too small for are subnormal, one bit each.
        let e = block.byte(l, 0);
        let normal = l.shl(l.sub_int(e, l.splat_int(1)), 23);
        let subnormal = l.shl(l.add_int(e, l.splat_int(1)), 21);
        let is_subnormal = l.less(l.to_float(e), l.splat(2.0));
        put_floats(l, l.select(is_subnormal, l.float(subnormal), l.float(normal)), &mut scales[0]);
    }

    #[inline(always)]
    fn unit<L: Lanes>(l: L, block: Block<'_>, _unit: usize, sink: &mut impl Sink<L>) {
        let codes = nibbles(l, block, 1);
        for k in 0..8 {
            sink.put(0, k, l.look_up(&E2M1, codes[k]), 0);
        }
    }
}
