//! File blocks of sixteen channels to panels.
//!
//! [`UNPACKERS`] is the one table. A type without a line of its own is unpacked by its definition in `dewdrop_format`,
//! byte for byte, which works for all of them and is what the fast ones are tested against. Those read sixteen bytes of
//! sixteen channels at once and transpose them, still packed, in registers: lanes are channels from there on.

mod generic;
mod k_quants;
mod lanes;
mod plain;
mod scaled;

use dewdrop_format::BlockType;

use self::lanes::Blocks;
use crate::isa::Isa;
use crate::lanes::{Job, Lanes};
use crate::panel::{CHANNELS, Form, PartMut};

/// Writes the panel of some inputs of sixteen channels.
pub(crate) type Unpack = fn(Isa, &Source<'_>, PartMut<'_>);

/// What a panel is unpacked from.
pub(crate) struct Source<'a> {
    pub(crate) block_type: BlockType,
    /// Whole blocks of each channel.
    pub(crate) channels: [&'a [u8]; CHANNELS],
    /// Where as many bytes lie as all channels have here, which will be needed soon; any address will do.
    pub(crate) soon: *const u8,
}

/// How a block type becomes panels.
#[derive(Clone, Copy)]
pub(crate) struct Unpacker {
    pub(crate) form: Form,
    pub(crate) unpack: Unpack,
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
    /// The fastest for a type; none for types without integers.
    pub(crate) fn of(block_type: BlockType) -> Option<Unpacker> {
        let fast = UNPACKERS.iter().find(|(of, _)| *of == block_type).map(|(_, unpacker)| *unpacker);
        fast.or_else(|| generic::unpacker(block_type))
    }
}

/// A type's way from one block to its part of a panel.
trait Fast {
    /// Weights in a block.
    const LEN: usize;
    /// Bytes of a block.
    const BYTES: usize;
    const FORM: Form;

    /// Unpacks one block. To be `#[inline(always)]`.
    fn unpack<L: Lanes>(l: L, blocks: &Blocks<'_>, panel: PartMut<'_>);
}

const fn fast<F: Fast>() -> Unpacker {
    Unpacker { form: F::FORM, unpack: unpack::<F> }
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
    fn run<L: Lanes>(self, l: L) {
        let (n_steps, n_groups) = (F::LEN / 4, F::LEN / F::FORM.group);
        for (b, steps) in self.panel.steps.chunks_exact_mut(n_steps).enumerate() {
            let soon = self.source.soon.wrapping_add(b * CHANNELS * F::BYTES);
            let mut blocks = Blocks { channels: [&[]; CHANNELS], soon };
            for j in 0..CHANNELS {
                blocks.channels[j] = &self.source.channels[j][b * F::BYTES..][..F::BYTES];
            }
            let groups = b * n_groups..(b + 1) * n_groups;
            let minima = if F::FORM.minima { groups.clone() } else { 0..0 };
            let panel = PartMut {
                steps,
                scales: &mut self.panel.scales[groups],
                minima: &mut self.panel.minima[minima],
            };
            F::unpack(l, &blocks, panel);
        }
    }
}

#[cfg(test)]
mod tests;
