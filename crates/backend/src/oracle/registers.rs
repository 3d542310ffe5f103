//! The buffers of a pass.

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
        let width = self.width(out);
        let target = &mut self.values[usize::from(out.0)];
        let (found, want) = (values.len(), target.len());
        assert_eq!(found, want, "floats written to register {}, {width} wide", out.0);
        if add {
            for (target, value) in target.iter_mut().zip(values) {
                *target += value;
            }
        } else {
            *target = values;
        }
    }
}
