//! A panel of sixteen channels times quantized rows: the kernel under all quantized matrices.

use crate::activations::{Activations, RowPart};
use crate::disjoint::Disjoint;
use crate::lanes::{Floats, Job, Lanes};
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
        let n_rows = self.activations.n_rows();
        let mut row = 0;
        while row < n_rows {
            row += match n_rows - row {
                1 => self.rows::<L, 1>(l, row),
                2 => self.rows::<L, 2>(l, row),
                3 => self.rows::<L, 3>(l, row),
                left if left < 8 || L::TILE_ROWS < 8 => self.rows::<L, 4>(l, row),
                _ => self.rows::<L, 8>(l, row),
            };
        }
    }
}

impl<const MINIMA: bool, const SMALL: bool> Product<'_, MINIMA, SMALL> {
    /// A tile of `ROWS` rows; yields their number.
    #[inline(always)]
    fn rows<L: Lanes, const ROWS: usize>(&self, l: L, first_row: usize) -> usize {
        let n_inputs = 4 * self.panel.steps.len();
        let mut rows = [self.activations.part(first_row, self.first_input, n_inputs, self.group); ROWS];
        for r in 1..ROWS {
            rows[r] = self.activations.part(first_row + r, self.first_input, n_inputs, self.group);
        }
        let values = self.tile(l, &rows);
        for r in 0..ROWS {
            // SAFETY: the columns are this task's alone (`product`'s contract).
            unsafe { self.target.put(first_row + r, values[r]) };
        }
        ROWS
    }

    /// A span's values: a chain over groups.
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, rows: &[RowPart<'_>; ROWS]) -> [Floats; ROWS] {
        let mut acc = [l.splat(0.0); ROWS];
        for (g, weight_scales) in self.panel.scales.iter().enumerate() {
            let sums = self.integer_sums(l, g, rows);
            let weight_scales = l.load(&weight_scales.0);
            for r in 0..ROWS {
                let s = rows[r].scales[g * self.group / 32];
                let sum = l.to_float(sums[r]);
                acc[r] = l.fma(sum, l.mul(weight_scales, l.splat(s)), acc[r]);
                if MINIMA {
                    let minima = l.load(&self.panel.minima[g].0);
                    acc[r] = l.fma(minima, l.splat(rows[r].scaled_sums[g]), acc[r]);
                }
            }
        }
        let mut values = [Floats::ZERO; ROWS];
        for r in 0..ROWS {
            l.store(acc[r], &mut values[r].0);
        }
        values
    }

    /// Exact sums of one group's products.
    #[inline(always)]
    fn integer_sums<L: Lanes, const ROWS: usize>(
        &self,
        l: L,
        g: usize,
        rows: &[RowPart<'_>; ROWS],
    ) -> [L::I; ROWS] {
        let bias = if SMALL { self.bias } else { L::WIDE_BIAS };
        let n_steps = self.group / 4;
        let steps = &self.panel.steps[g * n_steps..][..n_steps];
        let mut sums = [l.splat_int(0); ROWS];
        let mut q = [&rows[0].q[..0]; ROWS];
        for r in 0..ROWS {
            q[r] = &rows[r].q[g * n_steps..][..n_steps];
            if bias != 0 {
                sums[r] = l.splat_int(-bias * rows[r].sums[g]);
            }
        }
        if !SMALL {
            for k in 0..n_steps {
                let weights = l.load_bytes(&steps[k].0);
                for r in 0..ROWS {
                    sums[r] = l.wide_products(sums[r], weights, four(l, q[r][k]));
                }
            }
            return sums;
        }
        let mut first = 0;
        while first < n_steps {
            let mut partial = [l.no_products(); ROWS];
            for k in first..first + self.steps {
                let weights = l.load_bytes(&steps[k].0);
                for r in 0..ROWS {
                    partial[r] = l.products(partial[r], weights, four(l, q[r][k]));
                }
            }
            for r in 0..ROWS {
                sums[r] = l.widen(sums[r], partial[r]);
            }
            first += self.steps;
        }
        sums
    }
}

/// Four activations, for all channels.
#[inline(always)]
pub(crate) fn four<L: Lanes>(l: L, q: [i8; 4]) -> L::I {
    l.splat_int(i32::from_le_bytes(q.map(i8::cast_unsigned)))
}
