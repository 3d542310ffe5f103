//! Made-up weights and programs: small, with every operation.

use std::sync::Arc;

use dewdrop_backend::oracle::Oracle;
use dewdrop_backend::{
    Activation, Arithmetic, Attention, Backend, DeltaRule, HeadOrder, KvTypes, LoadedId, Op, Pairing,
    Program, Register, Rope, Row, Section, SequenceId, ShortConv, StateSpec, Weight, WeightSlot, WeightSpec,
};
use dewdrop_format::BlockType;

pub(crate) const N_VOCAB: usize = 37;
const WIDTH: usize = 64;
/// Query heads that share a key/value head.
const GROUP: usize = 2;
const N_KEY_HEADS: usize = 2;
const N_VALUE_HEADS: usize = 4;
const KEY_DIM: usize = 8;
const KERNEL: usize = 4;
const DELTA_CHANNELS: usize = 2 * N_KEY_HEADS * KEY_DIM + WIDTH;

const RESIDUAL: Register = Register(0);
const NORMED: Register = Register(1);
const MIXED: Register = Register(2);
const Q: Register = Register(3);
const K: Register = Register(4);
const V: Register = Register(5);
const QKV: Register = Register(6);
const Z: Register = Register(7);
const BETA: Register = Register(8);
const ALPHA: Register = Register(9);
const BCX: Register = Register(10);
const GATE: Register = Register(11);
const UP: Register = Register(12);

/// Numbers that only depend on the seed (SplitMix64, Steele et al. 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Evenly in `-size .. size`.
    pub(crate) fn floats(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| ((self.bits() >> 40) as f32 / 2f32.powi(23) - 1.0) * size).collect()
    }
}

/// A weight of these values.
pub(crate) fn weight(block_type: BlockType, n_out: usize, values: &[f32]) -> Weight {
    let mut bytes = vec![0; block_type.bytes_for(values.len())];
    (block_type.block().encode)(values, &mut bytes);
    Weight { block_type, n_out, n_in: values.len() / n_out, blocks: bytes.into() }
}

/// What varies between programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knobs {
    /// Of blocks no longer than 32.
    pub(crate) matrices: BlockType,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) kv: KvTypes,
    pub(crate) mixers: Mixers,
    pub(crate) window: Option<usize>,
    pub(crate) pairing: Pairing,
    pub(crate) order: HeadOrder,
    pub(crate) gated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mixers {
    /// Only what can be truncated anywhere.
    Attention,
    All,
}

/// A program with weights for it.
pub(crate) struct Sample {
    pub(crate) program: Arc<Program>,
    pub(crate) weights: Vec<Vec<Weight>>,
    knobs: Knobs,
}

