//! The named buffers of a pass.

use std::collections::BTreeSet;
use std::ops::Range;

use dewdrop_backend::quantize::BLOCK;
use dewdrop_backend::{Program, Register};

use crate::buffer::Buffer;
use crate::isa::Isa;
use crate::pool::Pool;
use crate::rows::{Kind, Rounded, Rows};

/// Registers of a tile of rows, `[n_rows, width]` each, and the int8 of those that a quantized matrix has read.
///
/// An operation writes spare buffers that then take its targets' places, so it may read any register, its own target's
/// old content included, while its tasks write. A pass of many tiles puts aside what later sections read of each.
pub(crate) struct Registers {
    widths: Vec<usize>,
    n_rows: usize,
    /// Rows that every buffer has room for: no tile of any pass so far had more.
    most_rows: usize,
    /// Empty where nothing was written yet.
    values: Vec<Buffer>,
    rounded: Vec<Rounded>,
    spare: Vec<Buffer>,
    /// Of each tile, the registers that were put aside.
    aside: Vec<Vec<(Register, Buffer)>>,
}

/// Some channels of a register, or all, that an operation writes.
pub(crate) struct Part {
    pub(crate) register: Register,
    pub(crate) channels: Range<usize>,
    /// Whether the old content may be read while these are written.
    pub(crate) reads_old: bool,
}

impl Registers {
    pub(crate) fn new(program: &Program) -> Self {
        let n = program.registers.len();
        Registers {
            widths: program.registers.clone(),
            n_rows: 0,
            most_rows: 0,
            values: (0..n).map(|_| Buffer::default()).collect(),
            rounded: (0..n).map(|_| Rounded::default()).collect(),
            spare: Vec::new(),
            aside: Vec::new(),
        }
    }

    /// Starts a pass of tiles of so many rows at most: all content is forgotten.
    ///
    /// Buffers stay for passes to come. They become larger all at once, so that each fits every register of its width.
    pub(crate) fn begin(&mut self, tile_rows: usize) {
        for tile in &mut self.aside {
            self.spare.extend(tile.drain(..).map(|(_, values)| values));
        }
        if tile_rows > self.most_rows {
            self.most_rows = tile_rows;
            self.spare.clear();
            self.values.fill_with(Buffer::default);
        }
    }

    /// Turns to a tile, of so many rows: what was put aside of it comes back.
    pub(crate) fn enter(&mut self, tile: usize, n_rows: usize) {
        self.n_rows = n_rows;
        self.rounded.iter_mut().for_each(Rounded::forget);
        if let Some(aside) = self.aside.get_mut(tile) {
            for (register, values) in std::mem::take(aside) {
                self.put(register, values);
            }
        }
    }

    /// Puts some registers aside, to turn to another tile.
    pub(crate) fn leave(&mut self, tile: usize, registers: &BTreeSet<Register>) {
        if self.aside.len() <= tile {
            self.aside.resize_with(tile + 1, Vec::new);
        }
        let values = &mut self.values;
        let take = |&register: &Register| (register, std::mem::take(&mut values[index(register)]));
        self.aside[tile] = registers.iter().map(take).collect();
    }

    /// What was put aside of a register of a tile, `[n_rows, width]`; empty if it was not.
    pub(crate) fn aside(&self, tile: usize, n_rows: usize, register: Register) -> &[f32] {
        let found = self.aside.get(tile).and_then(|tile| tile.iter().find(|(other, _)| *other == register));
        found.map_or(&[], |(_, values)| &values[..n_rows * self.width(register)])
    }

    /// Floats of all buffers.
    pub(crate) fn floats(&self) -> usize {
        let aside = self.aside.iter().flatten().map(|(_, values)| values);
        self.values.iter().chain(&self.spare).chain(aside).map(|values| values.len()).sum()
    }

    /// Writes all buffers, and those for the int8 of some registers, so that they are memory and not a promise of it.
    pub(crate) fn settle(&mut self, quantized: &BTreeSet<Register>) {
        let aside = self.aside.iter_mut().flatten().map(|(_, values)| values);
        for values in self.values.iter_mut().chain(&mut self.spare).chain(aside) {
            values.fill(0.0);
        }
        for &register in quantized {
            let width = self.width(register);
            if width.is_multiple_of(BLOCK) {
                self.rounded[index(register)].settle(self.most_rows, width);
            }
        }
    }

    pub(crate) fn width(&self, register: Register) -> usize {
        self.widths[index(register)]
    }

    /// `[n_rows, width]`.
    ///
    /// # Panics
    /// If nothing was written to it.
    pub(crate) fn get(&self, register: Register) -> &[f32] {
        &self.values[index(register)][..self.n_rows * self.width(register)]
    }

    /// Whether anything was written to it since buffers last became larger.
    pub(crate) fn is_written(&self, register: Register) -> bool {
        !self.values[index(register)].is_empty()
    }

    /// Gets a register's rows ready for products with matrices of a kind.
    pub(crate) fn prepare(&mut self, kind: &Kind, isa: Isa, pool: &mut Pool, register: Register) {
        let (i, width) = (index(register), self.width(register));
        let values = &self.values[i][..self.n_rows * width];
        self.rounded[i].prepare(kind, isa, pool, values, width);
    }

    /// What products of a register with matrices of a kind take.
    ///
    /// # Panics
    /// If that was not [prepared](Registers::prepare).
    pub(crate) fn rows(&self, kind: &Kind, register: Register) -> Rows<'_> {
        self.rounded[index(register)].rows(kind, self.get(register))
    }

    /// A buffer to write a register's next content to, at least as long; its content is anything.
    pub(crate) fn take_spare(&mut self, register: Register) -> Buffer {
        let len = (self.most_rows * self.width(register)).next_multiple_of(16);
        match self.spare.iter().position(|spare| spare.len() == len) {
            Some(i) => self.spare.swap_remove(i),
            None => Buffer::new(len),
        }
    }

    /// A buffer to write a part to, at the part's place: the register's own where others of its channels stay.
    pub(crate) fn take_for(&mut self, part: &Part) -> Buffer {
        let own = &mut self.values[index(part.register)];
        let stays = part.channels.len() < self.widths[index(part.register)] && !own.is_empty();
        if stays && !part.reads_old { std::mem::take(own) } else { self.take_spare(part.register) }
    }

    /// Makes what was written to such a buffer the register's content.
    pub(crate) fn put_part(&mut self, part: &Part, values: Buffer) {
        let (width, own) = (self.width(part.register), &mut self.values[index(part.register)]);
        if part.channels.len() == width || !part.reads_old || own.is_empty() {
            return self.put(part.register, values);
        }
        let rows = own.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for (row, values) in rows.take(self.n_rows) {
            row[part.channels.clone()].copy_from_slice(&values[part.channels.clone()]);
        }
        self.spare.push(values);
        self.rounded[index(part.register)].forget();
    }

    /// Makes a buffer the register's content.
    pub(crate) fn put(&mut self, register: Register, values: Buffer) {
        let old = std::mem::replace(&mut self.values[index(register)], values);
        if !old.is_empty() {
            self.spare.push(old);
        }
        self.rounded[index(register)].forget();
    }
}

fn index(register: Register) -> usize {
    usize::from(register.0)
}
