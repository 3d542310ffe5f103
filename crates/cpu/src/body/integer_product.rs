//! A panel of sixteen channels times quantized rows: the kernel under all quantized matrices.

use super::next::Next;
use super::target::Target;
use crate::activations::{Activations, Tile};
use crate::isa::Isa;
use crate::lanes::{Bytes, Job, Lanes};
use crate::panel::{Form, Part, Range};

/// One span of a panel for all rows. The parameters are of the panel's [`Form`]: whether it has minima, whether its
/// integers are small, and the steps of a group.
struct Product<'a, const MINIMA: bool, const SMALL: bool, const STEPS: usize> {
    panel: Part<'a>,
    /// Steps whose products fit into 16 bits, if small.
    steps: usize,
    bias: i32,
    activations: &'a Activations,
    first_input: usize,
    target: Target<'a>,
    next: Next,
}

/// Multiplies a span of a panel with all rows. A tile's groups are the steps of `next`.
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
    let (steps, bias) = match form.range {
        Range::Signed => (0, 0),
        Range::Small { bias, steps } => (steps, bias),
    };
    macro_rules! run {
        ($minima:literal, $small:literal, $steps:literal) => {
            isa.run(Product::<$minima, $small, $steps> {
                panel,
                steps,
                bias,
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
        for tile in 0..self.activations.n_tiles() {
            match self.activations.width() {
                1 => self.tile::<L, 1>(l, tile),
                2 => self.tile::<L, 2>(l, tile),
                3 => self.tile::<L, 3>(l, tile),
                4 => self.tile::<L, 4>(l, tile),
                6 if L::WIDE => self.tile::<L, 6>(l, tile),
                8 if L::WIDE => self.tile::<L, 8>(l, tile),
                width => unreachable!("tiles of {width} rows"),
            }
        }
    }
}

impl<const MINIMA: bool, const SMALL: bool, const STEPS: usize> Product<'_, MINIMA, SMALL, STEPS> {
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize) {
        let x = self.activations.tile(tile, self.first_input, 4 * self.panel.steps.len(), 4 * STEPS);
        let values = self.values::<L, ROWS>(l, x, self.activations.n_tiles() - tile - 1);
        let first_row = tile * ROWS;
        for r in 0..ROWS.min(self.activations.n_rows() - first_row) {
            // SAFETY: the columns are this task's alone (`product`'s contract).
            unsafe { self.target.put(l, first_row + r, values[r]) };
        }
    }

    /// A span's values: a chain over groups. `tiles_left` follow.
    #[inline(always)]
    fn values<L: Lanes, const ROWS: usize>(&self, l: L, x: Tile<'_>, tiles_left: usize) -> [L::F; ROWS] {
        let bias = l.splat(if SMALL { -self.bias } else { -L::WIDE_BIAS } as f32);
        let has_bias = !SMALL && L::WIDE_BIAS != 0 || SMALL && !MINIMA;
        let n_groups = self.panel.scales.len();
        let weights = &self.panel.steps.as_chunks::<STEPS>().0[..n_groups];
        let q = &x.q.as_chunks::<ROWS>().0.as_chunks::<STEPS>().0[..n_groups];
        let (scales, sums) = (x.scales.as_chunks::<ROWS>().0, &x.sums.as_chunks::<ROWS>().0[..n_groups]);
        let scaled_sums = &x.scaled_sums.as_chunks::<ROWS>().0[..n_groups];
        let mut acc = [l.splat(0.0); ROWS];
        for g in 0..n_groups {
            self.next.ask(l, tiles_left * n_groups + n_groups - g - 1);
            // Looked up before anything is multiplied: a check of bounds after that would have compilers load
            // everything before it and multiply behind it.
            let (scales, sums, scaled_sums) = (&scales[g * STEPS / 8], &sums[g], &scaled_sums[g]);
            let weight_scales = l.load(&self.panel.scales[g].0);
            let minima = if MINIMA { l.load(&self.panel.minima[g].0) } else { l.splat(0.0) };
            let products = self.integer_sums::<L, ROWS>(l, &weights[g], &q[g]);
            for r in 0..ROWS {
                let mut sum = l.to_float(products[r]);
                if has_bias {
                    // All whole and below 2^24, so exact.
                    sum = l.fma(bias, l.splat(sums[r]), sum);
                }
                acc[r] = l.fma(sum, l.mul(weight_scales, l.splat(scales[r])), acc[r]);
                if MINIMA {
                    acc[r] = l.fma(minima, l.splat(scaled_sums[r]), acc[r]);
                }
            }
        }
        acc
    }

    /// Exact sums of one group's products, but for the bias.
    #[inline(always)]
    fn integer_sums<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        weights: &[Bytes; STEPS],
        q: &[[[i8; 4]; ROWS]; STEPS],
    ) -> [L::I; ROWS] {
        let mut sums = [l.splat_int(0); ROWS];
        if !SMALL {
            for k in 0..STEPS {
                let weights = l.load_bytes(&weights[k].0);
                for r in 0..ROWS {
                    sums[r] = l.wide_products(sums[r], weights, four(l, q[k][r]));
                }
            }
            return sums;
        }
        // The first widening has nothing to add to: types with one per group need fewer registers.
        let mut end = if L::WHOLE { STEPS } else { self.steps.min(STEPS) };
        widen(l, &mut sums, products::<L, ROWS>(l, &weights[..end], &q[..end]));
        while end < STEPS {
            let next = STEPS.min(end + self.steps);
            widen(l, &mut sums, products::<L, ROWS>(l, &weights[end..next], &q[end..next]));
            end = next;
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
