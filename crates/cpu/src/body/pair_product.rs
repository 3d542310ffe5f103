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

struct PairProduct<'a> {
    panel: PairPanel<'a>,
    x: &'a Pairs,
    target: Target<'a>,
    next: Next,
    /// One of so many vectors of weights asks for the line that is needed a while later; none if there are several tiles,
    /// which ask for what is next.
    asking: Option<usize>,
}

/// Multiplies a panel with all rows. As many bytes from `soon` on are needed next; if there are none, those that follow.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(crate) unsafe fn pair_product(
    isa: Isa,
    panel: PairPanel<'_>,
    x: &Pairs,
    target: Target<'_>,
    soon: Option<*const u8>,
) {
    let (bytes, n_tiles) = (panel.as_flattened(), x.tiling().n_tiles());
    let asks = soon.is_none() && n_tiles == 1;
    let next = match soon.unwrap_or(bytes.as_ptr_range().end) {
        _ if asks => Next::NOTHING,
        at => Next::new(at, bytes.len(), n_tiles * panel.len().div_ceil(ASKING)),
    };
    let asking = asks.then(|| if isa.follows_streams() { SPARSE } else { 1 });
    isa.run_pairs(PairProduct { panel, x, target, next, asking });
}

impl Job for PairProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        by_tiles(l, &self, self.x.tiling());
    }
}

impl Tiled for PairProduct<'_> {
    #[inline(always)]
    fn tile<L: Lanes, const ROWS: usize>(&self, l: L, tile: usize) {
        let (x, scales) = self.x.tile(tile);
        let (x, n_tiles) = (x.as_chunks::<ROWS>().0, self.x.tiling().n_tiles());
        let words = L::PAIR_WORDS;
        let rows = self.x.tiling().rows(tile);
        self.target.ask(l, rows.clone());
        let mut asks_left = (n_tiles - tile) * self.panel.len().div_ceil(ASKING);
        let mut values = [l.splat(0.0); ROWS];
        for first in (0..self.panel.len()).step_by(SPAN_PAIRS) {
            let end = self.panel.len().min(first + SPAN_PAIRS);
            let (panel, x) = (&self.panel[first..end], &x[words * first..words * end]);
            let mut acc = [l.splat(0.0); ROWS];
            for (panel, x) in panel.chunks(ASKING).zip(x.chunks(words * ASKING)) {
                asks_left -= 1;
                self.next.ask(l, asks_left);
                acc = stretch(l, panel, x, acc, self.asking);
            }
            for r in 0..ROWS {
                let value = l.mul(acc[r], l.splat(scales[r]));
                values[r] = if first == 0 { value } else { l.add(values[r], value) };
            }
        }
        // SAFETY: the columns are this task's alone (`pair_product`'s contract).
        unsafe { self.target.put(l, rows.start, &values[..rows.len()]) };
    }
}

/// Takes the chains over some pairs.
#[inline(always)]
fn stretch<L: Lanes, const ROWS: usize>(
    l: L,
    panel: PairPanel<'_>,
    x: &[[u32; ROWS]],
    mut acc: [L::F; ROWS],
    asking: Option<usize>,
) -> [L::F; ROWS] {
    let words = L::PAIR_WORDS;
    for (i, (w, x)) in panel.iter().zip(x.chunks_exact(words)).enumerate() {
        if asking == Some(1) || asking == Some(SPARSE) && i.is_multiple_of(SPARSE) {
            l.prefetch_far(w.as_ptr().wrapping_add(AHEAD));
        }
        let w = l.load_bytes(w);
        for r in 0..ROWS {
            acc[r] = l.pairs(acc[r], w, [x[0][r], x[words - 1][r]]);
        }
    }
    acc
}