impl Sample {
    pub(crate) fn new(knobs: Knobs, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut layers: Vec<fn(&mut Builder<'_>)> = vec![entry, windowed_attention];
        if knobs.mixers == Mixers::All {
            layers.extend([delta_rule, short_conv] as [fn(&mut Builder<'_>); 2]);
        }
        layers.extend([plain_attention, exit] as [fn(&mut Builder<'_>); 2]);
        let mut states = Vec::new();
        let mut sections = Vec::new();
        let mut weights = Vec::new();
        for layer in layers {
            let mut builder = Builder::new(knobs, &mut random, &mut states);
            layer(&mut builder);
            sections.push(builder.section);
            weights.push(builder.weights);
        }
        let q = if knobs.gated { 2 * WIDTH } else { WIDTH };
        let kv = WIDTH / GROUP;
        let program = Program {
            n_vocab: N_VOCAB,
            width: WIDTH,
            registers: vec![WIDTH, WIDTH, WIDTH, q, kv, kv, DELTA_CHANNELS, WIDTH, 4, 4, 3 * WIDTH, 96, 96],
            residual: RESIDUAL,
            ropes: vec![Rope {
                pairing: knobs.pairing,
                frequencies: vec![1.0, 0.3, 0.07, 0.01],
                factor: 1.1,
            }],
            states,
            sections,
        };
        Sample { program: Arc::new(program), weights, knobs }
    }

    /// An oracle with all weights loaded.
    pub(crate) fn oracle(&self) -> Loaded {
        let mut oracle = Oracle::new(self.program.clone(), self.knobs.arithmetic, self.knobs.kv);
        let load = |(section, weights): (usize, &Vec<Weight>)| oracle.load(section, weights.clone()).unwrap();
        let ids = self.weights.iter().enumerate().map(load).collect();
        Loaded { oracle, ids }
    }
}

/// An oracle and its weights, by section.
pub(crate) struct Loaded {
    pub(crate) oracle: Oracle,
    ids: Vec<LoadedId>,
}

impl Loaded {
    /// Logits' bits of all rows that want them, `[n, n_vocab]`.
    pub(crate) fn pass(&mut self, rows: &[Row]) -> Vec<Vec<u32>> {
        self.try_pass(rows);
        let logits = self.oracle.logits().unwrap();
        logits.chunks_exact(N_VOCAB).map(|row| row.iter().map(|logit| logit.to_bits()).collect()).collect()
    }

    /// A pass whose logits nobody looked at yet.
    pub(crate) fn try_pass(&mut self, rows: &[Row]) {
        self.oracle.begin(rows).unwrap();
        (0..self.ids.len()).for_each(|section| self.run(section));
    }

    /// One section of a pass that has begun.
    pub(crate) fn run(&mut self, section: usize) {
        self.oracle.run(section, self.ids[section]).unwrap();
    }

    /// Tokens appended to a sequence in one pass, each with logits.
    pub(crate) fn feed(&mut self, sequence: SequenceId, position: usize, tokens: &[u32]) -> Vec<Vec<u32>> {
        self.pass(&rows(sequence, position, tokens))
    }
}

/// Rows that want logits.
pub(crate) fn rows(sequence: SequenceId, position: usize, tokens: &[u32]) -> Vec<Row> {
    let row = |(i, &token)| Row { sequence, position: position + i, token, wants_logits: true };
    tokens.iter().enumerate().map(row).collect()
}

/// Collects a section's operations and weights.
struct Builder<'a> {
    knobs: Knobs,
    random: &'a mut Random,
    states: &'a mut Vec<StateSpec>,
    section: Section,
    weights: Vec<Weight>,
}

impl<'a> Builder<'a> {
    fn new(knobs: Knobs, random: &'a mut Random, states: &'a mut Vec<StateSpec>) -> Self {
        let section = Section { name: "section".to_string(), ops: Vec::new(), weights: Vec::new() };
        Builder { knobs, random, states, section, weights: Vec::new() }
    }

    fn slot(&mut self, block_type: BlockType, n_out: usize, values: &[f32]) -> WeightSlot {
        let weight = weight(block_type, n_out, values);
        let role = format!("weight {}", self.weights.len());
        self.section.weights.push(WeightSpec { role, n_out, n_in: weight.n_in });
        self.weights.push(weight);
        WeightSlot(self.weights.len() as u16 - 1)
    }

    fn matrix(&mut self, n_out: usize, n_in: usize) -> WeightSlot {
        let values = self.random.floats(n_out * n_in, 0.3);
        self.slot(self.knobs.matrices, n_out, &values)
    }

    /// Values around `middle`.
    fn vector(&mut self, n: usize, middle: f32) -> WeightSlot {
        let values: Vec<f32> = self.random.floats(n, 0.5).iter().map(|x| x + middle).collect();
        self.slot(BlockType::F32, 1, &values)
    }

    fn taps(&mut self, channels: usize) -> WeightSlot {
        let values = self.random.floats(channels * KERNEL, 0.8);
        self.slot(BlockType::F32, channels, &values)
    }

    fn state(&mut self, spec: StateSpec) -> u16 {
        self.states.push(spec);
        self.states.len() as u16 - 1
    }

    fn op(&mut self, op: Op) {
        self.section.ops.push(op);
    }

    fn norm(&mut self) {
        let weight = Some(self.vector(WIDTH, 1.0));
        self.op(Op::Norm { input: RESIDUAL, weight, eps: 1e-6, out: NORMED, add: false });
    }

    fn project(&mut self, n_out: usize, out: Register, bias: bool) {
        let weight = self.matrix(n_out, WIDTH);
        let bias = bias.then(|| self.vector(n_out, 0.0));
        self.op(Op::Linear { input: NORMED, weight, bias, out, first: 0, add: false });
    }

    fn add(&mut self, input: Register, n_in: usize) {
        let weight = self.matrix(WIDTH, n_in);
        self.op(Op::Linear { input, weight, bias: None, out: RESIDUAL, first: 0, add: true });
    }

    fn attend(&mut self, spec: Attention) {
        let q_width = if spec.gated { 2 * WIDTH } else { WIDTH };
        self.project(q_width, Q, true);
        self.project(WIDTH / GROUP, K, false);
        self.project(WIDTH / GROUP, V, false);
        let Attention { n_kv_heads, head_dim, window, .. } = spec;
        let state = self.state(StateSpec::Attention { n_kv_heads, head_dim, window });
        self.op(Op::Attend { q: Q, k: K, v: V, out: MIXED, state, spec });
    }

    fn feed_forward(&mut self, activation: Activation) {
        self.norm();
        self.project(96, GATE, false);
        self.project(96, UP, false);
        self.op(Op::Glu { gate: GATE, up: UP, out: GATE, channels: 0..96, activation });
        self.add(GATE, 96);
    }

    fn attention(&self) -> Attention {
        let KvTypes { keys, values } = self.knobs.kv;
        let head_dim = if keys.fits(16) && values.fits(16) { 16 } else { 32 };
        Attention {
            n_heads: WIDTH / head_dim,
            n_kv_heads: WIDTH / head_dim / GROUP,
            head_dim,
            q_norm: None,
            k_norm: None,
            norm_eps: 1e-6,
            rope: None,
            window: None,
            scale: 0.25,
            gated: self.knobs.gated,
        }
    }
}

fn entry(builder: &mut Builder<'_>) {
    let table = builder.matrix(N_VOCAB, WIDTH);
    builder.op(Op::Embed { table, scale: 8.0, out: RESIDUAL });
}

/// With everything that attention can have, and a norm that is added.
fn windowed_attention(builder: &mut Builder<'_>) {
    builder.norm();
    let mut spec = builder.attention();
    spec.q_norm = Some(builder.vector(spec.head_dim, 1.0));
    spec.k_norm = Some(builder.vector(spec.head_dim, 1.0));
    spec.rope = Some(0);
    spec.window = builder.knobs.window;
    builder.attend(spec);
    builder.op(Op::Norm { input: MIXED, weight: None, eps: 1e-5, out: RESIDUAL, add: true });
    builder.feed_forward(Activation::Silu);
}

fn plain_attention(builder: &mut Builder<'_>) {
    builder.norm();
    let spec = builder.attention();
    builder.attend(spec);
    builder.add(MIXED, WIDTH);
    builder.feed_forward(Activation::GeluTanh);
}

fn delta_rule(builder: &mut Builder<'_>) {
    builder.norm();
    builder.project(DELTA_CHANNELS, QKV, false);
    builder.project(WIDTH, Z, false);
    builder.project(N_VALUE_HEADS, BETA, false);
    builder.project(N_VALUE_HEADS, ALPHA, false);
    let value_dim = WIDTH / N_VALUE_HEADS;
    let state = builder.state(StateSpec::Recurrent {
        channels: DELTA_CHANNELS,
        history: KERNEL - 1,
        n_heads: N_VALUE_HEADS,
        key_dim: KEY_DIM,
        value_dim,
    });
    let op = Op::DeltaRule {
        qkv: QKV,
        z: Z,
        beta: BETA,
        alpha: ALPHA,
        out: MIXED,
        conv: builder.taps(DELTA_CHANNELS),
        decay: builder.vector(N_VALUE_HEADS, -0.7),
        dt_bias: builder.vector(N_VALUE_HEADS, 0.0),
        norm: builder.vector(value_dim, 1.0),
        state,
        spec: DeltaRule {
            n_key_heads: N_KEY_HEADS,
            n_value_heads: N_VALUE_HEADS,
            key_dim: KEY_DIM,
            value_dim,
            kernel: KERNEL,
            norm_eps: 1e-6,
            order: builder.knobs.order,
        },
    };
    builder.op(op);
    builder.add(MIXED, WIDTH);
}

fn short_conv(builder: &mut Builder<'_>) {
    builder.norm();
    builder.project(3 * WIDTH, BCX, false);
    let state = builder.state(StateSpec::Recurrent {
        channels: WIDTH,
        history: KERNEL - 1,
        n_heads: 0,
        key_dim: 0,
        value_dim: 0,
    });
    let conv = builder.taps(WIDTH);
    let bias = Some(builder.vector(WIDTH, 0.0));
    let spec = ShortConv { width: WIDTH, kernel: KERNEL };
    builder.op(Op::ShortConv { bcx: BCX, out: MIXED, conv, bias, state, spec });
    builder.add(MIXED, WIDTH);
}

fn exit(builder: &mut Builder<'_>) {
    builder.norm();
    let weight = builder.matrix(N_VOCAB, WIDTH);
    builder.op(Op::Unembed { input: NORMED, weight, first: 0, softcap: Some(30.0) });
}
