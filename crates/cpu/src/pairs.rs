//! Rows of activations as bfloat16, for products with bfloat16 weights.
//!
//! Rows stand in tiles, as [`crate::activations`] has them: of two inputs, all rows of a tile side by side.

use crate::body::round::Round;
use crate::body::tiles::Tiling;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::pool::Pool;

/// Rounded rows and their scales.
#[derive(Default)]
pub(crate) struct Pairs {
    n_in: usize,
    /// The last tile's missing rows hold anything.
    tiling: Tiling,
    /// Of each pair of inputs; where their number is odd, the last one's partner is zero.
    words: Vec<u32>,
    words_per_pair: usize,
    scales: Vec<f32>,
}

impl Pairs {
    /// Replaces the content by the rows of `x`, `[n_rows, n_in]`.
    pub(crate) fn fill(&mut self, isa: Isa, pool: &mut Pool, x: &[f32], n_in: usize) {
        let cut = Tiling::equal(x.len() / n_in, isa.tile().rows);
        (self.n_in, self.tiling, self.words_per_pair) = (n_in, cut, isa.words_per_pair());
        let per_row = self.words_per_row();
        self.words.resize(cut.n_places() * per_row, 0);
        self.scales.resize(cut.n_places(), 0.0);
        let (words, scales) = (Disjoint::new(&mut self.words), Disjoint::new(&mut self.scales));
        pool.run(cut.n_tiles(), &|_, tile| {
            let (rows, places) = (cut.rows(tile), cut.places(tile));
            // SAFETY: a tile's parts are this task's alone.
            let job = unsafe {
                Round {
                    x: &x[rows.start * n_in..rows.end * n_in],
                    n_in,
                    width: places.len(),
                    words: words.part(places.start * per_row..places.end * per_row),
                    scales: scales.part(places),
                }
            };
            isa.run_pairs(job);
        });
    }

    /// Bytes for so many rows, at most.
    pub(crate) fn bytes(n_rows: usize, n_in: usize) -> usize {
        n_rows * (2 * n_in.div_ceil(2) + 1) * size_of::<u32>()
    }

    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    fn words_per_row(&self) -> usize {
        self.n_in.div_ceil(2) * self.words_per_pair
    }

    pub(crate) fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// A tile's words, `[n_pairs, words of a pair, width]`, and its rows' scales.
    #[inline(always)]
    pub(crate) fn tile(&self, tile: usize) -> (&[u32], &[f32]) {
        let (places, per_row) = (self.tiling.places(tile), self.words_per_row());
        (&self.words[places.start * per_row..places.end * per_row], &self.scales[places])
    }
}
