//! Few rows times rearranged blocks: multiplied as they are unpacked, in registers.

use std::marker::PhantomData;

use super::blocks::Block;
use super::{Packing, Sink};
use crate::activations::{Activations, Tile};
use crate::body::integer_product::four;
use crate::body::next::{AHEAD, LINE, SPARSE};
use crate::body::target::Target;
use crate::isa::Isa;
use crate::lanes::{Floats, Job, Lanes};
use crate::panel::{CHANNELS, PartMut, Range, SPAN};

/// Some channels and a tile of rows.
pub(crate) struct FewRows<'a> {
    /// Their rearranged blocks.
    pub(crate) bytes: &'a [u8],
    /// Where as many lie that are needed next; none if those are the ones that follow, and there is one tile.
    pub(crate) soon: Option<*const u8>,
    pub(crate) x: &'a Activations,
    pub(crate) tile: usize,
    /// Where all their inputs' products go.
    pub(crate) target: Target<'a>,
    /// Room for the scales of a block.
    pub(crate) room: PartMut<'a>,
}

/// Multiplies the channels with the rows.
///
/// # Safety
/// The target's columns are the present task's alone.
pub(super) unsafe fn multiply<P: Packing>(isa: Isa, rows: FewRows<'_>) {
    match rows.x.tiling().width(rows.tile) {
        1 => isa.run(Multiply::<P, 1>::new(isa, rows)),
        2 => isa.run(Multiply::<P, 2>::new(isa, rows)),
        4 => isa.run(Multiply::<P, 4>::new(isa, rows)),
        6 => isa.run(Multiply::<P, 6>::new(isa, rows)),
        8 => isa.run(Multiply::<P, 8>::new(isa, rows)),
        width => unreachable!("{width} rows as few ones"),
    }
}

struct Multiply<'a, P, const ROWS: usize> {
    rows: FewRows<'a>,
    ahead: Ahead,
    /// Whether only one of [`SPARSE`] lines is asked for.
    sparse: bool,
    of: PhantomData<P>,
}

/// Which bytes are asked for: some that are needed a while after the present ones. All tiles read the same bytes, so each
/// asks for its share of what follows.
struct Ahead {
    at: *const u8,
    /// So many blocks ask for the same ones, of which so many did.
    turns: usize,
    turn: usize,
}

impl Ahead {
    fn new<P: Packing>(rows: &FewRows<'_>) -> Self {
        let Some(soon) = rows.soon else {
            return Ahead { at: rows.bytes.as_ptr().wrapping_add(AHEAD), turns: 1, turn: 0 };
        };
        let (turns, n_blocks) = (rows.x.tiling().n_tiles(), rows.bytes.len() / (CHANNELS * P::BYTES));
        let share = n_blocks.div_ceil(turns) * CHANNELS * P::BYTES;
        Ahead { at: soon.wrapping_add(rows.tile * share), turns, turn: 0 }
    }

    /// Past a block.
    #[inline(always)]
    fn advance(&mut self, block_bytes: usize) {
        self.turn += 1;
        if self.turn == self.turns {
            (self.turn, self.at) = (0, self.at.wrapping_add(block_bytes));
        }
    }
}

impl<'a, P: Packing, const ROWS: usize> Multiply<'a, P, ROWS> {
    fn new(isa: Isa, rows: FewRows<'a>) -> Self {
        let ahead = Ahead::new::<P>(&rows);
        let sparse = P::SMOOTH && ROWS <= 2 && rows.soon.is_none() && isa.follows_streams();
        Multiply { rows, ahead, sparse, of: PhantomData }
    }
}

impl<P: Packing, const ROWS: usize> Job for Multiply<'_, P, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        if ROWS > L::TILE_ROWS.min(L::FEW_ROWS) {
            unreachable!("{ROWS} rows, for which there are no registers");
        }
        let (n, channels) = (self.rows.x.n_in() / P::LEN * CHANNELS * P::BYTES, self.rows.target);
        for (i, bytes) in self.rows.bytes.chunks_exact(n).enumerate() {
            self.sixteen(l, bytes, channels.sixteen(i));
        }
    }
}

