//! A section's weights as the oracle keeps them.

use crate::{BackendError, Op, Section, Weight, WeightSlot};

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
            weight.check(spec)?;
            loaded.push(
                if section.ops.iter().any(|op| matrix(op).is_some_and(|m| usize::from(m.0) == slot)) {
                    LoadedWeight::Matrix(weight)
                } else {
                    LoadedWeight::Vector(weight.decode())
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
