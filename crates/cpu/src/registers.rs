//! The named buffers of a pass.

use dewdrop_backend::{Program, Register};

use crate::activations::Activations;
use crate::buffer::Buffer;
use crate::isa::Isa;
use crate::pool::Pool;

/// Registers, `[n_rows, width]` each, and the int8 of those that a quantized matrix has read.
///
/// An operation writes spare buffers that then take its targets' places, so it may read any register, its own target's
/// old content included, while its tasks write.
pub(crate) struct Registers {
    widths: Vec<usize>,
    n_rows: usize,
    values: Vec<Buffer>,
    quantized: Vec<Activations>,
    /// Whether `quantized` is of the register's present content.
    fresh: Vec<bool>,
    spare: Vec<Buffer>,
}

impl Registers {
    pub(crate) fn new(program: &Program) -> Self {
        let n = program.registers.len();
        Registers {
            widths: program.registers.clone(),
            n_rows: 0,
            values: (0..n).map(|_| Buffer::default()).collect(),
            quantized: (0..n).map(|_| Activations::default()).collect(),
            fresh: vec![false; n],
            spare: Vec::new(),
        }
    }

    /// Starts a pass: all content is forgotten.
    pub(crate) fn begin(&mut self, n_rows: usize) {
        self.n_rows = n_rows;
        self.fresh.fill(false);
        for (values, width) in self.values.iter_mut().zip(&self.widths) {
            values.grow(n_rows * width);
        }
    }

    pub(crate) fn width(&self, register: Register) -> usize {
        self.widths[usize::from(register.0)]
    }

    /// `[n_rows, width]`.
    pub(crate) fn get(&self, register: Register) -> &[f32] {
        let i = usize::from(register.0);
        &self.values[i][..self.n_rows * self.widths[i]]
    }

    /// A register's rows as int8, computed once per content.
    pub(crate) fn quantize(&mut self, isa: Isa, pool: &mut Pool, register: Register) {
        let i = usize::from(register.0);
        if !self.fresh[i] {
            self.quantized[i].fill(
                isa,
                pool,
                &self.values[i][..self.n_rows * self.widths[i]],
                self.widths[i],
            );
            self.fresh[i] = true;
        }
    }

    /// What [`Registers::quantize`] has computed.
    pub(crate) fn quantized(&self, register: Register) -> &Activations {
        let i = usize::from(register.0);
        assert!(self.fresh[i], "register {i} is quantized");
        &self.quantized[i]
    }

    /// A buffer to write a register's next content to, at least as long; its content is anything.
    pub(crate) fn take_spare(&mut self, register: Register) -> Buffer {
        let len = self.n_rows * self.width(register);
        // The smallest that is large enough, or else the largest: buffers wander between registers, and none should
        // become larger than it must.
        let fits = |spare: &Buffer| (spare.len() < len, spare.len().abs_diff(len));
        let best = (0..self.spare.len()).min_by_key(|&i| fits(&self.spare[i]));
        let mut spare = best.map(|i| self.spare.swap_remove(i)).unwrap_or_default();
        spare.grow(len);
        spare
    }

    /// Makes a buffer the register's content.
    pub(crate) fn put(&mut self, register: Register, values: Buffer) {
        let i = usize::from(register.0);
        self.spare.push(std::mem::replace(&mut self.values[i], values));
        self.fresh[i] = false;
    }
}
