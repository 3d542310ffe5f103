//! F32: IEEE single precision, as it is.

use super::float::{Float, float};
use super::{Block, BlockType};

pub(super) static BLOCK: Block = float::<F32, 4>(BlockType::F32, "F32", 0);

struct F32;

impl Float<4> for F32 {
    fn from_bytes(bytes: [u8; 4]) -> f32 {
        f32::from_le_bytes(bytes)
    }

    fn to_bytes(value: f32) -> [u8; 4] {
        value.to_le_bytes()
    }
}
