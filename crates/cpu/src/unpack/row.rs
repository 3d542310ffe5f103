//! One row times rearranged blocks: multiplied as they are unpacked, in registers.

use std::marker::PhantomData;

use super::blocks::{Blocks, PanelBlocks};
use super::{MAX_GROUPS, Packing, Sink};
use crate::activations::Tile;
use crate::body::integer_product::four;
use crate::body::target::Target;
use crate::isa::Isa;
use crate::lanes::{Floats, Job, Lanes};
use crate::panel::{CHANNELS, Range};

/// One span of sixteen channels, and of a row.
pub(crate) struct RowPanels<'a> {
    /// Rearranged blocks.
    pub(crate) bytes: &'a [u8],
    /// A tile of this row alone.
    pub(crate) x: Tile<'a>,
    /// Where the values go.
    pub(crate) target: Target<'a>,
    /// Which of the target's panels these are.
    pub(crate) panel: usize,
}

/// Multiplies sixteen channels of a span with the row.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(super) unsafe fn multiply<P: Packing>(isa: Isa, panels: RowPanels<'_>) {
    isa.run(Multiply { panels, of: PhantomData::<P> });
}

struct Multiply<'a, P> {
    panels: RowPanels<'a>,
    of: PhantomData<P>,
}

impl<P: Packing> Job for Multiply<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let mut acc = l.splat(0.0);
        for (b, bytes) in self.panels.bytes.chunks_exact(CHANNELS * P::BYTES).enumerate() {
            acc = self.block(l, &PanelBlocks { bytes }, b, acc);
        }
        // SAFETY: the columns are this task's alone (`multiply`'s contract).
        unsafe { self.panels.target.put(l, 0, self.panels.panel, acc) };
    }
}

impl<P: Packing> Multiply<'_, P> {
    /// Takes the chain over a block's groups.
    #[inline(always)]
    fn block<L: Lanes>(&self, l: L, blocks: &impl Blocks, b: usize, mut acc: L::F) -> L::F {
        let (group, n_groups) = (P::FORM.group, P::LEN / P::FORM.group);
        let (first, x) = (b * n_groups, &self.panels.x);
        let (mut scales, mut minima) = ([Floats::ZERO; MAX_GROUPS], [Floats::ZERO; MAX_GROUPS]);
        P::scales(l, blocks, &mut scales, &mut minima);
        // Units need not be in the order of their groups, so the sums wait here.
        let mut sums = [Floats::ZERO; MAX_GROUPS];
        for unit in 0..n_groups / P::UNIT {
            let mut q = [&x.q[..0]; 4];
            for i in 0..P::UNIT {
                q[i] = &x.q[(first + P::group(unit, i)) * group / 4..][..group / 4];
            }
            let mut dot =
                Dot { l, q, partial: [l.no_products(); 4], sums: [l.splat_int(0); 4], of: PhantomData::<P> };
            P::unit(l, blocks, unit, &mut dot);
            for i in 0..P::UNIT {
                let g = P::group(unit, i);
                let bias = match P::FORM.range {
                    Range::Signed => L::WIDE_BIAS,
                    Range::Small { bias, .. } => bias,
                };
                let mut sum = l.to_float(dot.sums[i]);
                if bias != 0 {
                    // All whole and below 2^24, so exact.
                    sum = l.fma(l.splat(-bias as f32), l.splat(x.sums[first + g]), sum);
                }
                l.store(sum, &mut sums[g].0);
            }
        }
        for g in 0..n_groups {
            let s = l.splat(x.scales[(first + g) * group / 32]);
            acc = l.fma(l.load(&sums[g].0), l.mul(l.load(&scales[g].0), s), acc);
            if P::FORM.minima {
                acc = l.fma(l.load(&minima[g].0), l.splat(x.scaled_sums[first + g]), acc);
            }
        }
        acc
    }
}

/// Multiplies a unit's steps with activations.
struct Dot<'a, L: Lanes, P> {
    l: L,
    /// Of each group.
    q: [&'a [[i8; 4]]; 4],
    /// Of each group: what has not been widened yet, and what has.
    partial: [L::P; 4],
    sums: [L::I; 4],
    of: PhantomData<P>,
}

impl<L: Lanes, P: Packing> Sink<L> for Dot<'_, L, P> {
    #[inline(always)]
    fn put(&mut self, i: usize, k: usize, weights: L::I) {
        let l = self.l;
        let activations = four(l, self.q[i][k]);
        match P::FORM.range {
            Range::Signed => self.sums[i] = l.wide_products(self.sums[i], weights, activations),
            Range::Small { steps, .. } => {
                self.partial[i] = l.products(self.partial[i], weights, activations);
                let steps = if L::WHOLE { P::FORM.group / 4 } else { steps };
                if (k + 1).is_multiple_of(steps) {
                    self.sums[i] = l.widen(self.sums[i], self.partial[i]);
                    self.partial[i] = l.no_products();
                }
            }
        }
    }
}
