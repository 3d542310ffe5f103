//! A panel of sixteen channels times quantized rows: the kernel under all quantized matrices.

use crate::activations::{Activations, Tile};
use crate::disjoint::Disjoint;
use crate::lanes::{Bytes, Floats, Job, Lanes};
use crate::panel::{CHANNELS, Form, Part, Range};

/// Where a product's values go: `[n_rows, n_out]`, of which this one owns some columns.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) out: Disjoint<'a, f32>,
    pub(crate) n_out: usize,
    /// The first of this product's channels, and their number: at most sixteen.
    pub(crate) channel: usize,
    pub(crate) n_channels: usize,
    /// Whether there are values of earlier spans to add to.
    pub(crate) first: bool,
    /// What follows the last span.
    pub(crate) end: Option<End<'a>>,
}

/// `out = old + (out + bias)`.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    /// `[n_out]`.
    pub(crate) bias: Option<&'a [f32]>,
    /// `[n_rows, n_out]`.
    pub(crate) old: Option<&'a [f32]>,
}

impl Target<'_> {
    /// Takes one span's values of a row.
    ///
    /// # Safety
    /// These columns are the present task's alone.
    #[inline(always)]
    pub(crate) unsafe fn put(&self, row: usize, mut y: Floats) {
        let at = row * self.n_out + self.channel;
        // SAFETY: by the caller.
        let out = unsafe { self.out.part(at..at + self.n_channels) };
        if !self.first {
            for (y, sum) in y.0.iter_mut().zip(&*out) {
                *y += sum;
            }
        }
        if let Some(end) = self.end {
            if let Some(bias) = end.bias {
                add(&mut y.0, &bias[self.channel..][..self.n_channels]);
            }
            if let Some(old) = end.old {
                add(&mut y.0, &old[at..at + self.n_channels]);
            }
        }
        out.copy_from_slice(&y.0[..out.len()]);
    }
}

#[inline(always)]
fn add(values: &mut [f32; CHANNELS], terms: &[f32]) {
    for (value, term) in values.iter_mut().zip(terms) {
        *value += term;
    }
}

/// One span of sixteen channels for all rows. The parameters are of the panel's [`Form`]: whether it has minima, and
/// whether its integers are small. What else there is to know of it are plain values, so that loops over steps stay
/// loops: unrolled, they would be taken apart and need more registers than there are.
struct Product<'a, const MINIMA: bool, const SMALL: bool> {
    panel: Part<'a>,
    /// Weights that share a scale.
    group: usize,
    /// Steps whose products fit into 16 bits, if small.
    steps: usize,
    bias: i32,
    activations: &'a Activations,
    first_input: usize,
    target: Target<'a>,
}

/// Multiplies a span, `panel`, with all rows.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(crate) unsafe fn product(
    isa: crate::isa::Isa,
    form: Form,
    panel: Part<'_>,
    activations: &Activations,
    first_input: usize,
    target: Target<'_>,
) {
    let (steps, bias) = match form.range {
        Range::Signed => (0, 0),
        Range::Small { bias, steps } => (steps, bias),
    };
    macro_rules! run {
        ($minima:literal, $small:literal) => {
            isa.run(Product::<$minima, $small> {
                panel,
                group: form.group,
                steps,
                bias,
                activations,
                first_input,
                target,
            })
        };
    }
    match (form.minima, form.range) {
        (false, Range::Signed) => run!(false, false),
        (true, Range::Signed) => run!(true, false),
        (false, Range::Small { .. }) => run!(false, true),
        (true, Range::Small { .. }) => run!(true, true),
    }
}

