//! F16: IEEE half precision.

use super::float::{Float, float};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = float::<F16, 2>(BlockType::F16, "F16", 1);

struct F16;

impl Float<2> for F16 {
    fn from_bytes(bytes: [u8; 2]) -> f32 {
        half::f16::from_le_bytes(bytes).to_f32()
    }

    fn to_bytes(value: f32) -> [u8; 2] {
        half::f16::from_f32(value).to_le_bytes()
    }
}
