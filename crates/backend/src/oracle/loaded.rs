//! A section's weights as the oracle keeps them.

use dewdrop_format::BlockType;

use crate::{BackendError, Op, Section, Weight, WeightSlot, WeightSpec};

/// Matrices as blocks, everything else as f32; by slot.
pub(super) struct Loaded {
    pub(super) section: usize,
    weights: Vec<LoadedWeight>,
}

enum LoadedWeight {
    Matrix(Weight),
    Vector(Vec<f32>),
}

impl Loaded {
    pub(super) fn new(index: usize, section: &Section, weights: Vec<Weight>) -> Result<Self, BackendError> {
        let (found, want) = (weights.len(), section.weights.len());
        assert_eq!(found, want, "weights of section `{}`", section.name);
        let mut loaded = Vec::with_capacity(weights.len());
        for (slot, (weight, spec)) in weights.into_iter().zip(&section.weights).enumerate() {
            check(&weight, spec)?;
            loaded.push(
                if section.ops.iter().any(|op| matrix(op).is_some_and(|m| usize::from(m.0) == slot)) {
                    LoadedWeight::Matrix(weight)
                } else {
                    LoadedWeight::Vector(decode(&weight))
                },
            );
        }
        Ok(Loaded { section: index, weights: loaded })
    }

    pub(super) fn matrix(&self, slot: WeightSlot) -> &Weight {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Matrix(weight) => weight,
            LoadedWeight::Vector(_) => unreachable!("slots of matrices are loaded as matrices"),
        }
    }

    pub(super) fn vector(&self, slot: WeightSlot) -> &[f32] {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Vector(values) => values,
            LoadedWeight::Matrix(_) => panic!("weight slot {} is used as matrix and as vector", slot.0),
        }
    }

    pub(super) fn optional(&self, slot: Option<WeightSlot>) -> Option<&[f32]> {
        slot.map(|slot| self.vector(slot))
    }
}

/// The slot that an operation multiplies or looks up rows in.
fn matrix(op: &Op) -> Option<WeightSlot> {
    match op {
        Op::Embed { table: weight, .. } | Op::Linear { weight, .. } | Op::Unembed { weight, .. } => {
            Some(*weight)
        }
        _ => None,
    }
}

/// Refuses a weight whose shape or bytes are not what the section wants.
fn check(weight: &Weight, spec: &WeightSpec) -> Result<(), BackendError> {
    let shape = weight.n_out == spec.n_out && weight.n_in == spec.n_in;
    if shape && size(weight.block_type, spec) == Some(weight.blocks.len()) {
        return Ok(());
    }
    Err(BackendError::Weight {
        role: spec.role.clone(),
        n_out: weight.n_out,
        n_in: weight.n_in,
        bytes: weight.blocks.len(),
        want_out: spec.n_out,
        want_in: spec.n_in,
    })
}

/// Bytes that a weight of this shape takes; none if channels are no whole blocks.
fn size(block_type: BlockType, spec: &WeightSpec) -> Option<usize> {
    let block = block_type.block();
    let blocks = (spec.n_in / block.len).checked_mul(spec.n_out)?;
    if spec.n_in.is_multiple_of(block.len) { blocks.checked_mul(block.bytes) } else { None }
}

fn decode(weight: &Weight) -> Vec<f32> {
    let mut values = vec![0.0; weight.n_out * weight.n_in];
    (weight.block_type.block().decode)(&weight.blocks, &mut values);
    values
}
