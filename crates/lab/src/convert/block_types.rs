//! Which type each tensor gets.
//!
//! Vectors, norms and the taps of convolutions stay F32: they are small, and no engine reads them otherwise. Every other
//! tensor gets the type that was asked for, with two exceptions.
//!
//! **The table of embeddings and the head** ([`Choice::BetterEnds`], the default) suffer most from few bits:
//!
//! | asked for | they get |
//! |---|---|
//! | Q2_K, Q3_K, Q4_K, Q5_K, IQ4_NL, IQ4_XS | Q6_K |
//! | Q4_0, Q4_1, Q5_0, Q5_1, MXFP4 | Q8_0 |
//! | F32, F16, BF16, Q8_0, Q6_K | as asked |
//!
//! **Rows that blocks do not fill** get the type of [`fallback`], as in llama.cpp:
//!
//! | meant to be | rows of whole 32s | else |
//! |---|---|---|
//! | Q4_K | Q5_0 | F16 |
//! | Q5_K | Q5_1 | F16 |
//! | Q6_K | Q8_0 | F16 |
//! | Q2_K, Q3_K | Q4_0 | F16 |
//! | IQ4_XS | IQ4_NL | F16 |
//! | types with blocks of 32 | as meant | F16 |

use dewdrop_format::BlockType;

/// Which tensors keep a better type than the one that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The table of embeddings and the head.
    #[default]
    BetterEnds,
    /// None.
    Pure,
}

/// The type that a tensor is meant to have, by its GGUF name and shape.
pub(super) fn meant(name: &str, shape: &[usize], asked: BlockType, choice: Choice) -> BlockType {
    if shape.len() < 2 || !name.ends_with(".weight") || is_small(name) {
        return BlockType::F32;
    }
    match (name, choice) {
        ("token_embd.weight" | "output.weight", Choice::BetterEnds) => at_the_ends(asked),
        _ => asked,
    }
}

/// Whether a matrix stays F32 by its GGUF name.
pub(crate) fn is_small(name: &str) -> bool {
    name.ends_with("_norm.weight")
        || name.ends_with("ssm_conv1d.weight")
        || name.ends_with("shortconv.conv.weight")
}

fn at_the_ends(asked: BlockType) -> BlockType {
    use BlockType::{IQ4_NL, IQ4_XS, MXFP4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    match asked {
        Q2K | Q3K | Q4K | Q5K | IQ4_NL | IQ4_XS => Q6K,
        Q4_0 | Q4_1 | Q5_0 | Q5_1 | MXFP4 => Q8_0,
        _ => asked,
    }
}

/// The type of a tensor with rows of `row_len` that is meant to have the type `meant`.
pub fn fallback(meant: BlockType, row_len: usize) -> BlockType {
    use BlockType::{F16, IQ4_NL, IQ4_XS, Q2K, Q3K, Q4_0, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let fits = |block_type: BlockType| row_len.is_multiple_of(block_type.block().len);
    if fits(meant) {
        return meant;
    }
    let smaller_blocks = match meant {
        Q4K => Q5_0,
        Q5K => Q5_1,
        Q6K => Q8_0,
        Q2K | Q3K => Q4_0,
        IQ4_XS => IQ4_NL,
        _ => F16,
    };
    if fits(smaller_blocks) { smaller_blocks } else { F16 }
}

/// `general.file_type`: a number for the whole file, by the type that was asked for. llama.cpp's `llama_ftype`.
pub(crate) fn file_type(asked: BlockType) -> u32 {
    use BlockType::{
        BF16, F16, F32, IQ4_NL, IQ4_XS, MXFP4, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0,
    };
    match asked {
        F32 => 0,
        F16 => 1,
        Q4_0 => 2,
        Q4_1 => 3,
        Q8_0 => 7,
        Q5_0 => 8,
        Q5_1 => 9,
        Q2K => 10,
        Q3K => 11,
        Q4K => 14,
        Q5K => 16,
        Q6K => 18,
        IQ4_NL => 25,
        IQ4_XS => 30,
        BF16 => 32,
        MXFP4 => 38,
        // What readers take for "look at the tensors".
        _ => 1024,
    }
}

#[cfg(test)]
mod tests {
    use dewdrop_format::BLOCK_TYPES;

    use super::*;

    #[test]
    fn whatever_the_rows_there_is_a_type() {
        for block in BLOCK_TYPES {
            for row_len in [1, 24, 31, 32, 96, 255, 256, 320, 512] {
                let block_type = fallback(block.block_type, row_len);
                assert!(row_len.is_multiple_of(block_type.block().len), "{} {row_len}", block.name);
            }
            assert!(file_type(block.block_type) < 1024, "{}", block.name);
        }
        assert_eq!(fallback(BlockType::Q4K, 64), BlockType::Q5_0);
        assert_eq!(fallback(BlockType::Q4K, 24), BlockType::F16);
    }

    #[test]
    fn small_tensors_stay_plain_and_the_ends_better() {
        let meant = |name, shape: &[usize], choice| meant(name, shape, BlockType::Q4K, choice);
        assert_eq!(meant("blk.0.ssm_a", &[8], Choice::Pure), BlockType::F32);
        assert_eq!(meant("blk.0.ssm_conv1d.weight", &[8, 4], Choice::Pure), BlockType::F32);
        assert_eq!(meant("blk.0.ffn_up.weight", &[8, 256], Choice::Pure), BlockType::Q4K);
        assert_eq!(meant("token_embd.weight", &[8, 256], Choice::BetterEnds), BlockType::Q6K);
        assert_eq!(meant("token_embd.weight", &[8, 256], Choice::Pure), BlockType::Q4K);
    }
}
