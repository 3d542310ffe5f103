//! Causal depthwise convolution: channels are lanes.

use super::math::{padded, silu};
use crate::lanes::{Job, Lanes};

/// Channels `first ..` of a convolution of one row, as many as `out` has.
pub(crate) struct Conv<'a> {
    /// The inputs that taps meet, oldest first, the row's own last: all channels each.
    pub(crate) inputs: &'a [&'a [f32]],
    /// `[kernel, channels]`.
    pub(crate) taps: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) first: usize,
    pub(crate) finish: Finish<'a>,
    pub(crate) out: &'a mut [f32],
}

/// What becomes of a channel's sum. Slices hold all channels.
#[derive(Clone, Copy)]
pub(crate) enum Finish<'a> {
    /// `silu(sum)`.
    Silu,
    /// `gate * (sum + bias)`.
    Gate { gate: &'a [f32], bias: Option<&'a [f32]> },
}

impl Job for Conv<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (i, out) in self.out.chunks_mut(16).enumerate() {
            let channel = self.first + 16 * i;
            let mut sum = l.splat(0.0);
            for (t, input) in self.inputs.iter().enumerate() {
                let taps = &self.taps[t * self.channels..][..self.channels];
                sum = l.fma(some(l, taps, channel), some(l, input, channel), sum);
            }
            let value = match self.finish {
                Finish::Silu => silu(l, sum),
                Finish::Gate { gate, bias } => {
                    let sum = if let Some(bias) = bias { l.add(sum, some(l, bias, channel)) } else { sum };
                    l.mul(sum, some(l, gate, channel))
                }
            };
            let mut lanes = [0.0; 16];
            l.store(value, &mut lanes);
            out.copy_from_slice(&lanes[..out.len()]);
        }
    }
}

/// Sixteen values from `at` on, zeros beyond the end.
#[inline(always)]
fn some<L: Lanes>(l: L, x: &[f32], at: usize) -> L::F {
    match x[at..].first_chunk() {
        Some(x) => l.load(x),
        None => l.load(&padded(&x[at..])),
    }
}
