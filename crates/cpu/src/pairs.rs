//! Rows of activations as bfloat16, for products with bfloat16 weights.
//!
//! Rows stand in tiles, as [`crate::activations`] has them: of two inputs, all rows of a tile side by side.

use crate::body::round::Round;
use crate::body::tiles::tile_width;
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::pool::Pool;

/// Rounded rows and their scales.
#[derive(Default)]
pub(crate) struct Pairs {
    n_in: usize,
    n_rows: usize,
    /// Rows of a tile. The last tile's missing rows hold anything.
    width: usize,
    /// Of each pair of inputs; where their number is odd, the last one's partner is zero.
    words: Vec<u32>,
    words_per_pair: usize,
    scales: Vec<f32>,
}

impl Pairs {
    /// Replaces the content by the rows of `x`, `[n_rows, n_in]`.
    pub(crate) fn fill(&mut self, isa: Isa, pool: &mut Pool, x: &[f32], n_in: usize) {
        (self.n_in, self.n_rows) = (n_in, x.len() / n_in);
        self.width = tile_width(self.n_rows, isa.tile().rows);
        self.words_per_pair = isa.words_per_pair();
        let (width, of_tile) = (self.width, self.words_per_tile());
        self.words.resize(self.n_tiles() * of_tile, 0);
        self.scales.resize(self.n_tiles() * width, 0.0);
        let n_tiles = self.n_tiles();
        let (words, scales) = (Disjoint::new(&mut self.words), Disjoint::new(&mut self.scales));
        pool.run(n_tiles, &|_, tile| {
            let rows = tile * width * n_in..x.len().min((tile + 1) * width * n_in);
            // SAFETY: a tile's parts are this task's alone.
            let (words, scales) = unsafe {
                (
                    words.part(tile * of_tile..(tile + 1) * of_tile),
                    scales.part(tile * width..(tile + 1) * width),
                )
            };
            isa.run_pairs(Round { x: &x[rows], n_in, width, words, scales });
        });
    }

    /// Bytes for so many rows, at most.
    pub(crate) fn bytes(n_rows: usize, n_in: usize) -> usize {
        n_rows * (2 * n_in.div_ceil(2) + 1) * size_of::<u32>()
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    fn words_per_tile(&self) -> usize {
        self.n_in.div_ceil(2) * self.words_per_pair * self.width
    }

    /// Rows of a tile.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn n_tiles(&self) -> usize {
        self.n_rows.div_ceil(self.width)
    }

    /// A tile's words, `[n_pairs, words of a pair, width]`, and its rows' scales.
    #[inline(always)]
    pub(crate) fn tile(&self, tile: usize) -> (&[u32], &[f32]) {
        let of_tile = self.words_per_tile();
        (&self.words[tile * of_tile..][..of_tile], &self.scales[tile * self.width..][..self.width])
    }
}
