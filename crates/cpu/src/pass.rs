//! One pass over some rows: what operations read and write besides weights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use dewdrop_backend::rope::RopeTable;
use dewdrop_backend::state::Sequences;
use dewdrop_backend::{Arithmetic, Op, Program, Register, Reserve, Row, SequenceId};

use crate::footprint::{quantized, walk};
use crate::isa::Isa;
use crate::loaded::Loaded;
use crate::op::attend::{Heads, Inputs};
use crate::op::delta_rule;
use crate::op::linear::Linear;
use crate::pool::Pool;
use crate::registers::{Part, Registers};
use crate::scratch::Scratch;

/// Rows that a section's operations take at a time. The registers that only one section uses are no longer than that,
/// however many rows a pass has, and stay in the caches between its operations.
pub(crate) const TILE: usize = 128;

/// The machine and the present pass.
pub(crate) struct Pass {
    pub(crate) isa: Isa,
    pub(crate) pool: Pool,
    /// One for each of the pool's workers.
    pub(crate) scratch: Vec<Mutex<Scratch>>,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) sequences: Sequences,
    pub(crate) ropes: Vec<RopeTable>,
    /// Rows of the present tile.
    pub(crate) rows: Vec<Row>,
    /// Of these, the ones of each sequence, in ascending positions.
    pub(crate) by_sequence: BTreeMap<SequenceId, Vec<usize>>,
    pub(crate) registers: Registers,
    /// Of the rows that want them, of all tiles, `[n, n_vocab]`.
    pub(crate) logits: Vec<f32>,
    /// How many rows of earlier tiles want logits.
    pub(crate) n_wanted_before: usize,
    pub(crate) n_vocab: usize,
    /// All rows of the pass.
    batch: Vec<Row>,
    /// By section, the registers that later sections read.
    carried: Vec<BTreeSet<Register>>,
}

impl Pass {
    pub(crate) fn new(
        program: &Program,
        isa: Isa,
        pool: Pool,
        arithmetic: Arithmetic,
        sequences: Sequences,
    ) -> Self {
        Pass {
            isa,
            scratch: (0..pool.threads()).map(|_| Mutex::default()).collect(),
            pool,
            arithmetic,
            sequences,
            ropes: program.ropes.iter().map(RopeTable::new).collect(),
            rows: Vec::new(),
            by_sequence: BTreeMap::new(),
            registers: Registers::new(program),
            logits: Vec::new(),
            n_wanted_before: 0,
            n_vocab: program.n_vocab,
            batch: Vec::new(),
            carried: program.carried(),
        }
    }

    /// Gives back the memory of buffers, which the next pass makes as large as it needs them.
    pub(crate) fn shrink(&mut self, program: &Program) {
        self.registers = Registers::new(program);
        self.carried = program.carried();
        self.logits = Vec::new();
        for scratch in &mut self.scratch {
            *scratch = Mutex::default();
        }
    }

    /// Takes the memory now that passes and sequences will need, and gives back what was taken for larger ones.
    pub(crate) fn reserve(&mut self, program: &Program, reserve: &Reserve) {
        self.sequences.reserve(reserve.sequences, reserve.positions);
        for rope in &mut self.ropes {
            rope.reserve(reserve.positions);
        }
        walk(&mut self.registers, program, &self.carried, reserve.rows, reserve.rows.min(TILE));
        self.registers.settle(&quantized(program));
    }

    /// Starts with rows that the sequences have accepted.
    pub(crate) fn begin(&mut self, rows: &[Row]) {
        self.batch = rows.to_vec();
        let end = rows.iter().map(|row| row.position + 1).max().unwrap_or(0);
        for rope in &mut self.ropes {
            rope.reserve(end);
        }
        self.registers.begin(rows.len().min(TILE));
        let n_wanted = rows.iter().filter(|row| row.wants_logits).count();
        self.logits.resize(n_wanted * self.n_vocab, 0.0);
        self.enter(0);
    }

    /// Runs a section's operations, for one tile of rows after another: a row sees nothing but earlier ones of its
    /// sequence, through the sequence's state.
    pub(crate) fn run(&mut self, section: usize, ops: &[Op], weights: &Loaded) {
        if self.n_tiles() == 1 {
            return self.execute(ops, weights);
        }
        for tile in 0..self.n_tiles() {
            self.enter(tile);
            self.execute(ops, weights);
            self.registers.leave(tile, &self.carried[section]);
        }
    }

