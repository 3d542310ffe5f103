//! The few values that the two file formats spell differently.

use bytemuck::cast_slice;
use dewdrop_backend::{Blocks, Transform, Weight};
use dewdrop_format::BlockType;

/// Applies `transform`, which yields F32 unless it is none.
pub(crate) fn apply(transform: Transform, weight: Weight) -> Weight {
    let function: fn(f32) -> f32 = match transform {
        Transform::None => return weight,
        Transform::AddOne => |w| 1.0 + w,
        // In f64, so that the rounding to f32 is the only error that counts: converters do the same in f32.
        Transform::NegExp => |w| -libm::exp(f64::from(w)) as f32,
    };
    let mut values = vec![0.0f32; weight.n_out * weight.n_in];
    (weight.block_type.block().decode)(&weight.blocks, &mut values);
    for value in &mut values {
        *value = function(*value);
    }
    let blocks = Blocks::from(cast_slice::<f32, u8>(&values).to_vec());
    Weight { block_type: BlockType::F32, blocks, ..weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transformed(transform: Transform, values: &[f32]) -> Vec<f32> {
        let blocks = Blocks::from(cast_slice::<f32, u8>(values).to_vec());
        let weight = Weight { block_type: BlockType::F32, n_out: 1, n_in: values.len(), blocks };
        let bytes = apply(transform, weight).blocks;
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    #[test]
    fn transforms_do_what_they_say() {
        assert_eq!(transformed(Transform::None, &[0.5, -2.0]), [0.5, -2.0]);
        assert_eq!(transformed(Transform::AddOne, &[0.5, -2.0]), [1.5, -1.0]);
        assert_eq!(transformed(Transform::NegExp, &[0.0, 1.0]), [-1.0, -std::f32::consts::E]);
    }
}
