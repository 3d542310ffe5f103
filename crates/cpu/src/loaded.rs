//! A section's weights as kernels want them.

use dewdrop_backend::{BackendError, Op, Section, Weight, WeightSlot, WeightSpec};

/// By slot: matrices stay file blocks, small tensors become f32.
pub(crate) struct Loaded {
    pub(crate) section: usize,
    weights: Vec<LoadedWeight>,
}

enum LoadedWeight {
    Matrix(Weight),
    Vector(Vec<f32>),
}

/// What an operation uses a slot as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Vector,
    Matrix,
    /// Taps of a convolution, turned from `[channels, kernel]` to `[kernel, channels]`: channels are lanes.
    Taps,
}

impl Loaded {
    pub(crate) fn new(index: usize, section: &Section, weights: Vec<Weight>) -> Result<Self, BackendError> {
        let (found, want) = (weights.len(), section.weights.len());
        assert_eq!(found, want, "weights of section `{}`", section.name);
        let load = |(slot, (weight, spec)): (usize, (Weight, &WeightSpec))| {
            weight.check(spec)?;
            let uses = section.ops.iter().map(|op| usage(op, slot));
            Ok(match uses.max().unwrap_or(Use::Vector) {
                Use::Matrix => LoadedWeight::Matrix(weight),
                Use::Vector => LoadedWeight::Vector(weight.decode()),
                Use::Taps => LoadedWeight::Vector(turned(&weight.decode(), weight.n_out, weight.n_in)),
            })
        };
        let weights = weights.into_iter().zip(&section.weights).enumerate().map(load);
        Ok(Loaded { section: index, weights: weights.collect::<Result<_, _>>()? })
    }

    pub(crate) fn matrix(&self, slot: WeightSlot) -> &Weight {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Matrix(weight) => weight,
            LoadedWeight::Vector(_) => panic!("weight slot {} is used as matrix and as vector", slot.0),
        }
    }

    pub(crate) fn vector(&self, slot: WeightSlot) -> &[f32] {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Vector(values) => values,
            LoadedWeight::Matrix(_) => panic!("weight slot {} is used as matrix and as vector", slot.0),
        }
    }

    pub(crate) fn optional(&self, slot: Option<WeightSlot>) -> Option<&[f32]> {
        slot.map(|slot| self.vector(slot))
    }
}

/// What `op` uses the slot as; a vector if it does not.
fn usage(op: &Op, slot: usize) -> Use {
    match op {
        Op::Embed { table: used, .. }
        | Op::Linear { weight: used, .. }
        | Op::Unembed { weight: used, .. }
            if usize::from(used.0) == slot =>
        {
            Use::Matrix
        }
        Op::DeltaRule { conv: used, .. } | Op::ShortConv { conv: used, .. }
            if usize::from(used.0) == slot =>
        {
            Use::Taps
        }
        _ => Use::Vector,
    }
}

fn turned(values: &[f32], n_out: usize, n_in: usize) -> Vec<f32> {
    (0..n_out * n_in).map(|i| values[i % n_out * n_in + i / n_out]).collect()
}
