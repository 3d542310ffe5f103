//! Rows of activations as int8.
//!
//! Rows stand in tiles, as many as a kernel multiplies at a time: of four inputs, all rows of a tile side by side, and so
//! of scales and sums. A kernel then reads one stream, whatever the number of rows.

use dewdrop_backend::quantize::{BLOCK, SUM};

use crate::body::quantize::Quantize;
use crate::body::tiles::Tiling;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::panel::{Form, PANEL_ROWS};
use crate::pool::Pool;

/// Quantized rows with what products need of them.
#[derive(Default)]
pub(crate) struct Activations {
    n_in: usize,
    /// The last tile's missing rows hold anything.
    tiling: Tiling,
    /// Whether they are few, and so in tiles of [`Tiling::few`].
    few: bool,
    q: Vec<[i8; 4]>,
    scales: Vec<f32>,
    by16: Sums,
    by32: Sums,
}

/// Sums of groups of integers.
#[derive(Default)]
struct Sums {
    plain: Vec<i32>,
    scaled: Vec<f32>,
    starts: Vec<Starts>,
}

/// What sums of products with biased weights start from, so that the bias goes away: `-bias` times [`Sums::plain`].
struct Starts {
    bias: i32,
    /// Empty if not computed for the present content.
    values: Vec<i32>,
}

/// A stretch of a tile of rows; every slice has the rows' values of an index side by side.
#[derive(Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// Four inputs each.
    pub(crate) q: &'a [[i8; 4]],
    /// One per 32 inputs.
    pub(crate) scales: &'a [f32],
    /// One per group: what the sum of its products starts from. Empty if weights have no bias.
    pub(crate) starts: &'a [i32],
    /// One per group: that times its scale, which minima are multiplied with.
    pub(crate) scaled_sums: &'a [f32],
}

impl Sums {
    /// Has starts for weights of a bias.
    fn start(&mut self, bias: i32) {
        let i = self.starts.iter().position(|starts| starts.bias == bias).unwrap_or_else(|| {
            self.starts.push(Starts { bias, values: Vec::new() });
            self.starts.len() - 1
        });
        let values = &mut self.starts[i].values;
        if values.is_empty() {
            values.extend(self.plain.iter().map(|sum| -bias * sum));
        }
    }

    /// # Panics
    /// If they were not computed.
    fn starts(&self, bias: i32) -> &[i32] {
        let starts = self.starts.iter().find(|starts| starts.bias == bias);
        &starts.expect("a bias that was announced").values
    }
}

impl Activations {
    /// Replaces the content by the rows of `x`, `[n_rows, n_in]`.
    pub(crate) fn fill(&mut self, isa: Isa, pool: &mut Pool, x: &[f32], n_in: usize) {
        assert!(n_in.is_multiple_of(BLOCK), "{n_in} inputs are no whole number of blocks of {BLOCK}");
        let (n_rows, shape) = (x.len() / n_in, isa.tile());
        self.few = n_rows <= shape.few_rows;
        let cut = match self.few {
            true => Tiling::few(n_rows, shape.rows.min(shape.few_rows)),
            false => Tiling::equal(n_rows, PANEL_ROWS),
        };
        (self.n_in, self.tiling) = (n_in, cut);
        self.resize(cut.n_places(), n_in);
        let (q, scales) = (Disjoint::new(&mut self.q), Disjoint::new(&mut self.scales));
        let (plain16, scaled16) = (Disjoint::new(&mut self.by16.plain), Disjoint::new(&mut self.by16.scaled));
        let (plain32, scaled32) = (Disjoint::new(&mut self.by32.plain), Disjoint::new(&mut self.by32.scaled));
        pool.run(cut.n_tiles(), &|_, tile| {
            let (rows, places) = (cut.rows(tile), cut.places(tile));
            let part = |unit: usize| places.start * n_in / unit..places.end * n_in / unit;
            // SAFETY: a tile's parts are this task's alone.
            let job = unsafe {
                Quantize {
                    x: &x[rows.start * n_in..rows.end * n_in],
                    n_in,
                    width: places.len(),
                    q: q.part(part(4)),
                    scales: scales.part(part(BLOCK)),
                    sums16: plain16.part(part(SUM)),
                    scaled_sums16: scaled16.part(part(SUM)),
                    sums32: plain32.part(part(BLOCK)),
                    scaled_sums32: scaled32.part(part(BLOCK)),
                }
            };
            isa.run(job);
        });
        for starts in self.by16.starts.iter_mut().chain(&mut self.by32.starts) {
            starts.values.clear();
        }
    }

    /// Gets ready for products with weights of a form.
    pub(crate) fn start(&mut self, isa: Isa, form: Form) {
        let bias = isa.bias(form.range);
        if bias != 0 {
            let sums = if form.group == SUM { &mut self.by16 } else { &mut self.by32 };
            sums.start(bias);
        }
    }

    /// Bytes for so many rows, and for weights of one bias for each size of groups.
    pub(crate) fn bytes(n_rows: usize, n_in: usize) -> usize {
        let n = n_rows * n_in;
        n + (n / BLOCK + 3 * (n / SUM + n / BLOCK)) * size_of::<f32>()
    }

    /// Makes room for so many rows; what is there means nothing then.
    pub(crate) fn resize(&mut self, n_rows: usize, n_in: usize) {
        let n = n_rows * n_in;
        self.q.resize(n / 4, [0; 4]);
        self.scales.resize(n / BLOCK, 0.0);
        for (sums, group) in [(&mut self.by16, SUM), (&mut self.by32, BLOCK)] {
            sums.plain.resize(n / group, 0);
            sums.scaled.resize(n / group, 0.0);
        }
    }

    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    /// Whether they are as few as weights are multiplied with while they are unpacked.
    pub(crate) fn are_few(&self) -> bool {
        self.few
    }

    pub(crate) fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// `n` inputs of a tile from `first` on, a multiple of 32 both, with what weights of a bias in groups of `group` need.
    ///
    /// # Panics
    /// If [`Activations::start`] was not called for them.
    #[inline(always)]
    pub(crate) fn tile(&self, tile: usize, first: usize, n: usize, group: usize, bias: i32) -> Tile<'_> {
        let places = self.tiling.places(tile);
        let (at, n) = (places.start * self.n_in + first * places.len(), n * places.len());
        let sums = if group == SUM { &self.by16 } else { &self.by32 };
        let starts = match bias {
            0 => &[],
            _ => &sums.starts(bias)[at / group..(at + n) / group],
        };
        Tile {
            q: &self.q[at / 4..(at + n) / 4],
            scales: &self.scales[at / BLOCK..(at + n) / BLOCK],
            starts,
            scaled_sums: &sums.scaled[at / group..(at + n) / group],
        }
    }
}
