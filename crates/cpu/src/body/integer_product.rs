//! Panels of sixteen channels times quantized rows: the kernel under all quantized matrices.

use super::next::Next;
use super::target::Target;
use super::tiles::{Tiled, by_tiles};
use crate::activations::{Activations, Tile};
use crate::isa::Isa;
use crate::lanes::{Bytes, Floats, Job, Lanes};
use crate::panel::{Form, Part, Range, SPAN};

/// Groups for which memory is asked for at once.
const ASKING: usize = 8;

/// Panels side by side for all rows. The parameters are their number and of their [`Form`]: whether it has minima, whether its
/// integers are small, and the steps of a group.
struct Product<'a, const PANELS: usize, const MINIMA: bool, const SMALL: bool, const STEPS: usize> {
    panels: [Part<'a>; PANELS],
    range: Range,
    activations: &'a Activations,
    first_input: usize,
    target: Target<'a>,
    next: [Next; PANELS],
}

/// How many times a tile asks for memory.
pub(crate) const fn asks(n_groups: usize) -> usize {
    n_groups.div_ceil(ASKING)
}

/// Multiplies panels side by side, of the target's channels, with all rows. Each tile has [`asks`] of
/// the steps of each of `next`.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(crate) unsafe fn product<const PANELS: usize>(
    isa: Isa,
    form: Form,
    panels: [Part<'_>; PANELS],
    activations: &Activations,
    first_input: usize,
    target: Target<'_>,
    next: [Next; PANELS],
) {
    macro_rules! run {
        ($minima:literal, $small:literal, $steps:literal) => {
            isa.run(Product::<PANELS, $minima, $small, $steps> {
                panels,
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

impl<const PANELS: usize, const MINIMA: bool, const SMALL: bool, const STEPS: usize> Job
    for Product<'_, PANELS, MINIMA, SMALL, STEPS>
{
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if PANELS > L::TILE_PANELS {
            unreachable!("{PANELS} panels side by side, for which there are no registers");
        }
        by_tiles(l, &self, self.activations.tiling());
    }
}

impl<const PANELS: usize, const MINIMA: bool, const SMALL: bool, const STEPS: usize> Tiled
    for Product<'_, PANELS, MINIMA, SMALL, STEPS>
{
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize) {
        let (n, bias) = (4 * self.panels[0].steps.len(), self.range.bias::<L>());
        let x = self.activations.tile(tile, self.first_input, n, 4 * STEPS, bias);
        let n_groups = n / (4 * STEPS);
        let x = Rows::<ROWS, STEPS>::new(&x, n_groups, Self::has_bias::<L>());
        let mut panels = [Groups::<STEPS>::NONE; PANELS];
        for p in 0..PANELS {
            panels[p] = Groups::new(&self.panels[p], n_groups, MINIMA);
        }
        let (rows, n_tiles) = (self.activations.tiling().rows(tile), self.activations.tiling().n_tiles());
        self.target.ask(l, rows.clone());
        let asks_left = (n_tiles - tile) * asks(n_groups);
        let mut values = [[l.splat(0.0); ROWS]; PANELS];
        for p in 0..PANELS {
            let target = self.target.sixteen(p);
            for r in 0..ROWS.min(rows.len()) {
                // SAFETY: the columns are this task's alone (`product`'s contract).
                if let Some(before) = unsafe { target.before(l, rows.start + r) } {
                    values[p][r] = before;
                }
            }
        }
        for first in (0..n_groups).step_by(SPAN / (4 * STEPS)) {
            let end = n_groups.min(first + SPAN / (4 * STEPS));
            let mut of_span = panels;
            for p in 0..PANELS {
                of_span[p] = panels[p].part(first, end);
            }
            let acc = self.span::<L, ROWS>(l, of_span, x.part(first, end), asks_left - first / ASKING);
            for p in 0..PANELS {
                for r in 0..ROWS {
                    let is_first = first == 0 && self.target.first;
                    values[p][r] = if is_first { acc[p][r] } else { l.add(values[p][r], acc[p][r]) };
                }
            }
        }
        for p in 0..PANELS {
            // SAFETY: the columns are this task's alone (`product`'s contract).
            unsafe { self.target.sixteen(p).put(l, rows.start, &values[p][..rows.len()]) };
        }
    }
}

impl<const PANELS: usize, const MINIMA: bool, const SMALL: bool, const STEPS: usize>
    Product<'_, PANELS, MINIMA, SMALL, STEPS>
{
    /// Whether the weights are too large by a bias, as these lanes multiply them. Minima come without one.
    #[inline(always)]
    const fn has_bias<L: Lanes>() -> bool {
        if SMALL { !MINIMA } else { L::WIDE_BIAS != 0 }
    }

    /// A span's values: a chain over groups. Of all tiles, so many asks for memory are left.
    #[inline(always)]
    fn span<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        panels: [Groups<'_, STEPS>; PANELS],
        x: Rows<'_, ROWS, STEPS>,
        asks_left: usize,
    ) -> [[L::F; ROWS]; PANELS] {
        let n_groups = x.q.len();
        let mut acc = [[l.splat(0.0); ROWS]; PANELS];
        for first in (0..n_groups).step_by(ASKING) {
            for p in 0..PANELS {
                self.next[p].ask(l, asks_left - first / ASKING - 1);
            }
            for g in first..n_groups.min(first + ASKING) {
                // Looked up before anything is multiplied: a check of bounds after that would have compilers load
                // everything before it and multiply behind it.
                let (scales, scaled_sums) = (&x.scales[g * STEPS / 8], &x.scaled_sums[g]);
                let starts = if Self::has_bias::<L>() { &x.starts[g] } else { &[0; ROWS] };
                let mut weights = [&[Bytes::ZERO; STEPS]; PANELS];
                let mut of_weights = [(&Floats::ZERO, &Floats::ZERO); PANELS];
                for p in 0..PANELS {
                    weights[p] = &panels[p].steps[g];
                    of_weights[p] = (&panels[p].scales[g], &panels[p].minima[g]);
                }
                let products = self.integer_sums::<L, ROWS>(l, weights, &x.q[g], starts);
                for p in 0..PANELS {
                    let (weight_scales, minima) = (l.load(&of_weights[p].0.0), l.load(&of_weights[p].1.0));
                    for r in 0..ROWS {
                        let scale = l.mul(weight_scales, l.splat(scales[r]));
                        acc[p][r] = l.fma(l.to_float(products[p][r]), scale, acc[p][r]);
                        if MINIMA {
                            acc[p][r] = l.fma(minima, l.splat(scaled_sums[r]), acc[p][r]);
                        }
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
        weights: [&[Bytes; STEPS]; PANELS],
        q: &[[[i8; 4]; ROWS]; STEPS],
        starts: &[i32; ROWS],
    ) -> [[L::I; ROWS]; PANELS] {
        let mut start = [l.splat_int(0); ROWS];
        for r in 0..ROWS {
            start[r] = l.splat_int(starts[r]);
        }
        if let Range::Small { steps, .. } = self.range
            && SMALL
            && !L::WHOLE
        {
            let mut sums = [start; PANELS];
            for p in 0..PANELS {
                sums[p] = widened::<L, STEPS, ROWS>(l, steps, weights[p], q, start);
            }
            return sums;
        }
        let mut sums = [start; PANELS];
        for k in 0..STEPS {
            for r in 0..ROWS {
                let q = four(l, q[k][r]);
                for p in 0..PANELS {
                    let weights = l.load_bytes(&weights[p][k].0);
                    sums[p][r] = if SMALL {
                        l.whole_products(sums[p][r], weights, q)
                    } else {
                        l.wide_products(sums[p][r], weights, q)
                    };
                }
            }
        }
        sums
    }
}

/// A panel's groups. All slices are as long as said when they were made: what compilers know needs no check of bounds.
#[derive(Clone, Copy)]
struct Groups<'a, const STEPS: usize> {
    steps: &'a [[Bytes; STEPS]],
    scales: &'a [Floats],
    /// Anything if there are none.
    minima: &'a [Floats],
}

impl<'a, const STEPS: usize> Groups<'a, STEPS> {
    const NONE: Self = Groups { steps: &[], scales: &[], minima: &[] };

    #[inline(always)]
    fn new(panel: &Part<'a>, n: usize, has_minima: bool) -> Self {
        let minima = if has_minima { panel.minima } else { panel.scales };
        let (steps, _) = panel.steps.as_chunks();
        Groups { steps: &steps[..n], scales: &panel.scales[..n], minima: &minima[..n] }
    }

    #[inline(always)]
    fn part(self, first: usize, end: usize) -> Self {
        let n = end - first;
        Groups {
            steps: &self.steps[first..][..n],
            scales: &self.scales[first..][..n],
            minima: &self.minima[first..][..n],
        }
    }
}

/// A tile's rows, by groups, as [`Groups`].
#[derive(Clone, Copy)]
struct Rows<'a, const ROWS: usize, const STEPS: usize> {
    q: &'a [[[[i8; 4]; ROWS]; STEPS]],
    /// One for each 32 inputs.
    scales: &'a [[f32; ROWS]],
    /// Empty if weights have no bias.
    starts: &'a [[i32; ROWS]],
    scaled_sums: &'a [[f32; ROWS]],
}

impl<'a, const ROWS: usize, const STEPS: usize> Rows<'a, ROWS, STEPS> {
    #[inline(always)]
    fn new(x: &Tile<'a>, n: usize, has_bias: bool) -> Self {
        Rows {
            q: &x.q.as_chunks().0.as_chunks().0[..n],
            scales: &x.scales.as_chunks().0[..n * STEPS / 8],
            starts: &x.starts.as_chunks().0[..if has_bias { n } else { 0 }],
            scaled_sums: &x.scaled_sums.as_chunks().0[..n],
        }
    }

    #[inline(always)]
    fn part(self, first: usize, end: usize) -> Self {
        let n = end - first;
        let has_bias = !self.starts.is_empty();
        Rows {
            q: &self.q[first..][..n],
            scales: &self.scales[first * STEPS / 8..][..n * STEPS / 8],
            starts: &self.starts[if has_bias { first..end } else { 0..0 }],
            scaled_sums: &self.scaled_sums[first..][..n],
        }
    }
}

/// Sums of a group's products, small ones, widened after each stretch of steps whose products fit into 16 bits.
#[inline(always)]
fn widened<L: Lanes, const STEPS: usize, const ROWS: usize>(
    l: L,
    stretch: usize,
    weights: &[Bytes; STEPS],
    q: &[[[i8; 4]; ROWS]; STEPS],
    start: [L::I; ROWS],
) -> [L::I; ROWS] {
    // What sums start from comes last, and the first widening has nothing to add to: such lanes have few registers.
    let mut sums = [l.splat_int(0); ROWS];
    let mut end = stretch.min(STEPS);
    widen(l, &mut sums, products::<L, ROWS>(l, &weights[..end], &q[..end]));
    while end < STEPS {
        let next = STEPS.min(end + stretch);
        widen(l, &mut sums, products::<L, ROWS>(l, &weights[end..next], &q[end..next]));
        end = next;
    }
    for r in 0..ROWS {
        sums[r] = l.add_int(sums[r], start[r]);
    }
    sums
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
