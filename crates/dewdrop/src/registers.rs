//! A register for each width.
//!
//! The compiler lets values of different widths take turns in a register, as wide as the widest; backends want every
//! register full. So values are renamed here: one register for each (register, width) that the program writes.

use std::collections::HashMap;

use dewdrop_backend::{Op, Program, Register, Section, WeightSlot};

/// Renames registers so that every operation fills the one it writes.
#[doc(hidden)]
pub fn split_registers(program: &mut Program) {
    let mut renamer = Renamer::default();
    // The residual stream keeps its width, and its name is known outside.
    let residual = renamer.write(program.residual, program.width);
    for section in &mut program.sections {
        let mut ops = std::mem::take(&mut section.ops);
        for op in &mut ops {
            renamer.rename(op, section, program.width);
        }
        section.ops = ops;
    }
    program.residual = residual;
    program.registers = renamer.widths;
}

#[derive(Default)]
struct Renamer {
    widths: Vec<usize>,
    names: HashMap<(Register, usize), Register>,
    /// What a register's present value is called now.
    present: HashMap<Register, Register>,
}

impl Renamer {
    fn rename(&mut self, op: &mut Op, section: &Section, model_width: usize) {
        let n_out = |slot: &WeightSlot| section.weights[usize::from(slot.0)].n_out;
        match op {
            Op::Embed { out, .. } => *out = self.write(*out, model_width),
            Op::Norm { input, out, .. } => {
                *input = self.read(*input);
                *out = self.write(*out, self.width(*input));
            }
            Op::Linear { input, weight, out, .. } => {
                *input = self.read(*input);
                *out = self.write(*out, n_out(weight));
            }
            Op::Attend { q, k, v, out, spec, .. } => {
                self.read_all([q, k, v]);
                *out = self.write(*out, spec.n_heads * spec.head_dim);
            }
            Op::DeltaRule { qkv, z, beta, alpha, out, .. } => {
                self.read_all([qkv, &mut *z, beta, alpha]);
                *out = self.write(*out, self.width(*z));
            }
            Op::ShortConv { bcx, out, spec, .. } => {
                *bcx = self.read(*bcx);
                *out = self.write(*out, spec.width);
            }
            Op::Glu { gate, up, out, .. } => {
                self.read_all([&mut *gate, up]);
                *out = self.write(*out, self.width(*gate));
            }
            Op::Unembed { input, .. } => *input = self.read(*input),
        }
    }

    fn width(&self, name: Register) -> usize {
        self.widths[usize::from(name.0)]
    }

    fn read(&self, register: Register) -> Register {
        self.present[&register]
    }

    fn read_all<const N: usize>(&self, registers: [&mut Register; N]) {
        for register in registers {
            *register = self.read(*register);
        }
    }

    fn write(&mut self, register: Register, width: usize) -> Register {
        let widths = &mut self.widths;
        let name = *self.names.entry((register, width)).or_insert_with(|| {
            widths.push(width);
            Register(u8::try_from(widths.len() - 1).expect("few widths in a model"))
        });
        self.present.insert(register, name);
        name
    }
}
