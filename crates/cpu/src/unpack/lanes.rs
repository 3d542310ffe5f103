//! Steps that unpackers share. A block is the bytes of the same block in each of sixteen channels.

use crate::lanes::{Bytes, Floats, Lanes};
use crate::panel::CHANNELS;

/// The same block of sixteen channels.
pub(super) struct Blocks<'a> {
    pub(super) channels: [&'a [u8]; CHANNELS],
    /// Where as many bytes as all of these lie that will be needed soon.
    pub(super) soon: *const u8,
}

/// Bytes `at` to `at + 15`: vector k holds bytes `4k` to `4k + 3` of them, lanes are channels. As many bytes are asked
/// for from where they will be needed: a few at a time, since a core can wait for some 20 cache lines only.
#[inline(always)]
pub(super) fn sixteen<L: Lanes>(l: L, blocks: &Blocks<'_>, at: usize) -> [L::I; 4] {
    let mut rows = [&[0; 16]; CHANNELS];
    for j in 0..CHANNELS {
        rows[j] = blocks.channels[j][at..at + 16].first_chunk().expect("sixteen bytes");
    }
    for line in 0..CHANNELS * 16 / 64 {
        l.prefetch(blocks.soon.wrapping_add(CHANNELS * at + 64 * line));
    }
    l.transpose(rows)
}

/// Bytes `at` to `at + 31`.
#[inline(always)]
pub(super) fn thirty_two<L: Lanes>(l: L, blocks: &Blocks<'_>, at: usize) -> [L::I; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (sixteen(l, blocks, at), sixteen(l, blocks, at + 16));
    [a, b, c, d, e, f, g, h]
}

/// Bytes `at` to `at + 3`.
#[inline(always)]
pub(super) fn words<L: Lanes>(l: L, blocks: &Blocks<'_>, at: usize) -> L::I {
    let mut words = Bytes::ZERO;
    for j in 0..CHANNELS {
        words.0[4 * j..4 * j + 4].copy_from_slice(&blocks.channels[j][at..at + 4]);
    }
    l.load_bytes(&words.0)
}

/// The half at byte `at`.
#[inline(always)]
pub(super) fn halves<L: Lanes>(l: L, blocks: &Blocks<'_>, at: usize) -> L::F {
    let mut halves = [0; CHANNELS];
    for j in 0..CHANNELS {
        halves[j] = u16::from_le_bytes([blocks.channels[j][at], blocks.channels[j][at + 1]]);
    }
    l.load_half(&halves)
}

/// In every byte, the `n` bits from bit `from` on; `n` and `from` such that they are bits of the same byte.
#[inline(always)]
pub(super) fn field<L: Lanes>(l: L, x: L::I, from: u32, n: u32) -> L::I {
    let mask = l.splat_int((1 << n) - 1);
    let mask = l.or(mask, l.shl(mask, 8));
    l.and(l.shr(x, from), l.or(mask, l.shl(mask, 16)))
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
pub(super) fn put<L: Lanes>(l: L, x: L::I, step: &mut Bytes) {
    l.store_bytes(x, &mut step.0);
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
