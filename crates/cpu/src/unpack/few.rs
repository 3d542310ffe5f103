//! Few rows times rearranged blocks: multiplied as they are unpacked, in registers.

use std::marker::PhantomData;

use super::blocks::{Blocks, PanelBlocks};
use super::{MAX_GROUPS, MAX_UNIT, Packing, Sink};
use crate::activations::{Activations, Tile};
use crate::body::integer_product::four;
use crate::body::target::{End, Target};
use crate::disjoint::Disjoint;
use crate::isa::Isa;
use crate::lanes::{Floats, Job, Lanes};
use crate::panel::{CHANNELS, Range, SPAN};

/// Some channels, from a multiple of sixteen on, and a tile of rows.
pub(crate) struct FewRows<'a> {
    /// Their rearranged blocks.
    pub(crate) bytes: &'a [u8],
    pub(crate) x: &'a Activations,
    pub(crate) tile: usize,
    pub(crate) channels: std::ops::Range<usize>,
    /// `[n_rows, n_out]`, of which the channels' columns are written.
    pub(crate) out: Disjoint<'a, f32>,
    pub(crate) n_out: usize,
    pub(crate) end: End<'a>,
}

/// Multiplies the channels with the rows.
///
/// # Safety
/// The channels' columns are the present task's alone.
pub(super) unsafe fn multiply<P: Packing>(isa: Isa, rows: FewRows<'_>) {
    match rows.x.tiling().width(rows.tile) {
        1 => isa.run(Multiply::<P, 1> { rows, of: PhantomData }),
        2 => isa.run(Multiply::<P, 2> { rows, of: PhantomData }),
        4 => isa.run(Multiply::<P, 4> { rows, of: PhantomData }),
        6 => isa.run(Multiply::<P, 6> { rows, of: PhantomData }),
        8 => isa.run(Multiply::<P, 8> { rows, of: PhantomData }),
        width => unreachable!("{width} rows as few ones"),
    }
}

struct Multiply<'a, P, const ROWS: usize> {
    rows: FewRows<'a>,
    of: PhantomData<P>,
}

impl<P: Packing, const ROWS: usize> Job for Multiply<'_, P, ROWS> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        if ROWS > L::TILE_ROWS.min(L::FEW_ROWS) {
            unreachable!("{ROWS} rows, for which there are no registers");
        }
        let mut groups = Groups::ZERO;
        let FewRows { bytes, x, channels, .. } = &self.rows;
        let channel_bytes = x.n_in() / P::LEN * P::BYTES;
        for (first, bytes) in
            channels.clone().step_by(CHANNELS).zip(bytes.chunks_exact(CHANNELS * channel_bytes))
        {
            self.tile(l, first, bytes, &mut groups);
        }
    }
}

