//! Any quantized type, through the definition of its blocks.

use dewdrop_format::BlockType;

use super::{Source, Unpacker};
use crate::isa::Isa;
use crate::panel::{Form, PartMut, Range};

/// Weights and groups in the largest block.
const MAX_LEN: usize = 256;
const MAX_GROUPS: usize = 16;

pub(super) fn unpacker(block_type: BlockType) -> Option<Unpacker> {
    let integers = block_type.block().integers.as_ref()?;
    let form = Form { group: integers.group, minima: integers.has_minimum, range: Range::Signed };
    Some(Unpacker { form, unpack })
}

fn unpack(_: Isa, source: &Source<'_>, panel: PartMut<'_>) {
    let block = source.block_type.block();
    let integers = block.integers.as_ref().expect("a quantized type");
    let n_groups = block.len / integers.group;
    let n_minima = if integers.has_minimum { n_groups } else { 0 };
    let (mut quants, mut scales, mut minima) = ([0; MAX_LEN], [0.0; MAX_GROUPS], [0.0; MAX_GROUPS]);
    for (j, channel) in source.channels.into_iter().enumerate() {
        for (b, bytes) in channel.chunks_exact(block.bytes).enumerate() {
            let quants = &mut quants[..block.len];
            (integers.unpack)(bytes, quants, &mut scales[..n_groups], &mut minima[..n_minima]);
            for (i, quant) in quants.iter().enumerate() {
                let input = b * block.len + i;
                panel.steps[input / 4].0[4 * j + input % 4] = quant.cast_unsigned();
            }
            for (g, scale) in scales[..n_groups].iter().enumerate() {
                panel.scales[b * n_groups + g].0[j] = *scale;
            }
            for (g, minimum) in minima[..n_minima].iter().enumerate() {
                panel.minima[b * n_groups + g].0[j] = *minimum;
            }
        }
    }
}
