//! The buffers of a pass.

use std::ops::Range;

use crate::{Program, Register};

/// Floats per row, `[n_rows, width]` for each register.
pub(super) struct Registers {
    widths: Vec<usize>,
    values: Vec<Vec<f32>>,
}

impl Registers {
    pub(super) fn new(program: &Program) -> Self {
        Registers { widths: program.registers.clone(), values: vec![Vec::new(); program.registers.len()] }
    }

    /// Zeros for a pass of `n_rows`.
    pub(super) fn reset(&mut self, n_rows: usize) {
        for (values, width) in self.values.iter_mut().zip(&self.widths) {
            values.clear();
            values.resize(n_rows * width, 0.0);
        }
    }

    pub(super) fn width(&self, register: Register) -> usize {
        self.widths[usize::from(register.0)]
    }

    pub(super) fn all(&self, register: Register) -> &[f32] {
        &self.values[usize::from(register.0)]
    }

    pub(super) fn row(&self, register: Register, row: usize) -> &[f32] {
        let width = self.width(register);
        &self.all(register)[row * width..][..width]
    }

    /// `out = values`, or `out = out + values`.
    pub(super) fn put(&mut self, out: Register, values: Vec<f32>, add: bool) {
        self.put_channels(out, 0..self.width(out), values, add);
    }

    /// The same of some channels; `values`: `[n_rows, n]`.
    pub(super) fn put_channels(
        &mut self,
        out: Register,
        channels: Range<usize>,
        values: Vec<f32>,
        add: bool,
    ) {
        let width = self.width(out);
        let target = &mut self.values[usize::from(out.0)];
        let (found, want) = (values.len(), target.len() / width * channels.len());
        assert_eq!(
            found, want,
            "floats written to channels {channels:?} of register {}, {width} wide",
            out.0
        );
        for (row, values) in target.chunks_exact_mut(width).zip(values.chunks_exact(channels.len())) {
            for (target, value) in row[channels.clone()].iter_mut().zip(values) {
                *target = if add { *target + value } else { *value };
            }
        }
    }
}
