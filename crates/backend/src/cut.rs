//! A program in smaller sections, for those who cannot have a whole layer's weights at once.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::{Op, Program, Section, WeightSlot};

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
    /// For each weight slot, the one there.
    pub slots: Vec<usize>,
    /// Of the only weight, these channels alone; none: all.
    pub channels: Option<Range<usize>>,
}

impl Program {
    /// Cuts sections between operations, so that the weights of each have `most` bytes at most where they can: of the
    /// operations [`Op::Unembed`] alone is cut, by its channels. `bytes`: of a weight, by section and slot.
    pub fn cut(&self, most: u64, bytes: impl Fn(usize, usize) -> u64) -> Cut {
        let mut pieces = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let first = pieces.len();
            for op in &section.ops {
                let bytes = |slot| bytes(index, slot);
                if let Op::Unembed { weight, .. } = op
                    && bytes(usize::from(weight.0)) > most
                {
                    pieces.extend(slices(
                        index,
                        op,
                        section,
                        bytes(usize::from(weight.0)).div_ceil(most.max(1)),
                    ));
                    continue;
                }
                match pieces[first..].last_mut().filter(|piece: &&mut Piece| piece.takes(op, most, bytes)) {
                    Some(piece) => piece.add(op, section),
                    None => pieces.push(Piece::new(index, op, section)),
                }
            }
            name_parts(&mut pieces[first..]);
        }
        let (sections, origins) = pieces.into_iter().map(|piece| (piece.section, piece.origin)).unzip();
        Cut { program: Program { sections, ..self.clone() }, origins }
    }
}

/// A part of a section in the making.
struct Piece {
    section: Section,
    origin: Origin,
}

impl Piece {
    fn new(index: usize, op: &Op, of: &Section) -> Self {
        let section = Section { name: of.name.clone(), ops: Vec::new(), weights: Vec::new() };
        let mut piece =
            Piece { section, origin: Origin { section: index, slots: Vec::new(), channels: None } };
        piece.add(op, of);
        piece
    }

    /// Leaves only some channels of the only weight, which the only operation unembeds.
    fn sliced(mut self, channels: Range<usize>) -> Self {
        self.section.weights[0].n_out = channels.len();
        if let Op::Unembed { first, .. } = &mut self.section.ops[0] {
            *first = channels.start;
        }
        self.origin.channels = Some(channels);
        self
    }

    /// Whether it stays within `most` bytes with one more operation, or as it is where that has no weights of its own.
    fn takes(&self, op: &Op, most: u64, bytes: impl Fn(usize) -> u64) -> bool {
        let mut slots: BTreeSet<usize> = self.origin.slots.iter().copied().collect();
        let n = slots.len();
        slots.extend(op.clone().slots_mut().into_iter().map(|slot| usize::from(slot.0)));
        slots.len() == n || slots.into_iter().map(bytes).sum::<u64>() <= most
    }

    fn add(&mut self, op: &Op, of: &Section) {
        let mut op = op.clone();
        for slot in op.slots_mut() {
            *slot = self.slot(usize::from(slot.0), of);
        }
        self.section.ops.push(op);
    }

    /// The piece's slot for a slot of the whole section.
    fn slot(&mut self, old: usize, of: &Section) -> WeightSlot {
        let known = self.origin.slots.iter().position(|slot| *slot == old);
        let index = known.unwrap_or_else(|| {
            self.origin.slots.push(old);
            self.section.weights.push(of.weights[old].clone());
            self.origin.slots.len() - 1
        });
        WeightSlot(u16::try_from(index).expect("no more slots than the whole section"))
    }
}

/// An unembedding in about `n` parts.
fn slices(index: usize, op: &Op, of: &Section, n: u64) -> impl Iterator<Item = Piece> {
    let whole = Piece::new(index, op, of);
    let n_out = whole.section.weights[0].n_out;
    let n = usize::try_from(n).unwrap_or(usize::MAX);
    let len = n_out.div_ceil(n).next_multiple_of(SLICE);
    let slice = move |first| Piece::new(index, op, of).sliced(first..n_out.min(first + len));
    (0..n_out).step_by(len).map(slice)
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
    use crate::{Register, WeightSpec};

    fn linear(weight: u16, bias: Option<u16>) -> Op {
        let (input, out) = (Register(0), Register(0));
        Op::Linear { input, weight: WeightSlot(weight), bias: bias.map(WeightSlot), out, add: false }
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

    #[test]
    fn operations_stay_in_order_with_their_weights() {
        let sizes = [10, 1, 10, 30, 5];
        let ops = vec![linear(0, Some(1)), linear(2, Some(1)), linear(3, None), linear(4, Some(1))];
        let cut = program(ops, &sizes).cut(21, |_, slot| sizes[slot]);
        let slots: Vec<&[usize]> = cut.origins.iter().map(|origin| &origin.slots[..]).collect();
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
            activation: crate::Activation::Silu,
        };
        let cut = program(vec![linear(0, None), glu.clone(), linear(1, None)], &[9, 9]).cut(1, |_, _| 9);
        let [a, b] = &cut.program.sections[..] else { panic!("two parts") };
        assert_eq!((&a.ops[..], &b.ops[..]), (&[linear(0, None), glu][..], &[linear(0, None)][..]));
    }

    #[test]
    fn the_head_is_cut_by_channels() {
        let head = Op::Unembed { input: Register(0), weight: WeightSlot(1), first: 0, softcap: Some(1.0) };
        let mut program = program(vec![linear(0, None), head], &[5, 1000]);
        program.sections[0].weights[1].n_out = 300;
        let cut = program.cut(400, |_, slot| [5, 1000][slot]);
        let channels: Vec<_> = cut.origins.iter().map(|origin| origin.channels.clone()).collect();
        assert_eq!(channels, [None, Some(0..128), Some(128..256), Some(256..300)]);
        let last = &cut.program.sections[3];
        assert_eq!((last.weights[0].n_out, &cut.origins[3].slots[..]), (44, &[1][..]));
        let [Op::Unembed { weight: WeightSlot(0), first: 256, softcap: Some(1.0), .. }] = last.ops[..] else {
            panic!("{last:?}")
        };
    }

    #[test]
    fn what_fits_stays_whole() {
        let program = program(vec![linear(0, None), linear(1, None)], &[3, 4]);
        let cut = program.cut(7, |_, slot| [3, 4][slot]);
        assert_eq!(cut.program, program);
        assert_eq!(cut.origins, [Origin { section: 0, slots: vec![0, 1], channels: None }]);
    }
}
