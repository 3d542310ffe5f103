//! How much memory a pass takes besides weights and what sequences keep.

use std::collections::BTreeSet;

use dewdrop_backend::{Op, Program, Register, Section};

use crate::activations::Activations;
use crate::buffer::Buffer;
use crate::pairs::Pairs;
use crate::pass::{TILE, go_together};
use crate::registers::{Part, Registers};

/// Bytes of activations of a pass of `n_rows` rows: registers, the int8 of those that matrices read, their bfloat16 if there
/// are matrices of that, and what one operation makes for itself.
pub fn activation_bytes(program: &Program, n_rows: usize, has_bfloat16: bool) -> u64 {
    let tile_rows = n_rows.min(TILE);
    // A row stands for a tile: buffers of one row are as many as those of any number.
    let mut registers = Registers::new(program);
    walk(&mut registers, program, &program.carried(), n_rows, 1);
    let width = |register: &Register| program.registers[usize::from(register.0)];
    let rounded = |register: &Register| {
        let integers = Activations::bytes(tile_rows, width(register));
        integers + if has_bfloat16 { Pairs::bytes(tile_rows, width(register)) } else { 0 }
    };
    let rounded: usize = quantized(program).iter().map(rounded).sum();
    let floats = registers.floats() + temporary(program);
    (floats * tile_rows * size_of::<f32>() + rounded) as u64
}

/// Has all buffers made that a pass of `n_rows` rows needs, of `tile_rows` rows each.
pub(crate) fn walk(
    registers: &mut Registers,
    program: &Program,
    carried: &[BTreeSet<Register>],
    n_rows: usize,
    tile_rows: usize,
) {
    registers.begin(tile_rows);
    let n_tiles = n_rows.div_ceil(TILE);
    for (section, carried) in program.sections.iter().zip(carried) {
        for tile in 0..n_tiles {
            registers.enter(tile, tile_rows);
            for ops in section.ops.chunk_by(go_together) {
                let parts: Vec<Part> = ops.iter().filter_map(|op| written(section, op, registers)).collect();
                let values: Vec<Buffer> = parts.iter().map(|part| registers.take_for(part)).collect();
                parts.iter().zip(values).for_each(|(part, values)| registers.put_part(part, values));
            }
            if n_tiles > 1 {
                registers.leave(tile, carried);
            }
        }
    }
}

/// What an operation writes; none: logits.
fn written(section: &Section, op: &Op, registers: &Registers) -> Option<Part> {
    let register = op.output()?;
    let channels = section.channels(op).unwrap_or(0..registers.width(register));
    Some(Part { register, channels, reads_old: op.reads_output() })
}

/// Registers that matrices read, as int8 if they are quantized.
pub(crate) fn quantized(program: &Program) -> BTreeSet<Register> {
    let input = |op: &Op| match op {
        Op::Linear { input, .. } => Some(*input),
        _ => None,
    };
    program.sections.iter().flat_map(|section| &section.ops).filter_map(input).collect()
}

/// Floats per row that an operation makes for itself, and lets go of at its end.
fn temporary(program: &Program) -> usize {
    let width = |register: &Register| program.registers[usize::from(register.0)];
    let floats = |op: &Op| match op {
        // Queries without their gates, and keys, made ready.
        Op::Attend { k, out, .. } => width(k) + width(out),
        // What the convolution yields, and its inputs.
        Op::DeltaRule { qkv, .. } => 2 * width(qkv),
        Op::ShortConv { out, .. } => width(out),
        _ => 0,
    };
    program.sections.iter().flat_map(|section| &section.ops).map(floats).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use dewdrop_backend::{Activation, WeightSlot, WeightSpec};

    use super::*;

    /// A feed-forward in three sections, as it is cut where memory is short.
    fn program() -> Program {
        let [stream, normed, gate, up] = [0, 1, 2, 3].map(Register);
        let linear =
            |input, out, add| Op::Linear { input, weight: WeightSlot(0), bias: None, out, first: 0, add };
        let sections = [
            vec![Op::Embed { table: WeightSlot(0), scale: 1.0, out: stream }],
            vec![
                Op::Norm { input: stream, weight: None, eps: 0.0, out: normed, add: false },
                linear(normed, gate, false),
            ],
            vec![
                linear(normed, up, false),
                Op::Glu { gate, up, out: gate, channels: 0..96, activation: Activation::Silu },
            ],
            vec![linear(gate, stream, true)],
        ];
        let registers = vec![32, 32, 96, 96];
        let section = |ops: Vec<Op>| {
            let out = ops.iter().find(|op| op.matrix().is_some()).and_then(Op::output);
            let n_out = out.map_or(1, |out| registers[usize::from(out.0)]);
            let weights = vec![WeightSpec { role: String::new(), n_out, n_in: 32 }];
            Section { name: String::new(), ops, weights }
        };
        Program {
            n_vocab: 1,
            width: 32,
            registers: registers.clone(),
            residual: stream,
            ropes: Vec::new(),
            states: Vec::new(),
            sections: sections.map(section).into(),
        }
    }

    #[test]
    fn only_what_is_carried_grows_with_the_rows() {
        let program = program();
        let tile = |n| activation_bytes(&program, n * TILE, false);
        // The stream, its norm and the gate.
        let carried = (TILE * (32 + 32 + 96) * size_of::<f32>()) as u64;
        assert_eq!(tile(6) - tile(3), 3 * carried);
        assert!(tile(1) < 3 * carried);
    }

    #[test]
    fn a_second_pass_needs_no_more() {
        let program = program();
        for n_rows in [1, TILE, 5 * TILE] {
            let mut registers = Registers::new(&program);
            walk(&mut registers, &program, &program.carried(), n_rows, 1);
            let floats = registers.floats();
            walk(&mut registers, &program, &program.carried(), n_rows, 1);
            assert_eq!(registers.floats(), floats, "{n_rows} rows");
        }
    }
}
