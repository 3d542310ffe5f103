//! A panel of sixteen channels times quantized rows: the kernel under all quantized matrices.

use super::next::Next;
use super::target::Target;
use crate::activations::{Activations, Tile};
use crate::isa::Isa;
use crate::lanes::{Bytes, Job, Lanes};
use crate::panel::{Form, MAX_GROUPS, Part, Range};

/// Rows of a tile, at most.
const MAX_ROWS: usize = 8;
/// Groups for which memory is asked for at once.
const ASKING: usize = 8;

/// One span of a panel for all rows. The parameters are of the panel's [`Form`]: whether it has minima, whether its
/// integers are small, and the steps of a group.
struct Product<'a, const MINIMA: bool, const SMALL: bool, const STEPS: usize> {
    panel: Part<'a>,
    /// Steps whose products fit into 16 bits, if small.
    stretch: usize,
    range: Range,
    activations: &'a Activations,
    first_input: usize,
    target: Target<'a>,
    next: Next,
}

/// How many times a tile asks for memory.
pub(crate) const fn asks(n_groups: usize) -> usize {
    n_groups.div_ceil(ASKING)
}

/// Multiplies a span of a panel with all rows. Each tile has [`asks`] of the steps of `next`.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(crate) unsafe fn product(
    isa: Isa,
    form: Form,
    panel: Part<'_>,
    activations: &Activations,
    first_input: usize,
    target: Target<'_>,
    next: Next,
) {
    let stretch = match form.range {
        Range::Signed => 0,
        Range::Small { steps, .. } => steps,
    };
    macro_rules! run {
        ($minima:literal, $small:literal, $steps:literal) => {
            isa.run(Product::<$minima, $small, $steps> {
                panel,
                stretch,
                range: form.range,
                activations,
                first_input,
                target,
                next,
            })
        };
    }
    match (form.minima, form.range, form.group) {
        (false, Range::Signed, 32) => run!(false, false, 8),
        (false, Range::Small { .. }, 32) => run!(false, true, 8),
        (false, Range::Small { .. }, 16) => run!(false, true, 4),
        (true, Range::Small { .. }, 32) => run!(true, true, 8),
        (true, Range::Small { .. }, 16) => run!(true, true, 4),
        _ => unreachable!("{form:?}"),
    }
}

impl<const MINIMA: bool, const SMALL: bool, const STEPS: usize> Job for Product<'_, MINIMA, SMALL, STEPS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let mut starts = [0; MAX_ROWS * MAX_GROUPS];
        for tile in 0..self.activations.n_tiles() {
            match self.activations.width() {
                1 => self.tile::<L, 1>(l, tile, &mut starts),
                2 => self.tile::<L, 2>(l, tile, &mut starts),
                3 => self.tile::<L, 3>(l, tile, &mut starts),
                4 => self.tile::<L, 4>(l, tile, &mut starts),
                6 if L::WIDE => self.tile::<L, 6>(l, tile, &mut starts),
                8 if L::WIDE => self.tile::<L, 8>(l, tile, &mut starts),
                width => unreachable!("tiles of {width} rows"),
            }
        }
    }
}