impl<P: Packing, const ROWS: usize> Multiply<'_, P, ROWS> {
    /// Sixteen channels, or what is left of them: span after span.
    #[inline(always)]
    fn sixteen<L: Lanes>(&mut self, l: L, bytes: &[u8], target: Target<'_>) {
        let (x, tile) = (self.rows.x, self.rows.tile);
        let (n_blocks, rows) = (x.n_in() / P::LEN, x.tiling().rows(tile));
        for first in (0..n_blocks).step_by(SPAN / P::LEN) {
            let end = n_blocks.min(first + SPAN / P::LEN);
            let (first_input, n) = (first * P::LEN, (end - first) * P::LEN);
            let inputs = x.tile(tile, first_input, n, P::FORM.group, P::FORM.range.bias::<L>());
            let inputs = Inputs::new(&inputs);
            let bytes = &bytes[first * CHANNELS * P::BYTES..end * CHANNELS * P::BYTES];
            let mut acc = [l.splat(0.0); ROWS];
            for (b, bytes) in bytes.chunks_exact(CHANNELS * P::BYTES).enumerate() {
                let inputs = inputs.part::<L, P>(b, P::UNITS * P::UNIT);
                acc = self.block(l, bytes, inputs, acc);
            }
            let target = target.part(first == 0, end == n_blocks);
            for r in 0..rows.len().min(ROWS) {
                // SAFETY: the columns are this task's alone (`multiply`'s contract).
                if let Some(before) = unsafe { target.before(l, rows.start + r) } {
                    acc[r] = l.add(before, acc[r]);
                }
            }
            // SAFETY: the columns are this task's alone (`multiply`'s contract).
            unsafe { target.put(l, rows.start, &acc[..rows.len().min(ROWS)]) };
        }
    }
}

/// The rows' inputs to some groups.
#[derive(Clone, Copy)]
struct Inputs<'a, const ROWS: usize> {
    q: &'a [[[i8; 4]; ROWS]],
    /// One for each 32 inputs.
    scales: &'a [[f32; ROWS]],
    /// Empty if weights have no bias.
    starts: &'a [[i32; ROWS]],
    scaled_sums: &'a [[f32; ROWS]],
}

impl<'a, const ROWS: usize> Inputs<'a, ROWS> {
    #[inline(always)]
    fn new(x: &Tile<'a>) -> Self {
        let Tile { q, scales, starts, scaled_sums } = x;
        Inputs {
            q: q.as_chunks().0,
            scales: scales.as_chunks().0,
            starts: starts.as_chunks().0,
            scaled_sums: scaled_sums.as_chunks().0,
        }
    }

    /// Those to part `i`, of `n_groups` groups: of lengths that compilers know, so that nothing in it needs a check of bounds.
    #[inline(always)]
    fn part<L: Lanes, P: Packing>(self, i: usize, n_groups: usize) -> Self {
        let n = n_groups * P::FORM.group;
        let n_starts = if P::FORM.range.bias::<L>() == 0 { 0 } else { n_groups };
        Inputs {
            q: &self.q[i * (n / 4)..][..n / 4],
            scales: &self.scales[i * (n / 32)..][..n / 32],
            starts: &self.starts[i * n_starts..][..n_starts],
            scaled_sums: &self.scaled_sums[i * n_groups..][..n_groups],
        }
    }
}

impl<P: Packing, const ROWS: usize> Multiply<'_, P, ROWS> {
    /// Takes the chains over a block's groups.
    #[inline(always)]
    fn block<L: Lanes>(
        &mut self,
        l: L,
        bytes: &[u8],
        inputs: Inputs<'_, ROWS>,
        mut acc: [L::F; ROWS],
    ) -> [L::F; ROWS] {
        let (room, ahead) = (&mut self.rows.room, &mut self.ahead);
        let n_groups = P::UNITS * P::UNIT;
        let scales = &mut room.scales[..n_groups];
        let minima = &mut room.minima[..if P::FORM.minima { n_groups } else { 0 }];
        P::scales(l, Block(bytes), scales, minima);
        for unit in 0..P::UNITS {
            let groups = unit * P::UNIT..(unit + 1) * P::UNIT;
            // All is looked up before anything is multiplied: a check of bounds after that would have compilers load
            // everything before it and multiply behind it.
            let mut dot = Dot::<L, P, ROWS> {
                l,
                x: inputs.part::<L, P>(unit, P::UNIT),
                scales: &scales[groups.clone()],
                minima: &minima[if P::FORM.minima { groups } else { 0..0 }],
                ahead: ahead.at.wrapping_add(unit * P::UNIT_BYTES),
                partial: [l.no_products(); ROWS],
                sums: [l.splat_int(0); ROWS],
                acc,
                sparse: self.sparse,
                of: PhantomData,
            };
            P::unit(l, Block(bytes), unit, &mut dot);
            acc = dot.acc;
        }
        ahead.advance(bytes.len());
        acc
    }
}

