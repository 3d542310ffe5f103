//! Tiles of rows: kernels multiply a panel with one after another, of a number of rows that compilers know.

use crate::lanes::Lanes;

/// Rows of each tile, `most` or fewer: as few tiles as can be, as equal as can be. [`by_tiles`] has kernels for them.
pub(crate) fn tile_width(n_rows: usize, most: usize) -> usize {
    let width = n_rows.div_ceil(n_rows.div_ceil(most).max(1)).max(1);
    if width > 4 { width.next_multiple_of(2) } else { width }
}

/// What is done to one tile. To be `#[inline(always)]`.
pub(super) trait Tiled {
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize);
}

/// Does it to all of `n_tiles` tiles of `width` rows.
#[inline(always)]
pub(super) fn by_tiles<L: Lanes>(l: L, tiled: &impl Tiled, n_tiles: usize, width: usize) {
    for tile in 0..n_tiles {
        match width {
            1 => tiled.tile::<L, 1>(l, tile),
            2 => tiled.tile::<L, 2>(l, tile),
            3 => tiled.tile::<L, 3>(l, tile),
            4 => tiled.tile::<L, 4>(l, tile),
            6 if L::WIDE => tiled.tile::<L, 6>(l, tile),
            8 if L::WIDE => tiled.tile::<L, 8>(l, tile),
            width => unreachable!("tiles of {width} rows"),
        }
    }
}
