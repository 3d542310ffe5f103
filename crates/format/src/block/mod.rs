//! Block types: how weights are spelled in bytes.
//!
//! A tensor's bytes are blocks one after another, row by row, and a block never crosses a row. One file here per
//! type holds its layout, decoding and encoding; [`BLOCK_TYPES`] lists them all. The quantized types only say how a
//! block splits into small integers, scales and minima ([`layout::Quantized`]); their decoding to `f32` follows from
//! that, with the same roundings as GGUF's own definition, so both views of a weight agree bit for bit.

mod bf16;
mod codebook;
mod f16;
mod f32;
mod float;
mod iq4_nl;
mod iq4_xs;
mod layout;
mod mxfp4;
mod plane;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod scale;

/// The name of a way to spell weights. What it means is in its [`Block`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
#[expect(non_camel_case_types, reason = "IQ4_NL is the name everyone knows")]
pub enum BlockType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an `F32`.
    BF16,
    /// 32 weights of 4 bits, one scale.
    Q4_0,
    /// 32 weights of 4 bits, one scale and one minimum.
    Q4_1,
    /// 32 weights of 5 bits, one scale.
    Q5_0,
    /// 32 weights of 5 bits, one scale and one minimum.
    Q5_1,
    /// 32 weights of 8 bits, one scale.
    Q8_0,
    /// 256 weights of 2 bits, 16 scales and minima of 4 bits.
    Q2K,
    /// 256 weights of 3 bits, 16 scales of 6 bits.
    Q3K,
    /// 256 weights of 4 bits, 8 scales and minima of 6 bits.
    Q4K,
    /// 256 weights of 5 bits, 8 scales and minima of 6 bits.
    Q5K,
    /// 256 weights of 6 bits, 16 scales of 8 bits.
    Q6K,
    /// 32 weights from a codebook of 16 values, one scale.
    IQ4_NL,
    /// 256 weights from the codebook of `IQ4_NL`, 8 scales of 6 bits.
    IQ4_XS,
    /// 32 weights of 4-bit floating point, one power of two (OCP Microscaling).
    MXFP4,
}

/// All block types, in the order of [`BlockType`]'s variants.
pub const BLOCK_TYPES: &[&Block] = &[
    &f32::BLOCK,
    &f16::BLOCK,
    &bf16::BLOCK,
    &q4_0::BLOCK,
    &q4_1::BLOCK,
    &q5_0::BLOCK,
    &q5_1::BLOCK,
    &q8_0::BLOCK,
    &q2_k::BLOCK,
    &q3_k::BLOCK,
    &q4_k::BLOCK,
    &q5_k::BLOCK,
    &q6_k::BLOCK,
    &iq4_nl::BLOCK,
    &iq4_xs::BLOCK,
    &mxfp4::BLOCK,
];

impl BlockType {
    /// What this type means.
    pub fn block(self) -> &'static Block {
        BLOCK_TYPES[self as usize]
    }

    /// The type that GGUF files call by this number.
    pub fn from_gguf_id(id: u32) -> Option<Self> {
        BLOCK_TYPES.iter().find(|block| block.gguf_id == id).map(|block| block.block_type)
    }

    /// The type of this name, in any case: `Q4_K`, `q4_k`.
    pub fn from_name(name: &str) -> Option<Self> {
        BLOCK_TYPES.iter().find(|block| block.name.eq_ignore_ascii_case(name)).map(|block| block.block_type)
    }

    /// Bytes of `n` weights.
    ///
    /// # Panics
    ///
    /// If `n` is no multiple of the block's length.
    pub fn bytes_for(self, n: usize) -> usize {
        let block = self.block();
        assert!(n.is_multiple_of(block.len), "{n} weights are no whole number of {} blocks", block.name);
        n / block.len * block.bytes
    }
}

impl std::fmt::Display for BlockType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.block().name)
    }
}

/// A block type: sizes, and functions between bytes and values.
#[derive(Debug)]
pub struct Block {
    /// Which type this describes.
    pub block_type: BlockType,
    /// The name in GGUF's spelling, such as `Q4_K`.
    pub name: &'static str,
    /// The number GGUF files use.
    pub gguf_id: u32,
    /// Weights in a block: 1, 32 or 256.
    pub len: usize,
    /// Bytes of a block.
    pub bytes: usize,
    /// Decodes any number of whole blocks. Panics if the two lengths do not fit each other.
    pub decode: fn(&[u8], &mut [f32]),
    /// Encodes any number of whole blocks, rounding to nearest. Panics if the two lengths do not fit each other.
    ///
    /// Quantized types cannot say everything: NaN becomes 0, and what is too large becomes the largest there is.
    pub encode: fn(&[f32], &mut [u8]),
    /// How the type enters an integer product; `None` for the plain floating-point types.
    pub integers: Option<Integers>,
}

/// How a quantized type enters an integer product: as small integers with a scale, and perhaps a minimum, per group.
#[derive(Debug)]
pub struct Integers {
    /// Weights that share one scale: 32 or 16.
    pub group: usize,
    /// Whether groups have a minimum.
    pub has_minimum: bool,
    /// Splits one block into `len` quants, `len / group` scales and, if the type has them, as many minima (else an
    /// empty slice).
    ///
    /// Weight i of group g is `scales[g] * quants[i]`, plus `minima[g]` if the type has minima. `decode` gives these
    /// bits, with a rounding after the product and one after the sum.
    #[expect(clippy::type_complexity, reason = "named slices explain it better than an alias")]
    pub unpack: fn(block: &[u8], quants: &mut [i8], scales: &mut [f32], minima: &mut [f32]),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_follows_the_enum() {
        for (position, block) in BLOCK_TYPES.iter().enumerate() {
            assert_eq!(block.block_type as usize, position, "{}", block.name);
            assert_eq!(BlockType::from_gguf_id(block.gguf_id), Some(block.block_type));
            assert_eq!(BlockType::from_name(&block.name.to_lowercase()), Some(block.block_type));
            assert_eq!(block.block_type.bytes_for(4 * block.len), 4 * block.bytes);
        }
        assert_eq!(BlockType::from_gguf_id(4), None);
        assert_eq!(BlockType::from_name("Q4"), None);
    }
}
