//! A section's weights as kernels want them.

use dewdrop_backend::{BackendError, Blocks, Op, Section, Weight, WeightSlot, WeightSpec};
use dewdrop_format::BlockType;

use crate::panels;
use crate::pool::Pool;
use crate::unpack::Unpacker;

/// By slot: matrices in blocks, small tensors as f32.
pub(crate) struct Loaded {
    pub(crate) section: usize,
    pub(crate) has_run: bool,
    weights: Vec<LoadedWeight>,
    arranged: bool,
}

enum LoadedWeight {
    Table(Weight),
    Matrix(Matrix),
    Vector(Vec<f32>),
}

/// A matrix that rows are multiplied with.
pub(crate) struct Matrix {
    pub(crate) block_type: BlockType,
    pub(crate) n_out: usize,
    pub(crate) n_in: usize,
    pub(crate) layout: Layout,
    pub(crate) blocks: Blocks,
}

/// In which order a matrix's blocks stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Channel by channel.
    File,
    /// As [`crate::panels`] says.
    Panels,
}

/// What an operation uses a slot as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Vector,
    Matrix,
    /// A matrix whose rows are looked up.
    Table,
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
                Use::Table => LoadedWeight::Table(weight),
                Use::Matrix => LoadedWeight::Matrix(weight.into()),
                Use::Vector => LoadedWeight::Vector(weight.decode()),
                Use::Taps => LoadedWeight::Vector(turned(&weight.decode(), weight.n_out, weight.n_in)),
            })
        };
        let weights = weights.into_iter().zip(&section.weights).enumerate().map(load);
        let weights = weights.collect::<Result<_, _>>()?;
        Ok(Loaded { section: index, has_run: false, weights, arranged: false })
    }

    /// Moves matrices into memory of our own on huge pages, at most `room` bytes, quantized ones rearranged into panels,
    /// and lets go of their file blocks; returns how many bytes that were. Results are the same before and after. Where
    /// there is no memory for it, all stays as it is.
    pub(crate) fn arrange(&mut self, pool: &mut Pool, room: usize) -> usize {
        if std::mem::replace(&mut self.arranged, true) {
            return 0;
        }
        let matrices = || self.weights.iter().filter_map(LoadedWeight::as_matrix);
        let bytes = matrices().map(Matrix::arranged_bytes).sum();
        if bytes == 0 || bytes > room {
            return 0;
        }
        let Ok(mut memory) = panels::memory(bytes) else { return 0 };
        let mut rest = &mut memory[..];
        for matrix in matrices() {
            let (out, others) = rest.split_at_mut(matrix.arranged_bytes());
            match Unpacker::of(matrix.block_type) {
                Some(unpacker) => {
                    panels::rearrange(pool, unpacker, matrix.block_type, &matrix.blocks, matrix.n_in, out);
                }
                None => panels::copy(pool, &matrix.blocks, out),
            }
            rest = others;
        }
        let (memory, mut at) = (panels::share(memory), 0);
        for weight in &mut self.weights {
            if let LoadedWeight::Matrix(matrix) = weight {
                let n = matrix.arranged_bytes();
                matrix.blocks = memory.slice(at..at + n);
                if Unpacker::of(matrix.block_type).is_some() {
                    matrix.layout = Layout::Panels;
                }
                at += n;
            }
        }
        at
    }

    pub(crate) fn table(&self, slot: WeightSlot) -> &Weight {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Table(weight) => weight,
            _ => panic!("weight slot {} is no table", slot.0),
        }
    }

    pub(crate) fn matrix(&self, slot: WeightSlot) -> &Matrix {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Matrix(matrix) => matrix,
            _ => panic!("weight slot {} is no matrix", slot.0),
        }
    }

    pub(crate) fn vector(&self, slot: WeightSlot) -> &[f32] {
        match &self.weights[usize::from(slot.0)] {
            LoadedWeight::Vector(values) => values,
            _ => panic!("weight slot {} is no vector", slot.0),
        }
    }

    pub(crate) fn optional(&self, slot: Option<WeightSlot>) -> Option<&[f32]> {
        slot.map(|slot| self.vector(slot))
    }
}

impl LoadedWeight {
    fn as_matrix(&self) -> Option<&Matrix> {
        match self {
            LoadedWeight::Matrix(matrix) => Some(matrix),
            _ => None,
        }
    }
}

impl Matrix {
    /// Bytes that it takes in memory of our own.
    fn arranged_bytes(&self) -> usize {
        match Unpacker::of(self.block_type) {
            Some(_) => panels::bytes(self.block_type, self.n_out, self.n_in),
            None => self.blocks.len(),
        }
    }
}

impl From<Weight> for Matrix {
    fn from(weight: Weight) -> Self {
        let Weight { block_type, n_out, n_in, blocks } = weight;
        Matrix { block_type, n_out, n_in, layout: Layout::File, blocks }
    }
}

/// What `op` uses the slot as; a vector if it does not.
fn usage(op: &Op, slot: usize) -> Use {
    match op {
        Op::Embed { table: used, .. } if usize::from(used.0) == slot => Use::Table,
        Op::Linear { weight: used, .. } | Op::Unembed { weight: used, .. } if usize::from(used.0) == slot => {
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