impl<P: Packing, const ROWS: usize> Multiply<'_, P, ROWS> {
    /// Sixteen channels, or what is left of them from `first` on: span after span.
    #[inline(always)]
    fn tile<L: Lanes>(&self, l: L, first: usize, bytes: &[u8], groups: &mut Groups<ROWS>) {
        let FewRows { x, channels, out, n_out, end, .. } = &self.rows;
        let n_blocks = x.n_in() / P::LEN;
        for first_block in (0..n_blocks).step_by(SPAN / P::LEN) {
            let end_block = n_blocks.min(first_block + SPAN / P::LEN);
            let (first_input, n) = (first_block * P::LEN, (end_block - first_block) * P::LEN);
            let tile = x.tile(self.rows.tile, first_input, n, P::FORM.group, P::FORM.range.bias::<L>());
            let bytes = &bytes[first_block * CHANNELS * P::BYTES..end_block * CHANNELS * P::BYTES];
            let mut acc = [l.splat(0.0); ROWS];
            for (b, bytes) in bytes.chunks_exact(CHANNELS * P::BYTES).enumerate() {
                let inputs = BlockInputs::block::<L, P>(&tile, b);
                acc = self.block(l, &PanelBlocks { bytes, asks: true }, inputs, acc, groups);
            }
            let target = Target {
                out: *out,
                n_out: *n_out,
                channel: first,
                n_channels: CHANNELS.min(channels.end - first),
                first: first_block == 0,
                end: (end_block == n_blocks).then_some(*end),
            };
            let rows = x.tiling().rows(self.rows.tile);
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

/// What is known of a block's groups until the chains take them.
struct Groups<const ROWS: usize> {
    scales: [Floats; MAX_GROUPS],
    minima: [Floats; MAX_GROUPS],
    /// Where units are not in the order of their groups.
    sums: [[Floats; ROWS]; MAX_GROUPS],
}

impl<const ROWS: usize> Groups<ROWS> {
    const ZERO: Self = Groups {
        scales: [Floats::ZERO; MAX_GROUPS],
        minima: [Floats::ZERO; MAX_GROUPS],
        sums: [[Floats::ZERO; ROWS]; MAX_GROUPS],
    };
}

/// The rows' inputs to a block.
#[derive(Clone, Copy)]
struct BlockInputs<'a, const ROWS: usize> {
    q: &'a [[[i8; 4]; ROWS]],
    scales: &'a [[f32; ROWS]],
    /// Empty if weights have no bias.
    starts: &'a [[i32; ROWS]],
    scaled_sums: &'a [[f32; ROWS]],
}

impl<'a, const ROWS: usize> BlockInputs<'a, ROWS> {
    /// Those to block `b`, of a length that compilers know: no group of it needs a check of bounds.
    #[inline(always)]
    fn block<L: Lanes, P: Packing>(x: &Tile<'a>, b: usize) -> Self {
        let n_groups = P::LEN / P::FORM.group;
        let n_starts = if P::FORM.range.bias::<L>() == 0 { 0 } else { n_groups };
        BlockInputs {
            q: &x.q.as_chunks().0[b * (P::LEN / 4)..][..P::LEN / 4],
            scales: &x.scales.as_chunks().0[b * (P::LEN / 32)..][..P::LEN / 32],
            starts: &x.starts.as_chunks().0[b * n_starts..][..n_starts],
            scaled_sums: &x.scaled_sums.as_chunks().0[b * n_groups..][..n_groups],
        }
    }

    /// Those to a group of the block.
    #[inline(always)]
    fn group<L: Lanes, P: Packing>(self, g: usize) -> GroupInputs<'a, ROWS> {
        let n = P::FORM.group;
        let has_bias = P::FORM.range.bias::<L>() != 0;
        GroupInputs {
            q: &self.q[g * (n / 4)..][..n / 4],
            scales: &self.scales[g * n / 32],
            starts: if has_bias { &self.starts[g] } else { &[0; ROWS] },
            scaled_sums: &self.scaled_sums[g],
        }
    }
}

/// The rows' inputs to one group.
#[derive(Clone, Copy)]
struct GroupInputs<'a, const ROWS: usize> {
    q: &'a [[[i8; 4]; ROWS]],
    scales: &'a [f32; ROWS],
    starts: &'a [i32; ROWS],
    scaled_sums: &'a [f32; ROWS],
}