/// Multiplies a unit's groups with the rows.
struct Dot<'a, L: Lanes, P, const ROWS: usize> {
    l: L,
    x: Inputs<'a, ROWS>,
    scales: &'a [Floats],
    minima: &'a [Floats],
    /// Where the bytes of a unit begin that follows after a while.
    ahead: *const u8,
    /// Of the present group: what has not been widened yet, and what has.
    partial: [L::P; ROWS],
    sums: [L::I; ROWS],
    acc: [L::F; ROWS],
    sparse: bool,
    of: PhantomData<P>,
}

impl<L: Lanes, P: Packing, const ROWS: usize> Dot<'_, L, P, ROWS> {
    /// Asks for a group's share of the bytes ahead: in the order in which they lie, whatever the order in which they are
    /// read, since processors that see a line asked for fetch those after it.
    #[inline(always)]
    fn ask(&self, i: usize) {
        let n_lines = P::UNIT_BYTES.div_ceil(LINE);
        for line in n_lines * i / P::UNIT..n_lines * (i + 1) / P::UNIT {
            // What is not smooth has no branch here.
            if !P::SMOOTH || !self.sparse || line.is_multiple_of(SPARSE) {
                self.l.prefetch_far(self.ahead.wrapping_add(LINE * line));
            }
        }
    }

    /// What sums of group `i` start from.
    #[inline(always)]
    fn start(&mut self, i: usize, shift: u32) {
        for r in 0..ROWS {
            let start = if self.x.starts.is_empty() { 0 } else { self.x.starts[i][r] };
            self.sums[r] = self.l.shl(self.l.splat_int(start), shift);
        }
    }

    /// The chains' links for group `i`, whose sums are complete.
    #[inline(always)]
    fn link(&mut self, i: usize, shift: u32) {
        let l = self.l;
        let scales = l.load(&self.scales[i].0);
        let x_scales = &self.x.scales[i * P::FORM.group / 32];
        for r in 0..ROWS {
            let sum = l.to_float(l.sar(self.sums[r], shift));
            self.acc[r] = l.fma(sum, l.mul(scales, l.splat(x_scales[r])), self.acc[r]);
            if P::FORM.minima {
                let minima = l.load(&self.minima[i].0);
                self.acc[r] = l.fma(minima, l.splat(self.x.scaled_sums[i][r]), self.acc[r]);
            }
            // A row or two have registers for the next group, whose products need not wait for these.
            if ROWS > 2 {
                self.acc[r] = l.now(self.acc[r]);
            }
        }
    }
}

impl<L: Lanes, P: Packing, const ROWS: usize> Sink<L> for Dot<'_, L, P, ROWS> {
    #[inline(always)]
    fn put(&mut self, i: usize, k: usize, weights: L::I, shift: u32) {
        let (l, steps) = (self.l, P::FORM.group / 4);
        // Sums in 32 bits have room for weights as they stand in their bytes: one shift for all of a group.
        let (weights, shift) = if L::WHOLE { (weights, shift) } else { (l.shr(weights, shift), 0) };
        if k == 0 {
            self.ask(i);
            self.start(i, shift);
        }
        for r in 0..ROWS {
            let activations = four(l, self.x.q[i * steps + k][r]);
            match P::FORM.range {
                Range::Signed => self.sums[r] = l.wide_products(self.sums[r], weights, activations),
                Range::Small { .. } if L::WHOLE => {
                    self.sums[r] = l.whole_products(self.sums[r], weights, activations);
                }
                Range::Small { steps, .. } => {
                    self.partial[r] = l.products(self.partial[r], weights, activations);
                    if (k + 1).is_multiple_of(steps) {
                        self.sums[r] = l.widen(self.sums[r], self.partial[r]);
                        self.partial[r] = l.no_products();
                    }
                }
            }
        }
        if k + 1 == steps {
            self.link(i, shift);
        }
    }
}
