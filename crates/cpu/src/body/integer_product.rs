//! Panels of sixteen channels times quantized rows: the kernel under all quantized matrices.

use std::ops;

use super::next::Next;
use super::target::Target;
use crate::activations::{Activations, Tile};
use crate::isa::Isa;
use crate::lanes::{Bytes, Job, Lanes};
use crate::panel::{Form, Part, Range};

/// One span of some panels for all rows. The parameters are of the panels' [`Form`]: whether it has minima, and whether
/// its integers are small. What else there is to know of it are plain values, so that loops over steps stay
/// loops: unrolled, they would be taken apart and need more registers than there are.
struct Product<'a, const MINIMA: bool, const SMALL: bool, const PANELS: usize> {
    panels: [Part<'a>; PANELS],
    /// Weights that share a scale.
    group: usize,
    /// Steps whose products fit into 16 bits, if small.
    steps: usize,
    bias: i32,
    activations: &'a Activations,
    first_input: usize,
    target: Target<'a>,
    next: [Next; PANELS],
}

/// Multiplies a span of one or two panels with all rows. Steps of `next`, one for each panel, are a tile's groups.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(crate) unsafe fn product(
    isa: Isa,
    form: Form,
    panels: &[Part<'_>],
    activations: &Activations,
    first_input: usize,
    target: Target<'_>,
    next: [Next; 2],
) {
    let (steps, bias) = match form.range {
        Range::Signed => (0, 0),
        Range::Small { bias, steps } => (steps, bias),
    };
    macro_rules! run {
        ($minima:literal, $small:literal, $panels:expr, $next:expr) => {
            isa.run(Product::<$minima, $small, _> {
                panels: $panels,
                group: form.group,
                steps,
                bias,
                activations,
                first_input,
                target,
                next: $next,
            })
        };
    }
    match (form.minima, form.range, panels) {
        (false, Range::Signed, &[a]) => run!(false, false, [a], [next[0]]),
        (false, Range::Signed, &[a, b]) => run!(false, false, [a, b], next),
        (false, Range::Small { .. }, &[a]) => run!(false, true, [a], [next[0]]),
        (false, Range::Small { .. }, &[a, b]) => run!(false, true, [a, b], next),
        (true, Range::Small { .. }, &[a]) => run!(true, true, [a], [next[0]]),
        (true, Range::Small { .. }, &[a, b]) => run!(true, true, [a, b], next),
        _ => unreachable!("{} panels of {form:?}", panels.len()),
    }
}

impl<const MINIMA: bool, const SMALL: bool, const PANELS: usize> Job for Product<'_, MINIMA, SMALL, PANELS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if PANELS > L::PANELS {
            unreachable!("{PANELS} panels, for which there are no registers");
        }
        for tile in 0..self.activations.n_tiles() {
            match self.activations.width() {
                1 => self.tile::<L, 1>(l, tile),
                2 => self.tile::<L, 2>(l, tile),
                3 => self.tile::<L, 3>(l, tile),
                4 => self.tile::<L, 4>(l, tile),
                5 if L::TILE_ROWS > 4 => self.tile::<L, 5>(l, tile),
                6 if L::TILE_ROWS > 4 => self.tile::<L, 6>(l, tile),
                width => unreachable!("tiles of {width} rows"),
            }
        }
    }
}

