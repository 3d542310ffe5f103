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

/// Writes the panel of some inputs of sixteen channels, each given as its whole blocks.
pub(crate) type Unpack = fn(Isa, BlockType, [&[u8]; CHANNELS], PartMut<'_>);

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

fn unpack<F: Fast>(isa: Isa, _: BlockType, channels: [&[u8]; CHANNELS], panel: PartMut<'_>) {
    isa.run(Span { channels, panel, of: std::marker::PhantomData::<F> });
}

struct Span<'a, F> {
    channels: [&'a [u8]; CHANNELS],
    panel: PartMut<'a>,
    of: std::marker::PhantomData<F>,
}

/// How far ahead of the present block bytes are asked for: sixteen streams are more than a machine's own prefetcher
/// follows well.
const AHEAD: usize = 1024;

impl<F: Fast> Job for Span<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (n_steps, n_groups) = (F::LEN / 4, F::LEN / F::FORM.group);
        for (b, steps) in self.panel.steps.chunks_exact_mut(n_steps).enumerate() {
            let mut blocks = [&[][..]; CHANNELS];
            for j in 0..CHANNELS {
                blocks[j] = &self.channels[j][b * F::BYTES..][..F::BYTES];
                let mut line = 0;
                while line < F::BYTES {
                    l.prefetch(blocks[j].as_ptr().wrapping_add(AHEAD + line));
                    line += 64;
                }
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