    /// A register of all rows; empty if it was let go of.
    pub(crate) fn read(&self, register: Register) -> Vec<f32> {
        if self.n_tiles() == 1 {
            let is_written = self.registers.is_written(register);
            return if is_written { self.registers.get(register).to_vec() } else { Vec::new() };
        }
        let of = |tile| self.registers.aside(tile, self.tile(tile).len(), register);
        (0..self.n_tiles()).flat_map(of).copied().collect()
    }

    fn n_tiles(&self) -> usize {
        self.batch.len().div_ceil(TILE).max(1)
    }

    fn tile(&self, tile: usize) -> &[Row] {
        &self.batch[tile * TILE..self.batch.len().min((tile + 1) * TILE)]
    }

    /// Turns to a tile.
    fn enter(&mut self, tile: usize) {
        self.rows = self.tile(tile).to_vec();
        self.by_sequence.clear();
        for (i, row) in self.rows.iter().enumerate() {
            self.by_sequence.entry(row.sequence).or_default().push(i);
        }
        self.n_wanted_before = self.batch[..tile * TILE].iter().filter(|row| row.wants_logits).count();
        self.registers.enter(tile, self.rows.len());
    }

    /// Runs operations in order, for the tile's rows; products of one input, such as queries, keys and values, side by side.
    fn execute(&mut self, ops: &[Op], weights: &Loaded) {
        for ops in ops.chunk_by(go_together) {
            match ops {
                [op] => self.operate(op, weights),
                ops => self.products(ops, weights),
            }
        }
    }

    fn products(&mut self, ops: &[Op], weights: &Loaded) {
        let mut products = Vec::with_capacity(ops.len());
        let mut of = Register(0);
        for op in ops {
            if let &Op::Linear { input, weight, bias, out, first, add } = op {
                of = input;
                let (matrix, bias) = (weights.matrix(weight), weights.optional(bias));
                let channels = first..first + matrix.n_out;
                let out = Part { register: out, channels, reads_old: op.reads_output() };
                products.push(Linear { matrix, bias, out, add });
            }
        }
        self.linear(of, &products);
    }

    fn operate(&mut self, op: &Op, weights: &Loaded) {
        match op {
            Op::Embed { table, scale, out } => self.embed(weights.table(*table), *scale, *out),
            Op::Norm { input, weight, eps, out, add } => {
                self.norm(*input, weights.optional(*weight), *eps, *out, *add);
            }
            Op::Linear { .. } => self.products(std::slice::from_ref(op), weights),
            Op::Attend { q, k, v, out, state, spec } => {
                let heads = Heads::new(spec, weights);
                self.attend(spec, heads, Inputs { q: *q, k: *k, v: *v }, *out, *state);
            }
            Op::DeltaRule { qkv, z, beta, alpha, out, conv, decay, dt_bias, norm, state, spec } => {
                let inputs = delta_rule::Inputs { qkv: *qkv, z: *z, beta: *beta, alpha: *alpha };
                let weights = delta_rule::Weights {
                    taps: weights.vector(*conv),
                    decay: weights.vector(*decay),
                    dt_bias: weights.vector(*dt_bias),
                    norm: weights.vector(*norm),
                };
                self.delta_rule(spec, weights, inputs, *out, *state);
            }
            Op::ShortConv { bcx, out, conv, bias, state, spec } => {
                self.short_conv(spec, weights.vector(*conv), weights.optional(*bias), *bcx, *out, *state);
            }
            Op::Glu { gate, up, out, channels, activation } => {
                let out = Part { register: *out, channels: channels.clone(), reads_old: op.reads_output() };
                self.glu(*gate, *up, &out, *activation);
            }
            Op::Unembed { input, weight, first, softcap } => {
                self.unembed(*input, weights.matrix(*weight), *first, *softcap);
            }
        }
    }
}

/// Whether two successive operations are products of the same input that do not touch what the other writes.
pub(crate) fn go_together(a: &Op, b: &Op) -> bool {
    match (a, b) {
        (Op::Linear { input: x, out: a, .. }, Op::Linear { input: y, out: b, .. }) => {
            x == y && a != b && a != x && b != x
        }
        _ => false,
    }
}
