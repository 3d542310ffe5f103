//! BF16: the upper 16 bits of a single.

use super::float::{Float, float};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = float::<BF16, 2>(BlockType::BF16, "BF16", 30);

struct BF16;

impl Float<2> for BF16 {
    fn from_bytes(bytes: [u8; 2]) -> f32 {
        half::bf16::from_le_bytes(bytes).to_f32()
    }

    fn to_bytes(value: f32) -> [u8; 2] {
        half::bf16::from_f32(value).to_le_bytes()
    }
}
