//! A block of sixteen channels, rearranged as [`crate::panels`] says: how unpackers read it, and how it comes from a file.

use super::Packing;
use super::lanes::each;
use crate::lanes::Lanes;
use crate::panel::CHANNELS;

/// A rearranged block: lanes are channels, byte `at` of all of them, in the order of [`Packing::ORDER`], begins at
/// `CHANNELS * at`.
#[derive(Clone, Copy)]
pub(super) struct Block<'a>(pub(super) &'a [u8]);

impl Block<'_> {
    /// Bytes `at` to `at + 3`.
    #[inline(always)]
    pub(super) fn word<L: Lanes>(self, l: L, at: usize) -> L::I {
        l.load_bytes(self.bytes(at))
    }

    /// The half at byte `at`.
    #[inline(always)]
    pub(super) fn half<L: Lanes>(self, l: L, at: usize) -> L::F {
        let bytes: &[u8; 2 * CHANNELS] = self.bytes(at);
        let mut halves = [0; CHANNELS];
        for j in 0..CHANNELS {
            halves[j] = u16::from_le_bytes([bytes[2 * j], bytes[2 * j + 1]]);
        }
        l.load_half(&halves)
    }

    /// Byte `at`, as an integer.
    #[inline(always)]
    pub(super) fn byte<L: Lanes>(self, l: L, at: usize) -> L::I {
        l.spread(self.bytes(at))
    }

    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> &[u8; N] {
        self.0[CHANNELS * at..][..N].first_chunk().expect("as many bytes")
    }
}

/// Bytes `at` to `at + n - 1` of each channel.
///
/// # Safety
/// Each has as many: nothing is checked, which would take as long as moving them.
#[inline(always)]
pub(super) unsafe fn part<'a>(channels: &[&'a [u8]; CHANNELS], at: usize, n: usize) -> [&'a [u8]; CHANNELS] {
    let mut parts: [&[u8]; CHANNELS] = [&[]; CHANNELS];
    for j in 0..CHANNELS {
        // SAFETY: by the caller.
        parts[j] = unsafe { channels[j].get_unchecked(at..at + n) };
    }
    parts
}

/// Rearranges a block of sixteen channels.
#[inline(always)]
pub(super) fn rearrange<L: Lanes, P: Packing>(l: L, block: [&[u8]; CHANNELS], mut out: &mut [u8]) {
    const { assert!(P::ORDER.len() <= 12, "as many stretches as are moved") };
    // Written out, so that compilers know every place.
    each!(i in [0 1 2 3 4 5 6 7 8 9 10 11] {
        if let Some(&(first, n)) = P::ORDER.get(i) {
            out = stretch(l, &block, first, n, out);
        }
    });
    assert!(out.is_empty(), "stretches make up a block");
}

/// Moves `n` bytes of each channel from `first` on, and yields what is left of `out`.
#[inline(always)]
fn stretch<'a, L: Lanes>(
    l: L,
    block: &[&[u8]; CHANNELS],
    first: usize,
    n: usize,
    mut out: &'a mut [u8],
) -> &'a mut [u8] {
    let mut at = first;
    while at < first + n {
        let len = piece(first + n - at);
        let (piece, rest) = out.split_at_mut(CHANNELS * len);
        match len {
            16 => {
                let words = sixteen(l, block, at);
                for k in 0..4 {
                    l.store_bytes(words[k], piece[64 * k..].first_chunk_mut().expect("four words of each"));
                }
            }
            4 => put::<4>(block, at, piece),
            2 => put::<2>(block, at, piece),
            _ => put::<1>(block, at, piece),
        }
        at += len;
        out = rest;
    }
    out
}

/// Bytes that move together where `left` are to come: four words, a word, or what is narrower.
const fn piece(left: usize) -> usize {
    match left {
        16.. => 16,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Bytes `at` to `at + 15` of each channel: vector k holds bytes `4k` to `4k + 3` of them.
#[inline(always)]
pub(super) fn sixteen<L: Lanes>(l: L, channels: &[&[u8]; CHANNELS], at: usize) -> [L::I; 4] {
    let mut rows = [&[0; 16]; CHANNELS];
    for j in 0..CHANNELS {
        rows[j] = channels[j][at..at + 16].first_chunk().expect("sixteen bytes");
    }
    l.transpose(rows)
}

#[inline(always)]
fn put<const N: usize>(channels: &[&[u8]; CHANNELS], at: usize, out: &mut [u8]) {
    for j in 0..CHANNELS {
        out[N * j..][..N].copy_from_slice(&channels[j][at..at + N]);
    }
}
