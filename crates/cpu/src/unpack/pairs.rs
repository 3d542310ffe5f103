//! Pairs of bfloat16 inputs of sixteen channels, from a file's order.

use super::blocks::{Blocks, FileBlocks};
use crate::isa::Isa;
use crate::lanes::{Job, Lanes};
use crate::panel::CHANNELS;
use crate::panels::drop_denormals;

/// Bytes of a channel that are transposed at a time.
const STEP: usize = 16;

/// Writes sixteen channels, of as many bytes each, as pairs: `[n_pairs]`. As many bytes are asked for from `soon` on.
pub(crate) fn transpose_pairs(
    isa: Isa,
    channels: [&[u8]; CHANNELS],
    soon: *const u8,
    to: &mut Vec<[u8; 64]>,
) {
    to.resize(channels[0].len().div_ceil(4), [0; 64]);
    isa.run(Transpose { blocks: FileBlocks { channels, soon }, to });
}

struct Transpose<'a> {
    blocks: FileBlocks<'a>,
    to: &'a mut [[u8; 64]],
}

impl Job for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n_bytes = self.blocks.channels[0].len();
        let n_steps = n_bytes / STEP;
        let (steps, rest) = self.to.split_at_mut(STEP / 4 * n_steps);
        for (i, to) in steps.as_chunks_mut::<{ STEP / 4 }>().0.iter_mut().enumerate() {
            self.blocks.ask(l, i, n_steps);
            let words = self.blocks.sixteen(l, STEP * i);
            for k in 0..STEP / 4 {
                l.store_bytes(words[k], &mut to[k]);
                drop_denormals(&mut to[k]);
            }
        }
        for (i, to) in rest.iter_mut().enumerate() {
            let at = STEP * n_steps + 4 * i;
            for (j, word) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let left = &self.blocks.channels[j][at..];
                *word = [0; 4];
                word[..left.len().min(4)].copy_from_slice(&left[..left.len().min(4)]);
            }
            drop_denormals(to);
        }
    }
}
