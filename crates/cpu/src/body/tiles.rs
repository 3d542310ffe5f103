//! Tiles of rows: kernels multiply weights with one after another, of a number of rows that compilers know.

use std::ops::Range;

use crate::lanes::Lanes;

/// How rows are cut into tiles. All but the last are of one width.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tiling {
    n_rows: usize,
    width: usize,
    /// Of the last tile.
    last_width: usize,
}

impl Tiling {
    /// As few tiles as can be of at most `most` rows, as equal as can be.
    pub(crate) fn equal(n_rows: usize, most: usize) -> Self {
        let width = n_rows.div_ceil(n_rows.div_ceil(most).max(1));
        Tiling { n_rows, width, last_width: width }
    }

    /// Tiles of `most` rows and what is left, of widths for which each block type has a kernel: powers of two and 6.
    pub(crate) fn few(n_rows: usize, most: usize) -> Self {
        let last_width = match n_rows.saturating_sub(1) % most + 1 {
            5 | 6 => 6,
            n_left => n_left.next_power_of_two(),
        };
        Tiling { n_rows, width: most, last_width }
    }

    pub(crate) fn n_tiles(self) -> usize {
        self.n_rows.div_ceil(self.width.max(1))
    }

    /// Rows of all tiles, with those that the last one lacks.
    pub(crate) fn n_places(self) -> usize {
        self.places(self.n_tiles().saturating_sub(1)).end
    }

    #[inline(always)]
    pub(crate) fn width(self, tile: usize) -> usize {
        if tile + 1 == self.n_tiles() { self.last_width } else { self.width }
    }

    /// A tile's rows, and those that it lacks.
    #[inline(always)]
    pub(crate) fn places(self, tile: usize) -> Range<usize> {
        let first = tile * self.width;
        first..first + self.width(tile)
    }

    /// A tile's rows.
    #[inline(always)]
    pub(crate) fn rows(self, tile: usize) -> Range<usize> {
        let Range { start, end } = self.places(tile);
        start..end.min(self.n_rows)
    }
}

/// What is done to one tile. To be `#[inline(always)]`.
pub(super) trait Tiled {
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize);
}

/// Does it to all tiles.
#[inline(always)]
pub(super) fn by_tiles<L: Lanes>(l: L, tiled: &impl Tiled, tiling: Tiling) {
    for tile in 0..tiling.n_tiles() {
        match tiling.width(tile) {
            1 => tiled.tile::<L, 1>(l, tile),
            2 => tiled.tile::<L, 2>(l, tile),
            3 => tiled.tile::<L, 3>(l, tile),
            4 => tiled.tile::<L, 4>(l, tile),
            5 if L::WIDE => tiled.tile::<L, 5>(l, tile),
            6 if L::WIDE => tiled.tile::<L, 6>(l, tile),
            7 if L::WIDE => tiled.tile::<L, 7>(l, tile),
            8 if L::WIDE => tiled.tile::<L, 8>(l, tile),
            width => unreachable!("tiles of {width} rows"),
        }
    }
}
