//! Pairs of bfloat16 inputs of sixteen channels, from a file's order.

use super::blocks::sixteen;
use crate::isa::Isa;
use crate::lanes::{Job, Lanes};
use crate::panel::CHANNELS;

/// Bytes of a channel that are transposed at a time.
const STEP: usize = 16;

/// The [`Arrange`](super::Arrange) of bfloat16: `[n_pairs]` of two inputs of each channel, denormal values as zeros.
pub(crate) fn arrange_pairs(isa: Isa, channels: [&[u8]; CHANNELS], out: &mut [u8]) {
    isa.run(Pairs { channels, to: out.as_chunks_mut().0 });
}

struct Pairs<'a> {
    channels: [&'a [u8]; CHANNELS],
    to: &'a mut [[u8; 64]],
}

impl Job for Pairs<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n_bytes = self.channels[0].len();
        let n_steps = n_bytes / STEP;
        let (steps, rest) = self.to.split_at_mut(STEP / 4 * n_steps);
        for (i, to) in steps.as_chunks_mut::<{ STEP / 4 }>().0.iter_mut().enumerate() {
            let words = sixteen(l, &self.channels, STEP * i);
            for k in 0..STEP / 4 {
                l.store_bytes(words[k], &mut to[k]);
                drop_denormals(&mut to[k]);
            }
        }
        for (i, to) in rest.iter_mut().enumerate() {
            let at = STEP * n_steps + 4 * i;
            for (j, word) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let left = &self.channels[j][at..];
                *word = [0; 4];
                word[..left.len().min(4)].copy_from_slice(&left[..left.len().min(4)]);
            }
            drop_denormals(to);
        }
    }
}

/// Makes zeros of denormal bfloat16 values, which instructions differ about.
#[inline(always)]
fn drop_denormals(values: &mut [u8]) {
    for value in values.as_chunks_mut::<2>().0 {
        let bits = u16::from_le_bytes(*value);
        *value = if bits & 0x7f80 == 0 { bits & 0x8000 } else { bits }.to_le_bytes();
    }
}