impl<P: Packing, const ROWS: usize> Multiply<'_, P, ROWS> {
    /// Takes the chains over a block's groups.
    #[inline(always)]
    fn block<L: Lanes>(
        &self,
        l: L,
        blocks: &impl Blocks,
        inputs: BlockInputs<'_, ROWS>,
        mut acc: [L::F; ROWS],
        groups: &mut Groups<ROWS>,
    ) -> [L::F; ROWS] {
        let n_groups = P::LEN / P::FORM.group;
        P::scales(l, blocks, &mut groups.scales, &mut groups.minima);
        for unit in 0..n_groups / P::UNIT {
            // All inputs are looked up before anything is multiplied: a check of bounds after that would have compilers
            // load everything before it and multiply behind it.
            let mut x = [inputs.group::<L, P>(P::group(unit, 0)); MAX_UNIT];
            for i in 1..P::UNIT {
                x[i] = inputs.group::<L, P>(P::group(unit, i));
            }
            let mut dot = Dot::<L, P, ROWS>::new(l, x);
            blocks.ask(l, unit, n_groups / P::UNIT);
            P::unit(l, blocks, unit, &mut dot);
            for i in 0..P::UNIT {
                let g = P::group(unit, i);
                let mut sums = [l.splat(0.0); ROWS];
                for r in 0..ROWS {
                    sums[r] = l.to_float(dot.sums[i][r]);
                }
                if P::IN_ORDER {
                    acc = links::<L, P, ROWS>(l, groups, g, sums, x[i], acc);
                } else {
                    for r in 0..ROWS {
                        l.store(sums[r], &mut groups.sums[g][r].0);
                    }
                }
            }
        }
        if !P::IN_ORDER {
            for g in 0..n_groups {
                let mut sums = [l.splat(0.0); ROWS];
                for r in 0..ROWS {
                    sums[r] = l.load(&groups.sums[g][r].0);
                }
                acc = links::<L, P, ROWS>(l, groups, g, sums, inputs.group::<L, P>(g), acc);
            }
        }
        acc
    }
}

/// The chains' links for group `g` of the block.
#[inline(always)]
fn links<L: Lanes, P: Packing, const ROWS: usize>(
    l: L,
    groups: &Groups<ROWS>,
    g: usize,
    sums: [L::F; ROWS],
    x: GroupInputs<'_, ROWS>,
    mut acc: [L::F; ROWS],
) -> [L::F; ROWS] {
    let (scales, minima) = (l.load(&groups.scales[g].0), l.load(&groups.minima[g].0));
    for r in 0..ROWS {
        acc[r] = l.fma(sums[r], l.mul(scales, l.splat(x.scales[r])), acc[r]);
        if P::FORM.minima {
            acc[r] = l.fma(minima, l.splat(x.scaled_sums[r]), acc[r]);
        }
    }
    acc
}

/// Multiplies a unit's steps with the rows.
struct Dot<'a, L: Lanes, P, const ROWS: usize> {
    l: L,
    /// Of each group.
    x: [GroupInputs<'a, ROWS>; MAX_UNIT],
    /// Of each group: what has not been widened yet, and what has.
    partial: [[L::P; ROWS]; MAX_UNIT],
    sums: [[L::I; ROWS]; MAX_UNIT],
    of: PhantomData<P>,
}

impl<'a, L: Lanes, P: Packing, const ROWS: usize> Dot<'a, L, P, ROWS> {
    #[inline(always)]
    fn new(l: L, x: [GroupInputs<'a, ROWS>; MAX_UNIT]) -> Self {
        let mut sums = [[l.splat_int(0); ROWS]; MAX_UNIT];
        for i in 0..P::UNIT {
            for r in 0..ROWS {
                sums[i][r] = l.splat_int(x[i].starts[r]);
            }
        }
        Dot { l, x, partial: [[l.no_products(); ROWS]; MAX_UNIT], sums, of: PhantomData }
    }
}

impl<L: Lanes, P: Packing, const ROWS: usize> Sink<L> for Dot<'_, L, P, ROWS> {
    #[inline(always)]
    fn put(&mut self, i: usize, k: usize, weights: L::I) {
        let l = self.l;
        for r in 0..ROWS {
            let activations = four(l, self.x[i].q[k][r]);
            match P::FORM.range {
                Range::Signed => {
                    self.sums[i][r] = l.wide_products(self.sums[i][r], l.wide(weights), activations)
                }
                Range::Small { .. } if L::WHOLE => {
                    self.sums[i][r] = l.whole_products(self.sums[i][r], weights, activations);
                }
                Range::Small { steps, .. } => {
                    self.partial[i][r] = l.products(self.partial[i][r], weights, activations);
                    if (k + 1).is_multiple_of(steps) {
                        self.sums[i][r] = l.widen(self.sums[i][r], self.partial[i][r]);
                        self.partial[i][r] = l.no_products();
                    }
                }
            }
        }
    }
}
