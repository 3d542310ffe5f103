//! What a quantized type says about itself, and what follows from it for all of them.

use super::{Block, BlockType, Integers};

/// Weights in the largest block.
const MAX_LEN: usize = 256;
/// Groups in a block with the most of them: 256 weights in groups of 16.
const MAX_GROUPS: usize = 16;

/// A type whose weights are small integers with scales.
pub(super) trait Quantized {
    /// Weights in a block.
    const LEN: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Weights that share a scale.
    const GROUP: usize;
    /// Whether groups have a minimum.
    const HAS_MINIMUM: bool;

    /// Splits one block; see [`Integers::unpack`]. All slices have the length they must have.
    fn unpack(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]);

    /// Encodes `LEN` finite weights into a zeroed block.
    fn pack(weights: &[f32], block: &mut [u8]);
}

/// The table's entry of a quantized type.
pub(super) const fn quantized<Q: Quantized>(
    block_type: BlockType,
    name: &'static str,
    gguf_id: u32,
) -> Block {
    assert!(Q::LEN <= MAX_LEN && Q::LEN / Q::GROUP <= MAX_GROUPS);
    Block {
        block_type,
        name,
        gguf_id,
        len: Q::LEN,
        bytes: Q::BYTES,
        decode: decode::<Q>,
        encode: encode::<Q>,
        integers: Some(Integers { group: Q::GROUP, has_minimum: Q::HAS_MINIMUM, unpack: unpack::<Q> }),
    }
}

/// Panics unless `n_weights` weights and `n_bytes` bytes are the same whole number of blocks.
pub(super) fn assert_same_blocks(n_weights: usize, len: usize, n_bytes: usize, bytes: usize) {
    assert!(
        n_weights.is_multiple_of(len) && n_bytes.is_multiple_of(bytes) && n_weights / len == n_bytes / bytes,
        "{n_weights} weights in blocks of {len}, but {n_bytes} bytes in blocks of {bytes}"
    );
}

fn unpack<Q: Quantized>(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]) {
    assert_eq!(block.len(), Q::BYTES, "bytes of one block");
    assert_eq!(quants.len(), Q::LEN, "quants of one block");
    assert_eq!(scales.len(), Q::LEN / Q::GROUP, "scales of one block");
    assert_eq!(minima.len(), if Q::HAS_MINIMUM { scales.len() } else { 0 }, "minima of one block");
    Q::unpack(block, quants, scales, minima);
}

fn decode<Q: Quantized>(bytes: &[u8], out: &mut [f32]) {
    assert_same_blocks(out.len(), Q::LEN, bytes.len(), Q::BYTES);
    let n_groups = Q::LEN / Q::GROUP;
    let (mut quants, mut scales, mut minima) = ([0; MAX_LEN], [0.0; MAX_GROUPS], [0.0; MAX_GROUPS]);
    let (quants, scales) = (&mut quants[..Q::LEN], &mut scales[..n_groups]);
    let minima = &mut minima[..if Q::HAS_MINIMUM { n_groups } else { 0 }];
    for (block, out) in bytes.chunks_exact(Q::BYTES).zip(out.chunks_exact_mut(Q::LEN)) {
        Q::unpack(block, quants, scales, minima);
        let groups = out.chunks_exact_mut(Q::GROUP).zip(quants.chunks_exact(Q::GROUP));
        for (group, (out, quants)) in groups.enumerate() {
            let scale = scales[group];
            // Without a minimum nothing is added: adding zero would turn -0 into +0.
            match minima.get(group) {
                Some(minimum) => fill(out, quants, |quant| scale * quant + minimum),
                None => fill(out, quants, |quant| scale * quant),
            }
        }
    }
}

fn fill(out: &mut [f32], quants: &[i8], value: impl Fn(f32) -> f32) {
    for (out, &quant) in out.iter_mut().zip(quants) {
        *out = value(f32::from(quant));
    }
}

fn encode<Q: Quantized>(weights: &[f32], out: &mut [u8]) {
    assert_same_blocks(weights.len(), Q::LEN, out.len(), Q::BYTES);
    let mut finite = [0.0; MAX_LEN];
    let finite = &mut finite[..Q::LEN];
    for (weights, block) in weights.chunks_exact(Q::LEN).zip(out.chunks_exact_mut(Q::BYTES)) {
        for (finite, &weight) in finite.iter_mut().zip(weights) {
            *finite = if weight.is_nan() { 0.0 } else { weight.clamp(f32::MIN, f32::MAX) };
        }
        block.fill(0);
        Q::pack(finite, block);
    }
}
