//! Sixteen channels of bfloat16 weights times rows: pairs of inputs, channels as lanes.

use super::next::{AHEAD, Next, SPARSE};
use super::target::Target;
use super::tiles::{Tiled, by_tiles};
use crate::isa::Isa;
use crate::lanes::{Job, Lanes};
use crate::pairs::Pairs;
use crate::panel::SPAN;

/// Pairs of a span.
const SPAN_PAIRS: usize = SPAN / 2;

/// Pairs for which memory is asked for at once.
const ASKING: usize = 32;

/// `[n_pairs]`: two inputs of each of sixteen channels.
pub(crate) type PairPanel<'a> = &'a [[u8; 64]];

struct PairProduct<'a, const PANELS: usize> {
    panels: [PairPanel<'a>; PANELS],
    x: &'a Pairs,
    target: Target<'a>,
    next: Next,
    /// One of so many vectors of weights asks for the line that is needed a while later; none if there are several tiles,
    /// which ask for what is next.
    asking: Option<usize>,
}

/// Multiplies panels side by side, which lie one after another, with all rows. As many bytes from `soon` on are needed next; if
/// there are none, those that follow.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(crate) unsafe fn pair_product<const PANELS: usize>(
    isa: Isa,
    panels: [PairPanel<'_>; PANELS],
    x: &Pairs,
    target: Target<'_>,
    soon: Option<*const u8>,
) {
    let (n_tiles, n_pairs) = (x.tiling().n_tiles(), panels[0].len());
    let asks = soon.is_none() && n_tiles == 1;
    let next = match soon.unwrap_or(panels[PANELS - 1].as_flattened().as_ptr_range().end) {
        _ if asks => Next::NOTHING,
        at => Next::new(at, PANELS * size_of_val(panels[0]), n_tiles * n_pairs.div_ceil(ASKING)),
    };
    let asking = asks.then(|| if isa.follows_streams() { SPARSE } else { 1 });
    isa.run_pairs(PairProduct { panels, x, target, next, asking });
}

impl<const PANELS: usize> Job for PairProduct<'_, PANELS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if PANELS > L::TILE_PANELS {
            unreachable!("{PANELS} panels side by side, for which there are no registers");
        }
        by_tiles(l, &self, self.x.tiling());
    }
}

impl<const PANELS: usize> Tiled for PairProduct<'_, PANELS> {
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize) {
        let (x, scales) = self.x.tile(tile);
        let (x, n_tiles) = (x.as_chunks::<ROWS>().0, self.x.tiling().n_tiles());
        let (words, n_pairs) = (L::PAIR_WORDS, self.panels[0].len());
        let rows = self.x.tiling().rows(tile);
        self.target.ask(l, rows.clone());
        let mut asks_left = (n_tiles - tile) * n_pairs.div_ceil(ASKING);
        let mut values = [[l.splat(0.0); ROWS]; PANELS];
        for first in (0..n_pairs).step_by(SPAN_PAIRS) {
            let end = n_pairs.min(first + SPAN_PAIRS);
            let mut acc = [[l.splat(0.0); ROWS]; PANELS];
            for first in (first..end).step_by(ASKING) {
                let end = end.min(first + ASKING);
                asks_left -= 1;
                self.next.ask(l, asks_left);
                let mut panels = self.panels;
                for p in 0..PANELS {
                    panels[p] = &panels[p][first..end];
                }
                acc = stretch(l, panels, &x[words * first..words * end], acc, self.asking);
            }
            for p in 0..PANELS {
                for r in 0..ROWS {
                    let value = l.mul(acc[p][r], l.splat(scales[r]));
                    values[p][r] = if first == 0 { value } else { l.add(values[p][r], value) };
                }
            }
        }
        for p in 0..PANELS {
            // SAFETY: the columns are this task's alone (`pair_product`'s contract).
            unsafe { self.target.sixteen(p).put(l, rows.start, &values[p][..rows.len()]) };
        }
    }
}

/// Takes the chains over some pairs.
#[inline(always)]
fn stretch<L: Lanes, const PANELS: usize, const ROWS: usize>(
    l: L,
    mut panels: [PairPanel<'_>; PANELS],
    x: &[[u32; ROWS]],
    mut acc: [[L::F; ROWS]; PANELS],
    asking: Option<usize>,
) -> [[L::F; ROWS]; PANELS] {
    let (words, n_pairs) = (L::PAIR_WORDS, panels[0].len());
    for p in 0..PANELS {
        panels[p] = &panels[p][..n_pairs];
    }
    for (i, x) in x.chunks_exact(words).enumerate().take(n_pairs) {
        if asking == Some(1) || asking == Some(SPARSE) && i.is_multiple_of(SPARSE) {
            l.prefetch_far(panels[0][i].as_ptr().wrapping_add(AHEAD));
        }
        for r in 0..ROWS {
            for p in 0..PANELS {
                acc[p][r] = l.pairs(acc[p][r], l.load_bytes(&panels[p][i]), [x[0][r], x[words - 1][r]]);
            }
        }
    }
    acc
}