impl<const MINIMA: bool, const SMALL: bool, const PANELS: usize> Product<'_, MINIMA, SMALL, PANELS> {
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize) {
        let n_inputs = 4 * self.panels[0].steps.len();
        let x = self.activations.tile(tile, self.first_input, n_inputs, self.group);
        let values = self.values::<L, ROWS>(l, x, self.activations.n_tiles() - tile - 1);
        let first_row = tile * ROWS;
        for r in 0..ROWS.min(self.activations.n_rows() - first_row) {
            for p in 0..PANELS {
                // SAFETY: the columns are this task's alone (`product`'s contract).
                unsafe { self.target.put(l, first_row + r, p, values[p][r]) };
            }
        }
    }

    /// A span's values: a chain over groups. `tiles_left` follow.
    #[inline(always)]
    fn values<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        x: Tile<'_>,
        tiles_left: usize,
    ) -> [[L::F; ROWS]; PANELS] {
        let n_steps = self.group / 4;
        let bias = l.splat(if SMALL { -self.bias } else { -L::WIDE_BIAS } as f32);
        let has_bias = !SMALL && L::WIDE_BIAS != 0 || SMALL && !MINIMA;
        let (scales, _) = x.scales.as_chunks::<ROWS>();
        let (sums, scaled_sums) = (x.sums.as_chunks::<ROWS>().0, x.scaled_sums.as_chunks::<ROWS>().0);
        let mut acc = [[l.splat(0.0); ROWS]; PANELS];
        let n_groups = self.panels[0].scales.len();
        for (g, q) in x.q.chunks_exact(n_steps * ROWS).enumerate() {
            for p in 0..PANELS {
                self.next[p].ask(l, tiles_left * n_groups + n_groups - g - 1);
            }
            let products = self.integer_sums::<L, ROWS>(l, g * n_steps, q);
            let s = &scales[g * self.group / 32];
            for p in 0..PANELS {
                let weight_scales = l.load(&self.panels[p].scales[g].0);
                for r in 0..ROWS {
                    let mut sum = l.to_float(products[p][r]);
                    if has_bias {
                        // All whole and below 2^24, so exact.
                        sum = l.fma(bias, l.splat(sums[g][r]), sum);
                    }
                    acc[p][r] = l.fma(sum, l.mul(weight_scales, l.splat(s[r])), acc[p][r]);
                    if MINIMA {
                        let minima = l.load(&self.panels[p].minima[g].0);
                        acc[p][r] = l.fma(minima, l.splat(scaled_sums[g][r]), acc[p][r]);
                    }
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
        first_step: usize,
        q: &[[i8; 4]],
    ) -> [[L::I; ROWS]; PANELS] {
        let (q, _) = q.as_chunks::<ROWS>();
        let mut steps = [&self.panels[0].steps[..0]; PANELS];
        for p in 0..PANELS {
            steps[p] = &self.panels[p].steps[first_step..][..q.len()];
        }
        let mut sums = [[l.splat_int(0); ROWS]; PANELS];
        if !SMALL {
            for k in 0..q.len() {
                for p in 0..PANELS {
                    let weights = l.load_bytes(&steps[p][k].0);
                    for r in 0..ROWS {
                        sums[p][r] = l.wide_products(sums[p][r], weights, four(l, q[k][r]));
                    }
                }
            }
            return sums;
        }
        // The first widening has nothing to add to: types with one per group need fewer registers.
        let mut end = if L::WHOLE { q.len() } else { self.steps.min(q.len()) };
        let partial = products::<L, ROWS, PANELS>(l, &steps, q, 0..end);
        widen(l, &mut sums, partial);
        while end < q.len() {
            let next = q.len().min(end + self.steps);
            let partial = products::<L, ROWS, PANELS>(l, &steps, q, end..next);
            widen(l, &mut sums, partial);
            end = next;
        }
        sums
    }
}

/// Products of some steps, small ones, not widened yet.
#[inline(always)]
fn products<L: Lanes, const ROWS: usize, const PANELS: usize>(
    l: L,
    panels: &[&[Bytes]; PANELS],
    q: &[[[i8; 4]; ROWS]],
    steps: ops::Range<usize>,
) -> [[L::P; ROWS]; PANELS] {
    let mut partial = [[l.no_products(); ROWS]; PANELS];
    for k in steps {
        for p in 0..PANELS {
            let weights = l.load_bytes(&panels[p][k].0);
            for r in 0..ROWS {
                partial[p][r] = l.products(partial[p][r], weights, four(l, q[k][r]));
            }
        }
    }
    partial
}

#[inline(always)]
fn widen<L: Lanes, const ROWS: usize, const PANELS: usize>(
    l: L,
    sums: &mut [[L::I; ROWS]; PANELS],
    partial: [[L::P; ROWS]; PANELS],
) {
    for p in 0..PANELS {
        for r in 0..ROWS {
            sums[p][r] = l.widen(sums[p][r], partial[p][r]);
        }
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
