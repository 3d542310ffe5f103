//! A program in smaller sections, for those who cannot have a whole layer's weights at once.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::{Op, Program, Register, Section, WeightSlot, WeightSpec};

/// Channels of a slice are a multiple of this: enough for the tiles of any kernel.
const SLICE: usize = 64;

/// A program with the same operations in the same order, in sections that may be smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// It computes the same bits.
    pub program: Program,
    /// Where each of its sections comes from.
    pub origins: Vec<Origin>,
}

/// Where a section of a cut program comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the section in the program that was cut.
    pub section: usize,
    /// For each weight slot, the weight there.
    pub weights: Vec<WeightPart>,
}

/// A weight of a section that was cut, or some channels of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightPart {
    /// Index of its slot.
    pub slot: usize,
    /// These channels alone; none: all.
    pub channels: Option<Range<usize>>,
}

impl Program {
    /// Cuts sections, so that the weights of each have `most` bytes at most where they can: between operations, and
    /// matrices that are larger than that by their channels. `bytes`: of a weight, by section and slot.
    pub fn cut(&self, most: u64, bytes: impl Fn(usize, usize) -> u64) -> Cut {
        let (mut pieces, carried) = (Vec::new(), self.carried());
        for (index, section) in self.sections.iter().enumerate() {
            let first = pieces.len();
            let bytes = |slot| bytes(index, slot);
            for slice in slices(section, &carried[index], most, bytes) {
                let bytes = |part: &WeightPart| part.bytes(&section.weights, bytes);
                let last = pieces[first..].last_mut();
                match last.filter(|piece: &&mut Piece| piece.takes(&slice, most, bytes)) {
                    Some(piece) => piece.add(slice, section),
                    None => pieces.push(Piece::new(index, slice, section)),
                }
            }
            name_parts(&mut pieces[first..]);
        }
        let (sections, origins) = pieces.into_iter().map(|piece| (piece.section, piece.origin)).unzip();
        Cut { program: Program { sections, ..self.clone() }, origins }
    }
}

impl WeightPart {
    /// Bytes of it, if the whole of a slot has `bytes`.
    fn bytes(&self, weights: &[WeightSpec], bytes: impl Fn(usize) -> u64) -> u64 {
        let (whole, n_out) = (bytes(self.slot), weights[self.slot].n_out as u64);
        self.channels.as_ref().map_or(whole, |channels| whole / n_out * channels.len() as u64)
    }
}

/// Operations that stay together, of whose matrices some channels may be enough.
struct Slice {
    ops: Vec<Op>,
    channels: Option<Range<usize>>,
}

impl Slice {
    /// The weights that it needs, in the order of its operations' slots.
    fn weights(&self) -> Vec<WeightPart> {
        self.ops.iter().flat_map(|op| self.weights_of(op)).collect()
    }

    fn weights_of(&self, op: &Op) -> Vec<WeightPart> {
        let matrix = op.matrix();
        let part = |slot: &mut WeightSlot| {
            let channels = self.channels.clone().filter(|_| matrix == Some(*slot));
            WeightPart { slot: usize::from(slot.0), channels }
        };
        op.clone().slots_mut().into_iter().map(part).collect()
    }
}

/// A section's operations in order, in slices where their matrices have more than `most` bytes.
fn slices(
    section: &Section,
    carried: &BTreeSet<Register>,
    most: u64,
    bytes: impl Fn(usize) -> u64,
) -> Vec<Slice> {
    let (mut slices, mut rest) = (Vec::new(), &section.ops[..]);
    let ranges = |ops: &[Op]| ranges(ops, section, most, &bytes);
    while let [op, others @ ..] = rest {
        // A slice of gates meets its values at once: neither waits for all of them.
        if let [gate, up, glu, others @ ..] = rest
            && is_gated([gate, up, glu], section, carried)
            && let Some(ranges) = ranges(&rest[..2])
        {
            slices.extend(ranges.into_iter().map(|channels| {
                let ops = vec![gate.starting_at(0), up.starting_at(0), glu.of_channels(channels.clone())];
                Slice { ops, channels: Some(channels) }
            }));
            rest = others;
            continue;
        }
        let slice = |channels: Range<usize>| Slice {
            ops: vec![op.starting_at(channels.start)],
            channels: Some(channels),
        };
        match ranges(&rest[..1]) {
            Some(ranges) => slices.extend(ranges.into_iter().map(slice)),
            None => slices.push(Slice { ops: vec![op.clone()], channels: None }),
        }
        rest = others;
    }
    slices
}

