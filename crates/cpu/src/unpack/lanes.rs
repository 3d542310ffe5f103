//! Steps that unpackers share, on what they have read of sixteen channels.

use crate::lanes::{Floats, Lanes};

/// The body once for each value of `i`: compilers leave a loop of so much alone, and then shift by variables.
macro_rules! each {
    ($i:ident in [$($value:literal)*] $body:block) => {
        $({
            let $i: usize = $value;
            $body
        })*
    };
}
pub(super) use each;

/// In every byte, the `n` bits from bit `from` on; `n` and `from` such that they are bits of the same byte.
#[inline(always)]
pub(super) fn field<L: Lanes>(l: L, x: L::I, from: u32, n: u32) -> L::I {
    moved(l, x, from, n, 0)
}

/// In every byte, the `n` bits from bit `from` on, where they stand.
#[inline(always)]
pub(super) fn kept<L: Lanes>(l: L, x: L::I, from: u32, n: u32) -> L::I {
    moved(l, x, from, n, from)
}

/// In every byte, the `n` bits from bit `from` on, moved to bit `to`.
#[inline(always)]
pub(super) fn moved<L: Lanes>(l: L, x: L::I, from: u32, n: u32, to: u32) -> L::I {
    let mask = l.splat_int(((0x0101_0101 * ((1u32 << n) - 1)) << to).cast_signed());
    l.and(if to < from { l.shr(x, from - to) } else { l.shl(x, to - from) }, mask)
}

/// `d` times the number in the `n` bits from bit `from` on of each lane, the last of them below the sign. They stay where
/// they stand: that they are larger by a power of two is made up for in `d`, exactly, since that is a half.
#[inline(always)]
pub(super) fn times<L: Lanes>(l: L, d: L::F, x: L::I, from: u32, n: u32) -> L::F {
    times_placed(l, d, l.and(x, l.splat_int(((1 << n) - 1) << from)), from)
}

/// `d` times what is `2^from` times too large, as in [`times`].
#[inline(always)]
pub(super) fn times_placed<L: Lanes>(l: L, d: L::F, x: L::I, from: u32) -> L::F {
    l.mul(l.mul(d, l.splat(1.0 / (1u32 << from) as f32)), l.to_float(x))
}

/// Of each lane the `n` bits from bit `from` on.
#[inline(always)]
pub(super) fn bits<L: Lanes>(l: L, x: L::I, from: u32, n: u32) -> L::I {
    l.and(l.shr(x, from), l.splat_int((1 << n) - 1))
}

/// Six bits where they stand, from bit `from` of each lane on: four of `lower`, then two of `upper`.
#[inline(always)]
pub(super) fn six<L: Lanes>(l: L, lower: L::I, upper: L::I, from: u32) -> L::I {
    l.or(l.and(lower, l.splat_int(15 << from)), l.and(upper, l.splat_int(48 << from)))
}

/// Of each lane the signed byte `index`.
#[inline(always)]
pub(super) fn signed_byte<L: Lanes>(l: L, x: L::I, index: u32) -> L::I {
    l.sar(l.shl(x, 24 - 8 * index), 24)
}

/// In each lane bits `from` to `from + 3`, one as bit 4 of each byte.
#[inline(always)]
pub(super) fn fifth_bits<L: Lanes>(l: L, x: L::I, from: u32) -> L::I {
    let x = bits(l, x, from, 4);
    let spread = l.or(l.or(x, l.shl(x, 7)), l.or(l.shl(x, 14), l.shl(x, 21)));
    l.shl(l.and(spread, l.splat_int(0x0101_0101)), 4)
}

#[inline(always)]
pub(super) fn put_floats<L: Lanes>(l: L, x: L::F, floats: &mut Floats) {
    l.store(x, &mut floats.0);
}

/// The negative of each lane.
#[inline(always)]
pub(super) fn negative<L: Lanes>(l: L, x: L::F) -> L::F {
    l.float(l.xor(l.bits(x), l.splat_int(i32::MIN)))
}
