//! Weights to f32, exactly.

use dewdrop_format::BlockType;

use crate::isa::Isa;
use crate::lanes::{Job, Lanes};

/// Decodes whole blocks: halves on lanes, everything else by its definition.
pub(crate) fn decode(isa: Isa, block_type: BlockType, bytes: &[u8], out: &mut [f32]) {
    match block_type {
        BlockType::F16 => isa.run(Halves { bytes, out }),
        BlockType::BF16 => isa.run(Upper { bytes, out }),
        _ => (block_type.block().decode)(bytes, out),
    }
}

struct Halves<'a> {
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl Job for Halves<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        for (out, bytes) in self.out.chunks_mut(16).zip(self.bytes.chunks(32)) {
            let mut halves = [0; 16];
            for (half, bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
                *half = u16::from_le_bytes(*bytes);
            }
            let mut lanes = [0.0; 16];
            l.store(l.load_half(&halves), &mut lanes);
            out.copy_from_slice(&lanes[..out.len()]);
        }
    }
}

struct Upper<'a> {
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl Job for Upper<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        for (out, bytes) in self.out.iter_mut().zip(self.bytes.as_chunks::<2>().0) {
            *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
        }
    }
}