impl<const MINIMA: bool, const SMALL: bool, const STEPS: usize> Product<'_, MINIMA, SMALL, STEPS> {
    /// Whether the weights are too large by a bias, as these lanes multiply them. Minima come without one.
    #[inline(always)]
    const fn has_bias<L: Lanes>() -> bool {
        if SMALL { !MINIMA } else { L::WIDE_BIAS != 0 }
    }

    /// `starts`: room to compute in.
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize, starts: &mut [i32]) {
        let x = self.activations.tile(tile, self.first_input, 4 * self.panel.steps.len(), 4 * STEPS);
        if Self::has_bias::<L>() {
            start(self.range.bias::<L>(), x.sums, starts);
        }
        let values = self.values::<L, ROWS>(l, x, starts, self.activations.n_tiles() - tile - 1);
        let first_row = tile * ROWS;
        for r in 0..ROWS.min(self.activations.n_rows() - first_row) {
            // SAFETY: the columns are this task's alone (`product`'s contract).
            unsafe { self.target.put(l, first_row + r, values[r]) };
        }
    }

    /// A span's values: a chain over groups. `tiles_left` follow.
    #[inline(always)]
    fn values<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        x: Tile<'_>,
        starts: &[i32],
        tiles_left: usize,
    ) -> [L::F; ROWS] {
        let n_groups = self.panel.scales.len();
        let weights = &self.panel.steps.as_chunks::<STEPS>().0[..n_groups];
        let weight_scales = &self.panel.scales[..n_groups];
        let minima = if MINIMA { &self.panel.minima[..n_groups] } else { weight_scales };
        let q = &x.q.as_chunks::<ROWS>().0.as_chunks::<STEPS>().0[..n_groups];
        let (scales, starts) = (x.scales.as_chunks::<ROWS>().0, &starts.as_chunks::<ROWS>().0[..n_groups]);
        let scaled_sums = &x.scaled_sums.as_chunks::<ROWS>().0[..n_groups];
        let mut acc = [l.splat(0.0); ROWS];
        for first in (0..n_groups).step_by(ASKING) {
            self.next.ask(l, (tiles_left + 1) * asks(n_groups) - first / ASKING - 1);
            for g in first..n_groups.min(first + ASKING) {
                // Looked up before anything is multiplied: a check of bounds after that would have compilers load
                // everything before it and multiply behind it.
                let (scales, scaled_sums) = (&scales[g * STEPS / 8], &scaled_sums[g]);
                let products = self.integer_sums::<L, ROWS>(l, &weights[g], &q[g], &starts[g]);
                let (weight_scales, minima) = (l.load(&weight_scales[g].0), l.load(&minima[g].0));
                for r in 0..ROWS {
                    let scale = l.mul(weight_scales, l.splat(scales[r]));
                    acc[r] = l.fma(l.to_float(products[r]), scale, acc[r]);
                    if MINIMA {
                        acc[r] = l.fma(minima, l.splat(scaled_sums[r]), acc[r]);
                    }
                }
            }
        }
        acc
    }

    /// Exact sums of one group's products.
    #[inline(always)]
    fn integer_sums<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        weights: &[Bytes; STEPS],
        q: &[[[i8; 4]; ROWS]; STEPS],
        starts: &[i32; ROWS],
    ) -> [L::I; ROWS] {
        let mut start = [l.splat_int(0); ROWS];
        if Self::has_bias::<L>() {
            for r in 0..ROWS {
                start[r] = l.splat_int(starts[r]);
            }
        }
        if SMALL && !L::WHOLE {
            // What sums start from comes last, and the first widening has nothing to add to: such lanes have few registers.
            let mut sums = [l.splat_int(0); ROWS];
            let mut end = self.stretch.min(STEPS);
            widen(l, &mut sums, products::<L, ROWS>(l, &weights[..end], &q[..end]));
            while end < STEPS {
                let next = STEPS.min(end + self.stretch);
                widen(l, &mut sums, products::<L, ROWS>(l, &weights[end..next], &q[end..next]));
                end = next;
            }
            for r in 0..ROWS {
                sums[r] = l.add_int(sums[r], start[r]);
            }
            return sums;
        }
        let mut sums = start;
        for k in 0..STEPS {
            let weights = l.load_bytes(&weights[k].0);
            for r in 0..ROWS {
                let q = four(l, q[k][r]);
                sums[r] = if SMALL {
                    l.whole_products(sums[r], weights, q)
                } else {
                    l.wide_products(sums[r], weights, q)
                };
            }
        }
        sums
    }
}

/// Products of some steps, small ones, not widened yet.
#[inline(always)]
fn products<L: Lanes, const ROWS: usize>(l: L, weights: &[Bytes], q: &[[[i8; 4]; ROWS]]) -> [L::P; ROWS] {
    let mut partial = [l.no_products(); ROWS];
    for k in 0..weights.len() {
        let weights = l.load_bytes(&weights[k].0);
        for r in 0..ROWS {
            partial[r] = l.products(partial[r], weights, four(l, q[k][r]));
        }
    }
    partial
}

#[inline(always)]
fn widen<L: Lanes, const ROWS: usize>(l: L, sums: &mut [L::I; ROWS], partial: [L::P; ROWS]) {
    for r in 0..ROWS {
        sums[r] = l.widen(sums[r], partial[r]);
    }
}

/// Four activations, for all channels.
#[inline(always)]
pub(crate) fn four<L: Lanes>(l: L, q: [i8; 4]) -> L::I {
    l.splat_int(i32::from_le_bytes([
        q[0].cast_unsigned(),
        q[1].cast_unsigned(),
        q[2].cast_unsigned(),
        q[3].cast_unsigned(),
    ]))
}

/// What sums of products start from, so that a bias of the weights goes away; `sums` of the activations.
#[inline(always)]
pub(crate) fn start(bias: i32, sums: &[i32], starts: &mut [i32]) {
    for (start, sum) in starts.iter_mut().zip(sums) {
        *start = -bias * sum;
    }
}