/// Channels of slices of products side by side, if their matrices have more than `most` bytes and as many channels.
fn ranges(ops: &[Op], of: &Section, most: u64, bytes: impl Fn(usize) -> u64) -> Option<Vec<Range<usize>>> {
    let slots: Option<Vec<usize>> = ops.iter().map(|op| Some(usize::from(op.matrix()?.0))).collect();
    let slots = slots?;
    let n_out = of.weights[*slots.first()?].n_out;
    let bytes: u64 = slots.iter().map(|&slot| bytes(slot)).sum();
    // Of its own input the first slice would write what the second reads.
    let is_in_place = |op: &Op| matches!(op, Op::Linear { input, out, .. } if input == out);
    let are_alike = slots.iter().all(|&slot| of.weights[slot].n_out == n_out);
    if bytes <= most || n_out <= SLICE || !are_alike || ops.iter().any(is_in_place) {
        return None;
    }
    let channel = (bytes / n_out as u64).max(1);
    let longest = usize::try_from(most / channel).unwrap_or(usize::MAX) / SLICE * SLICE;
    let n = n_out.div_ceil(longest.max(SLICE));
    let len = n_out.div_ceil(n).next_multiple_of(SLICE);
    Some((0..n_out).step_by(len).map(|first| first..n_out.min(first + len)).collect())
}

/// Whether two products are gates and what these let through, and nobody but the third operation reads them.
fn is_gated([a, b, glu]: [&Op; 3], of: &Section, carried: &BTreeSet<Register>) -> bool {
    let (
        Op::Linear { input: x, out: a, bias: None, add: false, .. },
        Op::Linear { input: y, out: b, bias: None, add: false, .. },
        Op::Glu { gate, up, out, .. },
    ) = (a, b, glu)
    else {
        return false;
    };
    let is_read_once = |register: &Register| {
        let n_readers = of.ops.iter().filter(|op| op.inputs().contains(register)).count();
        n_readers == 1 && !carried.contains(register)
    };
    let are_apart = a != b && ![x, y, out].into_iter().any(|other| other == a || other == b);
    (a, b) == (gate, up) && are_apart && is_read_once(a) && is_read_once(b)
}

/// A part of a section in the making.
struct Piece {
    section: Section,
    origin: Origin,
}

impl Piece {
    fn new(index: usize, slice: Slice, of: &Section) -> Self {
        let section = Section { name: of.name.clone(), ops: Vec::new(), weights: Vec::new() };
        let mut piece = Piece { section, origin: Origin { section: index, weights: Vec::new() } };
        piece.add(slice, of);
        piece
    }

    /// Whether it stays within `most` bytes with one more slice, or as it is where that has no weights of its own.
    fn takes(&self, slice: &Slice, most: u64, bytes: impl Fn(&WeightPart) -> u64) -> bool {
        let mut weights = self.origin.weights.clone();
        weights.extend(slice.weights().into_iter().filter(|part| !self.origin.weights.contains(part)));
        weights.len() == self.origin.weights.len() || weights.iter().map(bytes).sum::<u64>() <= most
    }

    fn add(&mut self, slice: Slice, of: &Section) {
        for op in &slice.ops {
            let mut op = op.clone();
            let weights = slice.weights_of(&op);
            for (slot, part) in op.slots_mut().into_iter().zip(weights) {
                *slot = self.slot(part, of);
            }
            self.section.ops.push(op);
        }
    }

