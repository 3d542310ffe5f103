//! Steps that unpackers share, on what they have read of sixteen channels.

use crate::lanes::{Floats, Lanes};

/// In every byte, the `n` bits from bit `from` on; `n` and `from` such that they are bits of the same byte.
#[inline(always)]
pub(super) fn field<L: Lanes>(l: L, x: L::I, from: u32, n: u32) -> L::I {
    let mask = l.splat_int((1 << n) - 1);
    let mask = l.or(mask, l.shl(mask, 8));
    l.and(l.shr(x, from), l.or(mask, l.shl(mask, 16)))
}

/// In every byte, the `n` bits from bit `from` on, moved to bit `to`.
#[inline(always)]
pub(super) fn moved<L: Lanes>(l: L, x: L::I, from: u32, n: u32, to: u32) -> L::I {
    let mask = l.splat_int(((0x0101_0101 * ((1u32 << n) - 1)) << to).cast_signed());
    l.and(if to < from { l.shr(x, from - to) } else { l.shl(x, to - from) }, mask)
}

/// Of each lane the `n` bits from bit `from` on.
#[inline(always)]
pub(super) fn bits<L: Lanes>(l: L, x: L::I, from: u32, n: u32) -> L::I {
    l.and(l.shr(x, from), l.splat_int((1 << n) - 1))
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
