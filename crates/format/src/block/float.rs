//! Plain floating-point types as blocks of one weight.

use super::layout::assert_same_blocks;
use super::{Block, BlockType};

/// A floating-point type of `BYTES` little-endian bytes.
pub(super) trait Float<const BYTES: usize> {
    /// The value these bytes spell.
    fn from_bytes(bytes: [u8; BYTES]) -> f32;
    /// The bytes of the nearest value, ties to even.
    fn to_bytes(value: f32) -> [u8; BYTES];
}

/// The table's entry of a floating-point type.
pub(super) const fn float<F: Float<BYTES>, const BYTES: usize>(
    block_type: BlockType,
    name: &'static str,
    gguf_id: u32,
) -> Block {
    let (decode, encode) = (decode::<F, BYTES>, encode::<F, BYTES>);
    Block { block_type, name, gguf_id, len: 1, bytes: BYTES, decode, encode, integers: None }
}

fn decode<F: Float<BYTES>, const BYTES: usize>(bytes: &[u8], out: &mut [f32]) {
    assert_same_blocks(out.len(), 1, bytes.len(), BYTES);
    for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        *out = F::from_bytes(*bytes);
    }
}

fn encode<F: Float<BYTES>, const BYTES: usize>(weights: &[f32], out: &mut [u8]) {
    assert_same_blocks(weights.len(), 1, out.len(), BYTES);
    for (weight, out) in weights.iter().zip(out.as_chunks_mut::<BYTES>().0) {
        *out = F::to_bytes(*weight);
    }
}
