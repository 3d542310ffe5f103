//! File blocks of sixteen channels to panels.
//!
//! [`UNPACKERS`] is the one table; each type's unpacker is tested against its definition in `dewdrop_format`. They read
//! some bytes of sixteen channels at once, still packed, with channels as lanes: transposed in registers from blocks in
//! file order, or just loaded where [`crate::panels`] has rearranged them.

mod blocks;
mod few;
mod k_quants;
mod lanes;
mod pairs;
mod plain;
mod scaled;

use std::marker::PhantomData;

use dewdrop_format::BlockType;

pub(crate) use self::few::FewRows;
pub(crate) use self::pairs::transpose_pairs;

use self::blocks::{Blocks, FileBlocks, PanelBlocks};
use crate::isa::Isa;
use crate::lanes::{Bytes, Floats, Job, Lanes};
use crate::panel::{CHANNELS, Form, PartMut, Range};
use crate::panels::Narrow;

/// Writes the panel of some inputs of sixteen channels.
pub(crate) type Unpack = fn(Isa, &Source<'_>, PartMut<'_>);

/// What a panel is unpacked from: whole blocks of sixteen channels.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack while a panel is unpacked; a box would be made for each"
)]
pub(crate) enum Source<'a> {
    /// In file order.
    File {
        channels: [&'a [u8]; CHANNELS],
        /// Where as many bytes lie as all channels have here, which will be needed soon; any address will do.
        soon: *const u8,
    },
    /// Rearranged.
    Panels(&'a [u8]),
}

/// How a block type becomes panels.
#[derive(Clone, Copy)]
pub(crate) struct Unpacker {
    pub(crate) form: Form,
    pub(crate) unpack: Unpack,
    /// Multiplies rearranged blocks with a tile of few rows.
    pub(crate) few: unsafe fn(Isa, FewRows<'_>),
    /// Pieces of fewer than four bytes that it reads.
    pub(crate) narrow: &'static [Narrow],
}

const UNPACKERS: &[(BlockType, Unpacker)] = &[
    (BlockType::Q4_0, unpacker::<plain::Q4_0>()),
    (BlockType::Q4_1, unpacker::<plain::Q4_1>()),
    (BlockType::Q5_0, unpacker::<plain::Q5_0>()),
    (BlockType::Q5_1, unpacker::<plain::Q5_1>()),
    (BlockType::Q8_0, unpacker::<plain::Q8_0>()),
    (BlockType::IQ4_NL, unpacker::<plain::Iq4Nl>()),
    (BlockType::MXFP4, unpacker::<plain::Mxfp4>()),
    (BlockType::Q4K, unpacker::<k_quants::Q4K>()),
    (BlockType::Q5K, unpacker::<k_quants::Q5K>()),
    (BlockType::Q2K, unpacker::<k_quants::Q2K>()),
    (BlockType::Q3K, unpacker::<scaled::Q3K>()),
    (BlockType::Q6K, unpacker::<scaled::Q6K>()),
    (BlockType::IQ4_XS, unpacker::<scaled::Iq4Xs>()),
];

impl Unpacker {
    /// That of a type; none for types without integers.
    pub(crate) fn of(block_type: BlockType) -> Option<&'static Unpacker> {
        UNPACKERS.iter().find(|(of, _)| *of == block_type).map(|(_, unpacker)| unpacker)
    }
}

/// A type's way from one block of sixteen channels to integers and scales. Functions are to be `#[inline(always)]`.
trait Packing {
    /// Weights in a block.
    const LEN: usize;
    /// Bytes of a block.
    const BYTES: usize;
    const FORM: Form;
    /// Pieces of a block that are not read as words of four bytes.
    const NARROW: &'static [Narrow];
    /// Groups that are unpacked together, because they share bytes: at most [`MAX_UNIT`].
    const UNIT: usize = 1;
    /// Whether units hold groups in the order of the block.
    const IN_ORDER: bool = true;

    /// Index in the block of a unit's group.
    #[inline(always)]
    fn group(unit: usize, i: usize) -> usize {
        unit * Self::UNIT + i
    }

    /// Scales of all groups, and minima if the form has them.
    fn scales<L: Lanes>(l: L, blocks: &impl Blocks, scales: &mut [Floats], minima: &mut [Floats]);

    /// Integers of one unit's groups.
    fn unit<L: Lanes>(l: L, blocks: &impl Blocks, unit: usize, sink: &mut impl Sink<L>);
}

/// Takes what is unpacked.
trait Sink<L: Lanes> {
    /// Step `k`, four weights of each channel, of a unit's group `i`. Steps of a group come in order.
    fn put(&mut self, i: usize, k: usize, weights: L::I);
}

/// Groups of a block, at most.
const MAX_GROUPS: usize = 16;

/// Groups of a unit, at most.
const MAX_UNIT: usize = 4;

const fn unpacker<P: Packing>() -> Unpacker {
    Unpacker { form: P::FORM, unpack: unpack::<P>, few: few::multiply::<P>, narrow: P::NARROW }
}

fn unpack<P: Packing>(isa: Isa, source: &Source<'_>, panel: PartMut<'_>) {
    isa.run(Span { source, panel, of: PhantomData::<P> });
}

struct Span<'a, P> {
    source: &'a Source<'a>,
    panel: PartMut<'a>,
    of: PhantomData<P>,
}

