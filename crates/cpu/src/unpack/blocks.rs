//! The same block of sixteen channels, as unpackers read it: in file order, or rearranged.

use crate::body::next::AHEAD;
use crate::lanes::{Bytes, Lanes};
use crate::panel::CHANNELS;

/// Where a block of each of sixteen channels lies. Lanes are channels; `at` counts the bytes of a block.
pub(super) trait Blocks {
    /// Bytes `at` to `at + 15`: vector k holds bytes `4k` to `4k + 3` of them.
    fn sixteen<L: Lanes>(&self, l: L, at: usize) -> [L::I; 4];

    /// Bytes `at` to `at + 3`.
    fn word<L: Lanes>(&self, l: L, at: usize) -> L::I;

    /// The half at byte `at`.
    fn half<L: Lanes>(&self, l: L, at: usize) -> L::F;

    /// Byte `at`, as an integer.
    fn byte<L: Lanes>(&self, l: L, at: usize) -> L::I;

    /// Asks for one of `n` parts of as many bytes as these, which will be needed soon: in the order in which they lie,
    /// whatever the order in which these are read, since processors that see a line asked for fetch those after it.
    fn ask<L: Lanes>(&self, l: L, part: usize, n: usize);
}

/// Where the cache lines of one of `n` parts of some bytes lie.
#[inline(always)]
fn lines(bytes: usize, part: usize, n: usize) -> impl Iterator<Item = usize> {
    let n_lines = bytes.div_ceil(64);
    (n_lines * part / n..n_lines * (part + 1) / n).map(|line| 64 * line)
}

/// As in a file: each channel's block is somewhere else.
pub(super) struct FileBlocks<'a> {
    pub(super) channels: [&'a [u8]; CHANNELS],
    /// Where as many bytes as all of these lie that will be needed soon.
    pub(super) soon: *const u8,
}

impl Blocks for FileBlocks<'_> {
    #[inline(always)]
    fn sixteen<L: Lanes>(&self, l: L, at: usize) -> [L::I; 4] {
        let mut rows = [&[0; 16]; CHANNELS];
        for j in 0..CHANNELS {
            rows[j] = self.channels[j][at..at + 16].first_chunk().expect("sixteen bytes");
        }
        l.transpose(rows)
    }

    #[inline(always)]
    fn word<L: Lanes>(&self, l: L, at: usize) -> L::I {
        let mut words = Bytes::ZERO;
        for j in 0..CHANNELS {
            words.0[4 * j..4 * j + 4].copy_from_slice(&self.channels[j][at..at + 4]);
        }
        l.load_bytes(&words.0)
    }

    #[inline(always)]
    fn half<L: Lanes>(&self, l: L, at: usize) -> L::F {
        let mut halves = [0; CHANNELS];
        for j in 0..CHANNELS {
            halves[j] = u16::from_le_bytes([self.channels[j][at], self.channels[j][at + 1]]);
        }
        l.load_half(&halves)
    }

    #[inline(always)]
    fn byte<L: Lanes>(&self, l: L, at: usize) -> L::I {
        let mut bytes = [0; CHANNELS];
        for j in 0..CHANNELS {
            bytes[j] = self.channels[j][at];
        }
        l.spread(&bytes)
    }

    #[inline(always)]
    fn ask<L: Lanes>(&self, l: L, part: usize, n: usize) {
        for line in lines(CHANNELS * self.channels[0].len(), part, n) {
            l.prefetch_far(self.soon.wrapping_add(line));
        }
    }
}

/// As [`crate::panels`] lays them out: byte `at` of all channels begins at `CHANNELS * at`.
pub(super) struct PanelBlocks<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether these ask for what follows; or [`crate::body::next`] has, long before.
    pub(super) asks: bool,
}

impl PanelBlocks<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> &[u8; N] {
        self.bytes[CHANNELS * at..][..N].first_chunk().expect("as many bytes")
    }
}

impl Blocks for PanelBlocks<'_> {
    #[inline(always)]
    fn sixteen<L: Lanes>(&self, l: L, at: usize) -> [L::I; 4] {
        let mut words = [l.splat_int(0); 4];
        for k in 0..4 {
            words[k] = self.word(l, at + 4 * k);
        }
        words
    }

    #[inline(always)]
    fn word<L: Lanes>(&self, l: L, at: usize) -> L::I {
        l.load_bytes(self.bytes(at))
    }

    #[inline(always)]
    fn half<L: Lanes>(&self, l: L, at: usize) -> L::F {
        let bytes: &[u8; 2 * CHANNELS] = self.bytes(at);
        let mut halves = [0; CHANNELS];
        for j in 0..CHANNELS {
            halves[j] = u16::from_le_bytes([bytes[2 * j], bytes[2 * j + 1]]);
        }
        l.load_half(&halves)
    }

    #[inline(always)]
    fn byte<L: Lanes>(&self, l: L, at: usize) -> L::I {
        l.spread(self.bytes(at))
    }

    #[inline(always)]
    fn ask<L: Lanes>(&self, l: L, part: usize, n: usize) {
        for line in lines(if self.asks { self.bytes.len() } else { 0 }, part, n) {
            l.prefetch(self.bytes.as_ptr().wrapping_add(AHEAD + line));
        }
    }
}
