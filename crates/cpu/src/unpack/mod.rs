//! File blocks of sixteen channels to panels.
//!
//! [`UNPACKERS`] is the one table; each type's unpacker is tested against its definition in `dewdrop_format`. They read
//! some bytes of sixteen channels at once, still packed, with channels as lanes: transposed in registers from blocks in
//! file order, or just loaded where [`crate::panels`] has rearranged them.

mod blocks;
mod k_quants;
mod lanes;
mod plain;
mod scaled;

use dewdrop_format::BlockType;

use self::blocks::{Blocks, FileBlocks, PanelBlocks};
use crate::isa::Isa;
use crate::lanes::{Job, Lanes};
use crate::panel::{CHANNELS, Form, PartMut};
use crate::panels::Narrow;

/// Writes the panel of some inputs of sixteen channels.
pub(crate) type Unpack = fn(Isa, &Source<'_>, PartMut<'_>);

/// What a panel is unpacked from: whole blocks of sixteen channels.
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
    /// Pieces of fewer than four bytes that it reads.
    pub(crate) narrow: &'static [Narrow],
}

/// The types that have a fast unpacker.
const UNPACKERS: &[(BlockType, Unpacker)] = &[
    (BlockType::Q4_0, fast::<plain::Q4_0>()),
    (BlockType::Q4_1, fast::<plain::Q4_1>()),
    (BlockType::Q5_0, fast::<plain::Q5_0>()),
    (BlockType::Q5_1, fast::<plain::Q5_1>()),
    (BlockType::Q8_0, fast::<plain::Q8_0>()),
    (BlockType::IQ4_NL, fast::<plain::Iq4Nl>()),
    (BlockType::MXFP4, fast::<plain::Mxfp4>()),
    (BlockType::Q4K, fast::<k_quants::Q4K>()),
    (BlockType::Q5K, fast::<k_quants::Q5K>()),
    (BlockType::Q2K, fast::<k_quants::Q2K>()),
    (BlockType::Q3K, fast::<scaled::Q3K>()),
    (BlockType::Q6K, fast::<scaled::Q6K>()),
    (BlockType::IQ4_XS, fast::<scaled::Iq4Xs>()),
];

impl Unpacker {
    /// That of a type; none for types without integers.
    pub(crate) fn of(block_type: BlockType) -> Option<&'static Unpacker> {
        UNPACKERS.iter().find(|(of, _)| *of == block_type).map(|(_, unpacker)| unpacker)
    }
}

/// A type's way from one block to its part of a panel.
trait Fast {
    /// Weights in a block.
    const LEN: usize;
    /// Bytes of a block.
    const BYTES: usize;
    const FORM: Form;
    /// Pieces of a block that are not read as words of four bytes.
    const NARROW: &'static [Narrow];

    /// Unpacks one block. To be `#[inline(always)]`.
    fn unpack<L: Lanes>(l: L, blocks: &impl Blocks, panel: PartMut<'_>);
}

const fn fast<F: Fast>() -> Unpacker {
    Unpacker { form: F::FORM, unpack: unpack::<F>, narrow: F::NARROW }
}

fn unpack<F: Fast>(isa: Isa, source: &Source<'_>, panel: PartMut<'_>) {
    isa.run(Span { source, panel, of: std::marker::PhantomData::<F> });
}

struct Span<'a, F> {
    source: &'a Source<'a>,
    panel: PartMut<'a>,
    of: std::marker::PhantomData<F>,
}

impl<F: Fast> Job for Span<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, l: L) {
        let n_blocks = self.panel.steps.len() / (F::LEN / 4);
        match self.source {
            Source::File { channels, soon } => {
                for b in 0..n_blocks {
                    let soon = soon.wrapping_add(b * CHANNELS * F::BYTES);
                    let mut blocks = FileBlocks { channels: [&[]; CHANNELS], soon };
                    for j in 0..CHANNELS {
                        blocks.channels[j] = &channels[j][b * F::BYTES..][..F::BYTES];
                    }
                    F::unpack(l, &blocks, self.block(b));
                }
            }
            Source::Panels(bytes) => {
                for b in 0..n_blocks {
                    let n = CHANNELS * F::BYTES;
                    F::unpack(l, &PanelBlocks { bytes: &bytes[b * n..][..n] }, self.block(b));
                }
            }
        }
    }
}

impl<F: Fast> Span<'_, F> {
    /// A block's part of the panel.
    #[inline(always)]
    fn block(&mut self, b: usize) -> PartMut<'_> {
        let (n_steps, n_groups) = (F::LEN / 4, F::LEN / F::FORM.group);
        let groups = b * n_groups..(b + 1) * n_groups;
        let minima = if F::FORM.minima { groups.clone() } else { 0..0 };
        PartMut {
            steps: &mut self.panel.steps[b * n_steps..][..n_steps],
            scales: &mut self.panel.scales[groups],
            minima: &mut self.panel.minima[minima],
        }
    }
}

#[cfg(test)]
mod tests;