    /// The piece's slot for a weight of the whole section, or a part of one.
    fn slot(&mut self, part: WeightPart, of: &Section) -> WeightSlot {
        let known = self.origin.weights.iter().position(|known| *known == part);
        let index = known.unwrap_or_else(|| {
            let mut spec = of.weights[part.slot].clone();
            spec.n_out = part.channels.as_ref().map_or(spec.n_out, |channels| channels.len());
            self.section.weights.push(spec);
            self.origin.weights.push(part);
            self.origin.weights.len() - 1
        });
        WeightSlot(u16::try_from(index).expect("no more slots than the whole section"))
    }
}

/// `layer 3, part 2 of 4`.
fn name_parts(pieces: &mut [Piece]) {
    let n = pieces.len();
    if n > 1 {
        for (i, piece) in pieces.iter_mut().enumerate() {
            piece.section.name += &format!(", part {} of {n}", i + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(weight: u16, bias: Option<u16>) -> Op {
        let (input, out) = (Register(0), Register(0));
        Op::Linear {
            input,
            weight: WeightSlot(weight),
            bias: bias.map(WeightSlot),
            out,
            first: 0,
            add: false,
        }
    }

    /// One section whose weights have as many bytes as their role says.
    fn program(ops: Vec<Op>, sizes: &[u64]) -> Program {
        let weight = |size: &u64| WeightSpec { role: size.to_string(), n_out: 1, n_in: 1 };
        let weights = sizes.iter().map(weight).collect();
        Program {
            n_vocab: 1,
            width: 1,
            registers: vec![1],
            residual: Register(0),
            ropes: Vec::new(),
            states: Vec::new(),
            sections: vec![Section { name: "layer 0".into(), ops, weights }],
        }
    }

    fn slots(origin: &Origin) -> Vec<usize> {
        origin.weights.iter().map(|part| part.slot).collect()
    }

    #[test]
    fn operations_stay_in_order_with_their_weights() {
        let sizes = [10, 1, 10, 30, 5];
        let ops = vec![linear(0, Some(1)), linear(2, Some(1)), linear(3, None), linear(4, Some(1))];
        let cut = program(ops, &sizes).cut(21, |_, slot| sizes[slot]);
        let slots: Vec<Vec<usize>> = cut.origins.iter().map(slots).collect();
        assert_eq!(slots, [&[0, 1, 2][..], &[3], &[4, 1]]);
        let [a, b, c] = &cut.program.sections[..] else { panic!("three parts") };
        assert_eq!(a.ops, [linear(0, Some(1)), linear(2, Some(1))]);
        assert_eq!((&b.ops[..], &c.ops[..]), (&[linear(0, None)][..], &[linear(0, Some(1))][..]));
        let roles: Vec<&str> = c.weights.iter().map(|weight| &weight.role[..]).collect();
        assert_eq!((roles, &c.name[..]), (vec!["5", "1"], "layer 0, part 3 of 3"));
    }

    #[test]
    fn operations_without_weights_go_with_those_before() {
        let glu = Op::Glu {
            gate: Register(0),
            up: Register(0),
            out: Register(0),
            channels: 0..1,
            activation: crate::Activation::Silu,
        };
        let cut = program(vec![linear(0, None), glu.clone(), linear(1, None)], &[9, 9]).cut(1, |_, _| 9);
        let [a, b] = &cut.program.sections[..] else { panic!("two parts") };
        assert_eq!((&a.ops[..], &b.ops[..]), (&[linear(0, None), glu][..], &[linear(0, None)][..]));
    }

    #[test]
    fn large_matrices_are_cut_by_channels() {
        let head = Op::Unembed { input: Register(0), weight: WeightSlot(2), first: 0, softcap: Some(1.0) };
        let sizes = [5, 40, 1000];
        let mut program = program(vec![linear(0, None), linear(2, Some(1)), head], &sizes);
        program.registers.push(1);
        program.sections[0].weights[2].n_out = 300;
        let Op::Linear { out, .. } = &mut program.sections[0].ops[1] else { panic!("a product") };
        *out = Register(1);
        let cut = program.cut(500, |_, slot| sizes[slot]);
        let parts = |origin: &Origin| -> Vec<_> {
            origin.weights.iter().map(|part| (part.slot, part.channels.clone())).collect()
        };
        let parts: Vec<_> = cut.origins.iter().map(parts).collect();
        // The small one goes with the first slice.
        let want = [
            vec![(0, None), (2, Some(0..128)), (1, None)],
            vec![(2, Some(128..256)), (1, None)],
            vec![(2, Some(256..300)), (1, None)],
            vec![(2, Some(0..128))],
            vec![(2, Some(128..256))],
            vec![(2, Some(256..300))],
        ];
        assert_eq!(parts, want);
        let [_, product, .., head] = &cut.program.sections[..] else { panic!("six parts") };
        assert_eq!((product.weights[0].n_out, head.weights[0].n_out), (128, 44));
        let first_of = |section: &Section| match section.ops[..] {
            [Op::Linear { first, .. } | Op::Unembed { first, .. }] => first,
            _ => panic!("{section:?}"),
        };
        assert_eq!((first_of(product), first_of(head)), (128, 256));
    }

    #[test]
    fn gates_are_cut_with_what_they_let_through() {
        let [x, gate, up, out] = [0, 1, 2, 3].map(Register);
        let product = |slot, out| Op::Linear {
            input: x,
            weight: WeightSlot(slot),
            bias: None,
            out,
            first: 0,
            add: false,
        };
        let glu = |channels| Op::Glu { gate, up, out, channels, activation: crate::Activation::Silu };
        let mut program = program(vec![product(0, gate), product(1, up), glu(0..300)], &[1000, 1000]);
        program.registers = vec![1, 300, 300, 300];
        program.sections[0].weights.iter_mut().for_each(|weight| weight.n_out = 300);
        let cut = program.cut(900, |_, _| 1000);
        let ops: Vec<&[Op]> = cut.program.sections.iter().map(|section| &section.ops[..]).collect();
        let slice = |channels| [product(0, gate), product(1, up), glu(channels)];
        assert_eq!(ops, [&slice(0..128)[..], &slice(128..256), &slice(256..300)]);
        assert_eq!(cut.program.sections[2].weights[1].n_out, 44);
        // Nothing but the stream and what is done waits for the next slice.
        assert!(cut.program.carried()[0].is_subset(&[x, out].into()));
        // Whoever reads the values otherwise needs all of them.
        program.sections[0].ops.push(Op::Glu {
            gate: up,
            up,
            out: gate,
            channels: 0..300,
            activation: crate::Activation::Silu,
        });
        let cut = program.cut(900, |_, _| 1000);
        let has_glu = |section: &&Section| section.ops.iter().any(|op| matches!(op, Op::Glu { .. }));
        assert_eq!(cut.program.sections.iter().filter(has_glu).count(), 1);
    }

    #[test]
    fn what_is_read_and_written_stays_whole() {
        let mut program = program(vec![linear(0, None)], &[1000]);
        program.sections[0].weights[0].n_out = 300;
        assert_eq!(program.cut(100, |_, _| 1000).program, program);
    }

    #[test]
    fn what_fits_stays_whole() {
        let program = program(vec![linear(0, None), linear(1, None)], &[3, 4]);
        let cut = program.cut(7, |_, slot| [3, 4][slot]);
        assert_eq!(cut.program, program);
        let weights = [0, 1].map(|slot| WeightPart { slot, channels: None });
        assert_eq!(cut.origins, [Origin { section: 0, weights: weights.into() }]);
    }
}
