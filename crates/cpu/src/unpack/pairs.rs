//! Pairs of bfloat16 inputs of sixteen channels, from a file's order.

use super::blocks::{part, sixteen};
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
        assert!(
            self.channels.iter().all(|channel| channel.len() == n_bytes),
            "as many inputs in each channel"
        );
        let n_steps = n_bytes / STEP;
        let (steps, rest) = self.to.split_at_mut(STEP / 4 * n_steps);
        for (i, to) in steps.as_chunks_mut::<{ STEP / 4 }>().0.iter_mut().enumerate() {
            // SAFETY: each channel has so many steps.
            let step = unsafe { part(&self.channels, STEP * i, STEP) };
            let words = sixteen(l, &step, 0);
            for k in 0..STEP / 4 {
                l.store_bytes(without_denormals(l, words[k]), &mut to[k]);
            }
        }
        for (i, to) in rest.iter_mut().enumerate() {
            let at = STEP * n_steps + 4 * i;
            for (j, word) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let left = &self.channels[j][at..];
                *word = [0; 4];
                word[..left.len().min(4)].copy_from_slice(&left[..left.len().min(4)]);
            }
            l.store_bytes(without_denormals(l, l.load_bytes(to)), to);
        }
    }
}

/// Both bfloat16 values of each lane, denormal ones as zeros of their sign, which instructions differ about.
#[inline(always)]
fn without_denormals<L: Lanes>(l: L, pairs: L::I) -> L::I {
    let both = |half: i32| l.splat_int(half << 16 | half);
    // The highest exponent added to another one that is not 0 reaches the next bit, and none the value above.
    let is_normal = l.and(l.add_int(l.and(pairs, both(0x7f80)), both(0x7f80)), both(0x8000));
    let all_but_sign = l.sub_int(is_normal, l.shr(is_normal, 15));
    l.and(pairs, l.or(all_but_sign, both(0x8000)))
}
