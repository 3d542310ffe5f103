//! Weights to f32, exactly.

use std::marker::PhantomData;

use dewdrop_format::BlockType;

use super::float_row::{BF16, F16, Stored};
use crate::isa::Isa;
use crate::lanes::{Bytes, Job, Lanes};

/// Decodes whole blocks: halves on lanes, everything else by its definition.
pub(crate) fn decode(isa: Isa, block_type: BlockType, bytes: &[u8], out: &mut [f32]) {
    match block_type {
        BlockType::F16 => isa.run(Convert { bytes, out, stored: PhantomData::<F16> }),
        BlockType::BF16 => isa.run(Convert { bytes, out, stored: PhantomData::<BF16> }),
        _ => (block_type.block().decode)(bytes, out),
    }
}

struct Convert<'a, S> {
    bytes: &'a [u8],
    out: &'a mut [f32],
    stored: PhantomData<S>,
}

impl<S: Stored> Job for Convert<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, l: L) {
        let (vectors, rest) = self.out.as_chunks_mut::<16>();
        let (whole, last) = self.bytes.split_at(vectors.len() * 16 * S::BYTES);
        for (out, bytes) in vectors.iter_mut().zip(whole.chunks_exact(16 * S::BYTES)) {
            l.store(S::load(l, bytes), out);
        }
        let mut bytes = Bytes::ZERO;
        bytes.0[..last.len()].copy_from_slice(last);
        let mut lanes = [0.0; 16];
        l.store(S::load(l, &bytes.0[..16 * S::BYTES]), &mut lanes);
        rest.copy_from_slice(&lanes[..rest.len()]);
    }
}
