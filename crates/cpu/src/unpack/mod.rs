//! File blocks of sixteen channels to panels.
//!
//! [`UNPACKERS`] is the one table; each type's unpacker is tested against its definition in `dewdrop_format`. They read
//! words of sixteen channels, still packed, with channels as lanes, from a block that [`crate::panels`] has rearranged; blocks
//! in file order are rearranged right before that.

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
pub(crate) use self::pairs::arrange_pairs;

use self::blocks::{Block, part, rearrange};
use crate::isa::Isa;
use crate::lanes::{Bytes, Floats, Job, Lanes};
use crate::panel::{CHANNELS, Form, PartMut};

/// Writes the panel of some inputs of sixteen channels, from their rearranged blocks.
pub(crate) type Unpack = fn(Isa, &[u8], PartMut<'_>);

/// Writes the blocks of sixteen channels in the order that [`crate::panels`] explains.
pub(crate) type Arrange = fn(Isa, [&[u8]; CHANNELS], &mut [u8]);

/// How a block type becomes panels.
#[derive(Clone, Copy)]
pub(crate) struct Unpacker {
    pub(crate) form: Form,
    pub(crate) unpack: Unpack,
    /// Multiplies channels' rearranged blocks with a tile of few rows.
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
    /// The block's stretches in the order in which they are read and therefore stand once it is rearranged: where each begins in
    /// the file, and how long it is. Lone halves and bytes are stretches of their own, others have whole words.
    const ORDER: &'static [(usize, usize)] = &[(0, Self::BYTES)];
    /// Whether bytes are read once, in order, with little to compute between them.
    const SMOOTH: bool = false;
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

const fn unpacker<P: Packing>() -> Unpacker {
    Unpacker { form: P::FORM, unpack: unpack::<P>, few: few::multiply::<P>, arrange: arrange::<P> }
}

fn unpack<P: Packing>(isa: Isa, bytes: &[u8], panel: PartMut<'_>) {
    isa.run(Span { bytes, panel, of: PhantomData::<P> });
}

struct Span<'a, P> {
    bytes: &'a [u8],
    panel: PartMut<'a>,
    of: PhantomData<P>,
}

impl<P: Packing> Job for Span<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        for (b, bytes) in self.bytes.chunks_exact(CHANNELS * P::BYTES).enumerate() {
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
        let n_blocks = self.out.len() / (CHANNELS * P::BYTES);
        assert!(self.channels.iter().all(|channel| channel.len() >= n_blocks * P::BYTES), "all blocks");
        for (b, out) in self.out.chunks_exact_mut(CHANNELS * P::BYTES).enumerate() {
            // SAFETY: each channel has as many blocks.
            let block = unsafe { part(&self.channels, b * P::BYTES, P::BYTES) };
            rearrange::<L, P>(l, block, out);
        }
    }
}

#[cfg(test)]
mod tests;
