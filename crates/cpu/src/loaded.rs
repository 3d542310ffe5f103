//! A section's weights as kernels want them.

use std::sync::Mutex;

use dewdrop_backend::{BackendError, Blocks, Op, Section, Weight, WeightSlot, WeightSpec};
use dewdrop_format::BlockType;

use crate::isa::Isa;
use crate::panels::{self, arrangement};
use crate::pool::Pool;
use crate::scratch::Scratch;
use crate::unpack::Arrange;

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
    /// Whether it lies as kernels like it, in memory of our own.
    pub(crate) is_settled: bool,
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

/// Bytes of memory that a matrix takes a second time while it is rearranged, though it was given to the backend.
pub fn moved_bytes(block_type: BlockType, n_out: usize, n_in: usize) -> u64 {
    match arrangement(block_type, n_in) {
        Some(_) if !panels::fits_in_place(n_out) => panels::bytes(block_type, n_out, n_in) as u64,
        _ => 0,
    }
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

    /// Rearranges matrices into panels where they lie, those whose memory was given to us. Results are the same before and
    /// after.
    pub(crate) fn arrange_in_place(&mut self, pool: &mut Pool, scratch: &[Mutex<Scratch>], isa: Isa) {
        let matrices = self.weights.iter_mut().filter_map(LoadedWeight::as_matrix_mut);
        for matrix in matrices.filter(|matrix| !matrix.is_settled) {
            matrix.arrange_in_place(pool, scratch, isa);
        }
    }

    /// Moves the other matrices into memory of our own on huge pages, at most `room` bytes, rearranged into panels where
    /// kernels want that, and lets go of their file blocks; returns how many bytes that were. Results are the same before and
    /// after. Where there is no memory for it, all stays as it is.
    pub(crate) fn arrange_moved(&mut self, pool: &mut Pool, isa: Isa, room: usize) -> usize {
        if std::mem::replace(&mut self.arranged, true) {
            return 0;
        }
        let matrices = || self.weights.iter().filter_map(LoadedWeight::as_matrix).filter(|m| !m.is_settled);
        let bytes = matrices().map(Matrix::arranged_bytes).sum();
        if bytes == 0 || bytes > room {
            return 0;
        }
        let Ok(mut memory) = panels::memory(bytes) else { return 0 };
        let mut rest = &mut memory[..];
        for matrix in matrices() {
            let (out, others) = rest.split_at_mut(matrix.arranged_bytes());
            match matrix.arrangement() {
                Some(arrange) => {
                    panels::rearrange(pool, isa, arrange, &matrix.blocks, matrix.channel_bytes(), out);
                }
                None => panels::copy(pool, &matrix.blocks, out),
            }
            rest = others;
        }
        let (memory, mut at) = (panels::share(memory), 0);
        let matrices = self.weights.iter_mut().filter_map(LoadedWeight::as_matrix_mut);
        for matrix in matrices.filter(|matrix| !matrix.is_settled) {
            let n = matrix.arranged_bytes();
            matrix.blocks = memory.slice(at..at + n);
            matrix.settle();
            at += n;
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

    fn as_matrix_mut(&mut self) -> Option<&mut Matrix> {
        match self {
            LoadedWeight::Matrix(matrix) => Some(matrix),
            _ => None,
        }
    }
}

impl Matrix {
    fn arrangement(&self) -> Option<Arrange> {
        arrangement(self.block_type, self.n_in)
    }

    fn channel_bytes(&self) -> usize {
        self.block_type.bytes_for(self.n_in)
    }

    /// Arranges it where it lies, if its memory is ours and it fits there.
    fn arrange_in_place(&mut self, pool: &mut Pool, scratch: &[Mutex<Scratch>], isa: Isa) {
        let (arrangement, channel_bytes) = (self.arrangement(), self.channel_bytes());
        let Some(bytes) = self.blocks.bytes_mut() else { return };
        // Other floats stay in the file's order.
        if let Some(arrange) = arrangement {
            if !panels::fits_in_place(self.n_out) {
                return;
            }
            panels::rearrange_in_place(pool, scratch, isa, arrange, bytes, channel_bytes);
        }
        self.settle();
    }

    /// It lies as it should.
    fn settle(&mut self) {
        self.is_settled = true;
        if self.arrangement().is_some() {
            self.layout = Layout::Panels;
        }
    }

    /// Bytes that it takes in memory of our own.
    fn arranged_bytes(&self) -> usize {
        match self.arrangement() {
            Some(_) => panels::bytes(self.block_type, self.n_out, self.n_in),
            None => self.blocks.len(),
        }
    }
}

impl From<Weight> for Matrix {
    fn from(weight: Weight) -> Self {
        let Weight { block_type, n_out, n_in, blocks } = weight;
        Matrix { block_type, n_out, n_in, layout: Layout::File, blocks, is_settled: false }
    }
}

/// What `op` uses the slot as; a vector if it does not.
fn usage(op: &Op, slot: usize) -> Use {
    match op {
        Op::Embed { table: used, .. } if usize::from(used.0) == slot => Use::Table,
        _ if op.matrix().is_some_and(|used| usize::from(used.0) == slot) => Use::Matrix,
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
