//! Which registers matter later.

use std::collections::BTreeSet;

use crate::{Op, Program, Register};

impl Program {
    /// For each section, the registers whose content later sections read. Whoever takes rows in parts, all sections of
    /// one part apart, keeps no more than these of the others.
    pub fn carried(&self) -> Vec<BTreeSet<Register>> {
        let mut live = BTreeSet::new();
        let mut carried: Vec<_> = self
            .sections
            .iter()
            .rev()
            .map(|section| {
                let after = live.clone();
                section.ops.iter().rev().for_each(|op| before(op, &mut live));
                after
            })
            .collect();
        carried.reverse();
        carried
    }
}

/// Turns what matters after an operation into what matters before it.
fn before(op: &Op, live: &mut BTreeSet<Register>) {
    if let Some(out) = op.output() {
        live.remove(&out);
    }
    live.extend(op.inputs());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Section, WeightSlot};

    fn linear(input: u8, out: u8, add: bool) -> Op {
        let (input, out) = (Register(input), Register(out));
        Op::Linear { input, weight: WeightSlot(0), bias: None, out, first: 0, add }
    }

    #[test]
    fn what_later_sections_read_is_carried() {
        let [stream, normed, gate, up] = [0, 1, 2, 3].map(Register);
        let norm = Op::Norm { input: stream, weight: None, eps: 0.0, out: normed, add: false };
        let glu = Op::Glu { gate, up, out: gate, channels: 0..1, activation: Activation::Silu };
        let sections = [
            vec![Op::Embed { table: WeightSlot(0), scale: 1.0, out: stream }],
            vec![norm, linear(1, 2, false)],
            vec![linear(1, 3, false), glu],
            vec![linear(2, 0, true)],
            vec![Op::Unembed { input: stream, weight: WeightSlot(0), first: 0, softcap: None }],
        ];
        let section = |ops| Section { name: String::new(), ops, weights: Vec::new() };
        let program = Program {
            n_vocab: 1,
            width: 1,
            registers: vec![1; 4],
            residual: stream,
            ropes: Vec::new(),
            states: Vec::new(),
            sections: sections.map(section).into(),
        };
        let want = [vec![stream], vec![stream, normed, gate], vec![stream, gate], vec![stream], vec![]];
        assert_eq!(program.carried(), want.map(BTreeSet::from_iter));
    }
}
