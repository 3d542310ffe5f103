//! Channels of f32 weights times rows: sums over sixteen lanes of inputs.

use super::math::padded;
use crate::disjoint::Disjoint;
use crate::lanes::{Job, Lanes};

/// One span of some channels for all rows: `out = first ? span : out + span`.
pub(crate) struct FloatProduct<'a> {
    /// `[n_channels, n_inputs]`.
    pub(crate) weights: &'a [f32],
    pub(crate) n_inputs: usize,
    /// `[n_rows, n_in]`.
    pub(crate) x: &'a [f32],
    pub(crate) n_in: usize,
    pub(crate) first_input: usize,
    /// `[n_rows, n_out]`.
    pub(crate) out: Disjoint<'a, f32>,
    pub(crate) n_out: usize,
    pub(crate) first_channel: usize,
}

/// Multiplies a span with all rows.
///
/// # Safety
/// The columns of these channels are the present task's alone.
pub(crate) unsafe fn float_product(isa: crate::isa::Isa, product: FloatProduct<'_>) {
    isa.run(product);
}

impl Job for FloatProduct<'_> {
    type Output = ();

    /// Tiles of 6 rows by 4 channels, or 3 by 2, fill the registers; a single row takes 4 channels at a time.
    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let n_rows = self.x.len() / self.n_in;
        let mut row = 0;
        while L::WIDE && row + 6 <= n_rows {
            self.channels::<L, 6, 4>(l, row);
            row += 6;
        }
        while row + 3 <= n_rows {
            self.channels::<L, 3, 2>(l, row);
            row += 3;
        }
        while row < n_rows {
            self.channels::<L, 1, 4>(l, row);
            row += 1;
        }
    }
}

impl FloatProduct<'_> {
    #[inline(always)]
    fn channels<L: Lanes, const ROWS: usize, const CHANNELS: usize>(&self, l: L, row: usize) {
        let n_channels = self.weights.len() / self.n_inputs;
        let mut channel = 0;
        while channel + CHANNELS <= n_channels {
            self.tile::<L, ROWS, CHANNELS>(l, row, channel);
            channel += CHANNELS;
        }
        while channel < n_channels {
            self.tile::<L, ROWS, 1>(l, row, channel);
            channel += 1;
        }
    }

    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize, const CHANNELS: usize>(&self, l: L, row: usize, channel: usize) {
        let mut x = [&self.x[..0]; ROWS];
        for r in 0..ROWS {
            x[r] = &self.x[(row + r) * self.n_in + self.first_input..][..self.n_inputs];
        }
        let mut w = [&self.weights[..0]; CHANNELS];
        for c in 0..CHANNELS {
            w[c] = &self.weights[(channel + c) * self.n_inputs..][..self.n_inputs];
        }
        let mut acc = [[l.splat(0.0); CHANNELS]; ROWS];
        let mut at = 0;
        while at + 16 <= self.n_inputs {
            let mut weights = [l.splat(0.0); CHANNELS];
            for c in 0..CHANNELS {
                weights[c] = l.load(sixteen(w[c], at));
            }
            for r in 0..ROWS {
                let x = l.load(sixteen(x[r], at));
                for c in 0..CHANNELS {
                    acc[r][c] = l.fma(weights[c], x, acc[r][c]);
                }
            }
            at += 16;
        }
        for r in 0..ROWS {
            for c in 0..CHANNELS {
                if at < self.n_inputs {
                    let (w, x) = (l.load(&padded(&w[c][at..])), l.load(&padded(&x[r][at..])));
                    acc[r][c] = l.fma(w, x, acc[r][c]);
                }
                self.put(row + r, channel + c, l.sum(acc[r][c]));
            }
        }
    }

    #[inline(always)]
    fn put(&self, row: usize, channel: usize, y: f32) {
        let at = row * self.n_out + self.first_channel + channel;
        // SAFETY: this column is the present task's alone (`float_product`'s contract).
        let out = unsafe { &mut self.out.part(at..at + 1)[0] };
        *out = if self.first_input == 0 { y } else { *out + y };
    }
}

#[inline(always)]
fn sixteen(x: &[f32], at: usize) -> &[f32; 16] {
    x[at..at + 16].first_chunk().expect("sixteen values")
}
