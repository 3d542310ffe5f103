//! Rows of activations to bfloat16, as [`dewdrop_backend::halves`] does it.

use dewdrop_backend::halves::{LEAST, Lift};

use super::math::{magnitude, padded};
use crate::lanes::{Bytes, Job, Lanes};

/// Rounds a tile of rows. What it writes has the values of `width` rows side by side.
pub(crate) struct Round<'a> {
    /// `[n_rows, n_in]`, not more than `width` rows.
    pub(crate) x: &'a [f32],
    pub(crate) n_in: usize,
    pub(crate) width: usize,
    /// Of each pair of inputs the words that [`Lanes::pairs`] takes.
    pub(crate) words: &'a mut [u32],
    /// Of the rows.
    pub(crate) scales: &'a mut [f32],
}

impl Job for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let width = self.width;
        for (row, x) in self.x.chunks_exact(self.n_in).enumerate() {
            let Lift { factor, scale } = Lift::new(largest(l, x));
            self.scales[row] = scale;
            for (first, x) in x.chunks(16).enumerate() {
                let mut halves = Bytes::ZERO;
                if factor != 0.0 {
                    l.store_bytes(lifted(l, l.load(&padded(x)), factor), &mut halves.0);
                }
                for (p, pair) in halves.0.as_chunks::<8>().0[..x.len().div_ceil(2)].iter().enumerate() {
                    let [a, b, c, d, e, f, g, h] = *pair;
                    let (lower, upper) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
                    let at = (8 * first + p) * L::PAIR_WORDS * width + row;
                    if L::PAIRED {
                        self.words[at] = lower >> 16 | upper;
                    } else {
                        (self.words[at], self.words[at + width]) = (upper, lower);
                    }
                }
            }
        }
    }
}

/// The largest magnitude, of bits.
#[inline(always)]
fn largest<L: Lanes>(l: L, x: &[f32]) -> f32 {
    let mut most = l.splat_int(0);
    for x in x.chunks(16) {
        most = l.max_int(most, magnitude(l, l.load(&padded(x))));
    }
    f32::from_bits(l.largest_int(most).cast_unsigned())
}

/// Lifted and rounded, as upper halves.
#[inline(always)]
fn lifted<L: Lanes>(l: L, x: L::F, factor: f32) -> L::I {
    let bits = l.bits(l.mul(x, l.splat(factor)));
    let even = l.and(l.shr(bits, 16), l.splat_int(1));
    let rounded = l.add_int(bits, l.add_int(l.splat_int(0x7fff), even));
    let rounded = l.float(l.and(rounded, l.splat_int(0xffff_0000u32.cast_signed())));
    l.bits(l.select(l.less(l.float(magnitude(l, rounded)), l.splat(LEAST)), l.splat(0.0), rounded))
}