impl<P: Packing> Job for Span<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let n_blocks = self.panel.steps.len() / (P::LEN / 4);
        match self.source {
            Source::File { channels, soon } => {
                for b in 0..n_blocks {
                    let soon = soon.wrapping_add(b * CHANNELS * P::BYTES);
                    let mut blocks = FileBlocks { channels: [&[]; CHANNELS], soon };
                    for j in 0..CHANNELS {
                        blocks.channels[j] = &channels[j][b * P::BYTES..][..P::BYTES];
                    }
                    self.block(l, &blocks, b);
                }
            }
            Source::Panels(bytes) => {
                for b in 0..n_blocks {
                    let n = CHANNELS * P::BYTES;
                    self.block(l, &PanelBlocks { bytes: &bytes[b * n..][..n], asks: false }, b);
                }
            }
        }
    }
}

impl<P: Packing> Span<'_, P> {
    #[inline(always)]
    fn block<L: Lanes>(&mut self, l: L, blocks: &impl Blocks, b: usize) {
        let (n_steps, n_groups) = (P::LEN / 4, P::LEN / P::FORM.group);
        let groups = b * n_groups..(b + 1) * n_groups;
        let minima = if P::FORM.minima { groups.clone() } else { 0..0 };
        P::scales(l, blocks, &mut self.panel.scales[groups], &mut self.panel.minima[minima]);
        let steps = &mut self.panel.steps[b * n_steps..][..n_steps];
        for unit in 0..n_groups / P::UNIT {
            blocks.ask(l, unit, n_groups / P::UNIT);
            P::unit(l, blocks, unit, &mut Store { l, steps, unit, of: PhantomData::<P> });
        }
    }
}

/// Puts a unit's steps into a panel.
struct Store<'a, L, P> {
    l: L,
    /// Of a block.
    steps: &'a mut [Bytes],
    unit: usize,
    of: PhantomData<P>,
}

impl<L: Lanes, P: Packing> Sink<L> for Store<'_, L, P> {
    #[inline(always)]
    fn put(&mut self, i: usize, k: usize, weights: L::I) {
        let step = P::group(self.unit, i) * (P::FORM.group / 4) + k;
        let weights = match P::FORM.range {
            Range::Signed => self.l.wide(weights),
            Range::Small { .. } => weights,
        };
        self.l.store_bytes(weights, &mut self.steps[step].0);
    }
}

#[cfg(test)]
mod tests;