impl<const MINIMA: bool, const SMALL: bool> Job for Product<'_, MINIMA, SMALL> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for tile in 0..self.activations.n_tiles() {
            match self.activations.width() {
                1 => self.tile::<L, 1>(l, tile),
                2 => self.tile::<L, 2>(l, tile),
                3 => self.tile::<L, 3>(l, tile),
                4 => self.tile::<L, 4>(l, tile),
                5 if L::TILE_ROWS > 4 => self.tile::<L, 5>(l, tile),
                6 if L::TILE_ROWS > 4 => self.tile::<L, 6>(l, tile),
                7 if L::TILE_ROWS > 4 => self.tile::<L, 7>(l, tile),
                8 if L::TILE_ROWS > 4 => self.tile::<L, 8>(l, tile),
                width => unreachable!("tiles of {width} rows"),
            }
        }
    }
}

impl<const MINIMA: bool, const SMALL: bool> Product<'_, MINIMA, SMALL> {
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize) {
        let n_inputs = 4 * self.panel.steps.len();
        let x = self.activations.tile(tile, self.first_input, n_inputs, self.group);
        let values = self.values::<L, ROWS>(l, x);
        let first_row = tile * ROWS;
        for r in 0..ROWS.min(self.activations.n_rows() - first_row) {
            // SAFETY: the columns are this task's alone (`product`'s contract).
            unsafe { self.target.put(first_row + r, values[r]) };
        }
    }

    /// A span's values: a chain over groups.
    #[inline(always)]
    fn values<L: Lanes, const ROWS: usize>(&self, l: L, x: Tile<'_>) -> [Floats; ROWS] {
        let n_steps = self.group / 4;
        let bias = l.splat(if SMALL { -self.bias } else { -L::WIDE_BIAS } as f32);
        let has_bias = !SMALL && L::WIDE_BIAS != 0 || SMALL && !MINIMA;
        let (scales, _) = x.scales.as_chunks::<ROWS>();
        let (sums, scaled_sums) = (x.sums.as_chunks::<ROWS>().0, x.scaled_sums.as_chunks::<ROWS>().0);
        let steps = self.panel.steps.chunks_exact(n_steps).zip(x.q.chunks_exact(n_steps * ROWS));
        let mut acc = [l.splat(0.0); ROWS];
        for (g, (steps, q)) in steps.enumerate() {
            let products = self.integer_sums::<L, ROWS>(l, steps, q);
            let (weight_scales, s) = (l.load(&self.panel.scales[g].0), &scales[g * self.group / 32]);
            for r in 0..ROWS {
                let mut sum = l.to_float(products[r]);
                if has_bias {
                    // All whole and below 2^24, so exact.
                    sum = l.fma(bias, l.splat(sums[g][r]), sum);
                }
                acc[r] = l.fma(sum, l.mul(weight_scales, l.splat(s[r])), acc[r]);
                if MINIMA {
                    acc[r] = l.fma(l.load(&self.panel.minima[g].0), l.splat(scaled_sums[g][r]), acc[r]);
                }
            }
        }
        let mut values = [Floats::ZERO; ROWS];
        for r in 0..ROWS {
            l.store(acc[r], &mut values[r].0);
        }
        values
    }

    /// Exact sums of one group's products, but for the bias.
    #[inline(always)]
    fn integer_sums<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        steps: &[Bytes],
        q: &[[i8; 4]],
    ) -> [L::I; ROWS] {
        let mut sums = [l.splat_int(0); ROWS];
        if !SMALL {
            for (step, q) in steps.iter().zip(q.as_chunks::<ROWS>().0) {
                let weights = l.load_bytes(&step.0);
                for r in 0..ROWS {
                    sums[r] = l.wide_products(sums[r], weights, four(l, q[r]));
                }
            }
            return sums;
        }
        for (steps, q) in steps.chunks_exact(self.steps).zip(q.chunks_exact(self.steps * ROWS)) {
            let mut partial = [l.no_products(); ROWS];
            for (step, q) in steps.iter().zip(q.as_chunks::<ROWS>().0) {
                let weights = l.load_bytes(&step.0);
                for r in 0..ROWS {
                    partial[r] = l.products(partial[r], weights, four(l, q[r]));
                }
            }
            for r in 0..ROWS {
                sums[r] = l.widen(sums[r], partial[r]);
            }
        }
        sums
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
