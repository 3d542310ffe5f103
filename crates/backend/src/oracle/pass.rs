//! One pass: operations over the rows of a batch.

use super::loaded::Loaded;
use super::registers::Registers;
use super::{attend, delta_rule, embed, glu, linear, norm, short_conv, unembed};
use crate::rope::RopeTable;
use crate::state::Sequences;
use crate::{Arithmetic, Op, Program, Register, Row};

/// The batch, its registers, and what its sequences keep.
pub(super) struct Pass {
    arithmetic: Arithmetic,
    n_vocab: usize,
    ropes: Vec<RopeTable>,
    rows: Vec<Row>,
    pub(super) sequences: Sequences,
    pub(super) registers: Registers,
    pub(super) logits: Vec<f32>,
}

impl Pass {
    /// No rows.
    pub(super) fn new(program: &Program, arithmetic: Arithmetic, sequences: Sequences) -> Self {
        Pass {
            arithmetic,
            n_vocab: program.n_vocab,
            ropes: program.ropes.iter().map(RopeTable::new).collect(),
            rows: Vec::new(),
            sequences,
            registers: Registers::new(program),
            logits: Vec::new(),
        }
    }

    /// Takes the rows of a new pass, which continue their sequences.
    pub(super) fn begin(&mut self, rows: &[Row]) {
        self.rows = rows.to_vec();
        self.registers.reset(rows.len());
        self.logits.clear();
        let end = rows.iter().map(|row| row.position + 1).max().unwrap_or(0);
        for rope in &mut self.ropes {
            rope.reserve(end);
        }
    }

    pub(super) fn execute(&mut self, op: &Op, weights: &Loaded) {
        match op {
            Op::Embed { out, .. } => {
                let values = self.embed(op, weights);
                self.registers.put(*out, values, false);
            }
            Op::Norm { input, weight, eps, out, add } => {
                let weight = weights.optional(*weight);
                let values = self.each_row(|pass, i| norm::norm(pass.registers.row(*input, i), weight, *eps));
                self.registers.put(*out, values, *add);
            }
            Op::Linear { weight, out, first, add, .. } => {
                let values = self.linear(op, weights);
                let channels = *first..first + weights.matrix(*weight).n_out;
                self.registers.put_channels(*out, channels, values, *add);
            }
            Op::Attend { out, .. } => {
                let values = self.attend(op, weights);
                self.registers.put(*out, values, false);
            }
            Op::DeltaRule { out, .. } => {
                let values = self.delta_rule(op, weights);
                self.registers.put(*out, values, false);
            }
            Op::ShortConv { out, .. } => {
                let values = self.short_conv(op, weights);
                self.registers.put(*out, values, false);
            }
            Op::Glu { gate, up, out, channels, activation } => {
                let values = self.each_row(|pass, i| {
                    let [gate, up] = [gate, up].map(|of| &pass.registers.row(*of, i)[..channels.len()]);
                    glu::glu(gate, up, *activation)
                });
                self.registers.put_channels(*out, channels.clone(), values, false);
            }
            Op::Unembed { .. } => self.unembed(op, weights),
        }
    }

    fn each_row(&self, values: impl Fn(&Self, usize) -> Vec<f32>) -> Vec<f32> {
        (0..self.rows.len()).flat_map(|i| values(self, i)).collect()
    }

    fn embed(&self, op: &Op, weights: &Loaded) -> Vec<f32> {
        let Op::Embed { table, scale, .. } = op else { unreachable!("called for embed") };
        let table = weights.matrix(*table);
        self.each_row(|pass, i| embed::embed(table, pass.rows[i].token as usize, *scale))
    }

    fn linear(&self, op: &Op, weights: &Loaded) -> Vec<f32> {
        let Op::Linear { input, weight, bias, first, .. } = op else { unreachable!("called for linear") };
        let weight = weights.matrix(*weight);
        self.check_width(*input, weight.n_in);
        let mut values = linear::linear(weight, self.arithmetic, self.registers.all(*input));
        if let Some(bias) = weights.optional(*bias) {
            linear::add_bias(&mut values, &bias[*first..][..weight.n_out]);
        }
        values
    }

    fn attend(&mut self, op: &Op, weights: &Loaded) -> Vec<f32> {
        let Op::Attend { q, k, v, state, spec, .. } = op else { unreachable!("called for attend") };
        let heads = attend::Heads {
            q_norm: weights.optional(spec.q_norm),
            k_norm: weights.optional(spec.k_norm),
            rope: spec.rope.map(|rope| &self.ropes[usize::from(rope)]),
        };
        let mut values = Vec::new();
        for (i, row) in self.rows.iter().enumerate() {
            let [q, k, v] = [q, k, v].map(|register| self.registers.row(*register, i));
            let state = self.sequences.get_mut(row.sequence).attention_mut(usize::from(*state));
            values.extend(attend::attend(spec, heads, attend::Inputs { q, k, v }, state, row.position));
        }
        values
    }

    fn delta_rule(&mut self, op: &Op, weights: &Loaded) -> Vec<f32> {
        let Op::DeltaRule { qkv, z, beta, alpha, conv, decay, dt_bias, norm, state, spec, .. } = op else {
            unreachable!("called for the delta rule")
        };
        let [conv, decay, dt_bias, norm] = [conv, decay, dt_bias, norm].map(|slot| weights.vector(*slot));
        let weights = delta_rule::Weights { conv, decay, dt_bias, norm };
        let mut values = Vec::new();
        for (i, row) in self.rows.iter().enumerate() {
            let [qkv, z, beta, alpha] =
                [qkv, z, beta, alpha].map(|register| self.registers.row(*register, i));
            let inputs = delta_rule::Inputs { qkv, z, beta, alpha };
            let state = self.sequences.get_mut(row.sequence).recurrent_mut(usize::from(*state));
            values.extend(delta_rule::delta_rule(spec, weights, inputs, state));
        }
        values
    }

    fn short_conv(&mut self, op: &Op, weights: &Loaded) -> Vec<f32> {
        let Op::ShortConv { bcx, conv, bias, state, spec, .. } = op else {
            unreachable!("called for the short convolution")
        };
        let (taps, bias) = (weights.vector(*conv), weights.optional(*bias));
        let mut values = Vec::new();
        for (i, row) in self.rows.iter().enumerate() {
            let bcx = self.registers.row(*bcx, i);
            let state = self.sequences.get_mut(row.sequence).recurrent_mut(usize::from(*state));
            values.extend(short_conv::short_conv(spec, taps, bias, bcx, state));
        }
        values
    }

    fn unembed(&mut self, op: &Op, weights: &Loaded) {
        let Op::Unembed { input, weight, first, softcap } = op else { unreachable!("called for unembed") };
        let weight = weights.matrix(*weight);
        self.check_width(*input, weight.n_in);
        let wanted = (0..self.rows.len()).filter(|&i| self.rows[i].wants_logits);
        let x: Vec<f32> = wanted.flat_map(|i| self.registers.row(*input, i)).copied().collect();
        let logits = unembed::unembed(weight, self.arithmetic, &x, *softcap);
        self.logits.resize(x.len() / weight.n_in * self.n_vocab, 0.0);
        let rows = self.logits.chunks_exact_mut(self.n_vocab).zip(logits.chunks_exact(weight.n_out));
        rows.for_each(|(row, logits)| row[*first..first + weight.n_out].copy_from_slice(logits));
    }

    fn check_width(&self, register: Register, n_in: usize) {
        let width = self.registers.width(register);
        assert_eq!(width, n_in, "register {} is {width} wide, its matrix has {n_in} inputs", register.0);
    }
}
