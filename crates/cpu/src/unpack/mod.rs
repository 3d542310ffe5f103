//! File blocks of sixteen channels to panels.
//!
//! [`UNPACKERS`] is the one table; each type's unpacker is tested against its definition in `dewdrop_format`. They read
//! words of sixteen channels, still packed, with channels as lanes, from a block that [`crate::panels`] has rearranged; blocks
//! in file order are rearranged one by one before that.

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
pub(crate) use self::pairs::{arrange_pairs, transpose_pairs};

use self::blocks::{Block, Narrow, Room, rearrange};
use crate::body::next::LINE;
use crate::isa::Isa;
use crate::lanes::{Bytes, Floats, Job, Lanes};
use crate::panel::{CHANNELS, Form, PartMut};

/// Writes the panel of some inputs of sixteen channels.
pub(crate) type Unpack = fn(Isa, &Source<'_>, PartMut<'_>);

/// Writes the blocks of sixteen channels in the order that [`crate::panels`] explains.
pub(crate) type Arrange = fn(Isa, [&[u8]; CHANNELS], &mut [u8]);

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
    pub(crate) arrange: Arrange,
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
    /// Groups of a stretch whose bits lie as in the next one: constants of the code that unpacks it.
    const UNIT: usize = 1;
    /// Units of a block.
    const UNITS: usize = Self::LEN / Self::FORM.group / Self::UNIT;
    /// Bytes of sixteen channels' unit, about.
    const UNIT_BYTES: usize = CHANNELS * Self::BYTES / Self::UNITS;

    /// Scales of all groups, and minima if the form has them.
    fn scales<L: Lanes>(l: L, block: Block<'_>, scales: &mut [Floats], minima: &mut [Floats]);

    /// Integers of one unit's groups.
    fn unit<L: Lanes>(l: L, block: Block<'_>, unit: usize, sink: &mut impl Sink<L>);
}

/// Takes what is unpacked.
trait Sink<L: Lanes> {
    /// Step `k` of a unit's group `i`: four weights of each channel, signed ones made [`Lanes::wide`], small ones times
    /// `2^shift`, the same for all of the group, still within a byte. Groups and their steps come in order.
    fn put(&mut self, i: usize, k: usize, weights: L::I, shift: u32);
}

/// Groups of a block, at most.
const MAX_GROUPS: usize = 16;

const fn unpacker<P: Packing>() -> Unpacker {
    Unpacker { form: P::FORM, unpack: unpack::<P>, few: few::multiply::<P>, arrange: arrange::<P> }
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
        let n = CHANNELS * P::BYTES;
        let mut room = Room::EMPTY;
        for b in 0..n_blocks {
            let bytes = match self.source {
                Source::Panels(bytes) => &bytes[b * n..][..n],
                Source::File { channels, soon } => {
                    for line in (0..n).step_by(LINE) {
                        l.prefetch_far(soon.wrapping_add(b * n + line));
                    }
                    let room = room.of::<P>();
                    rearrange::<L, P>(l, channels, b, room);
                    room
                }
            };
            self.block(l, Block(bytes), b);
        }
    }
}

impl<P: Packing> Span<'_, P> {
    #[inline(always)]
    fn block<L: Lanes>(&mut self, l: L, block: Block<'_>, b: usize) {
        let (n_steps, n_groups) = (P::LEN / 4, P::LEN / P::FORM.group);
        let groups = b * n_groups..(b + 1) * n_groups;
        let minima = if P::FORM.minima { groups.clone() } else { 0..0 };
        P::scales(l, block, &mut self.panel.scales[groups], &mut self.panel.minima[minima]);
        let steps = &mut self.panel.steps[b * n_steps..][..n_steps];
        for (unit, steps) in steps.chunks_exact_mut(P::UNIT * P::FORM.group / 4).enumerate() {
            P::unit(l, block, unit, &mut Store { l, steps, of: PhantomData::<P> });
        }
    }
}

/// Puts a unit's steps into a panel.
struct Store<'a, L, P> {
    l: L,
    steps: &'a mut [Bytes],
    of: PhantomData<P>,
}

impl<L: Lanes, P: Packing> Sink<L> for Store<'_, L, P> {
    #[inline(always)]
    fn put(&mut self, i: usize, k: usize, weights: L::I, shift: u32) {
        let step = &mut self.steps[i * (P::FORM.group / 4) + k];
        self.l.store_bytes(self.l.shr(weights, shift), &mut step.0);
    }
}

fn arrange<P: Packing>(isa: Isa, channels: [&[u8]; CHANNELS], out: &mut [u8]) {
    isa.run(Blocks { channels, out, of: PhantomData::<P> });
}

struct Blocks<'a, P> {
    channels: [&'a [u8]; CHANNELS],
    out: &'a mut [u8],
    of: PhantomData<P>,
}

impl<P: Packing> Job for Blocks<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (b, out) in self.out.chunks_exact_mut(CHANNELS * P::BYTES).enumerate() {
            rearrange::<L, P>(l, &self.channels, b, out);
        }
    }
}

#[cfg(test)]
mod tests;
