//! A small random model that has every operation.

use std::sync::Arc;

use dewdrop_backend::{
    Activation, Attention, Blocks, DeltaRule, HeadOrder, Op, Origin, Pairing, Program, Register, Rope,
    Section, ShortConv, StateSpec, Weight, WeightPart, WeightSlot, WeightSpec,
};
use dewdrop_format::{BLOCK_TYPES, BlockType};
use proptest::prelude::*;

/// What varies.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) seed: u64,
    /// A multiple of 32.
    pub(crate) width: usize,
    pub(crate) n_vocab: usize,
    pub(crate) n_kv_heads: usize,
    /// Query heads per key/value head.
    pub(crate) group: usize,
    /// Even.
    pub(crate) head_dim: usize,
    pub(crate) adjacent: bool,
    pub(crate) head_norms: bool,
    pub(crate) gated: bool,
    pub(crate) window: Option<usize>,
    pub(crate) rho: usize,
    pub(crate) key_dim: usize,
    pub(crate) value_dim: usize,
    pub(crate) tiled: bool,
    pub(crate) kernel: usize,
    pub(crate) bias: bool,
    /// Whether gates are kept beside what they let through.
    pub(crate) glu_apart: bool,
    pub(crate) softcap: Option<f32>,
    /// Added to indices of block types.
    pub(crate) types: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            seed: 1,
            width: 256,
            n_vocab: 50,
            n_kv_heads: 2,
            group: 3,
            head_dim: 24,
            adjacent: false,
            head_norms: true,
            gated: true,
            window: None,
            rho: 2,
            key_dim: 16,
            value_dim: 32,
            tiled: false,
            kernel: 4,
            bias: true,
            glu_apart: false,
            softcap: Some(30.0),
            types: 0,
        }
    }
}

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let dim = prop::sample::select(vec![2usize, 8, 16, 24, 32, 40, 64, 80, 96]);
    let sizes = (any::<u64>(), 1..9usize, 3..60usize, 0..BLOCK_TYPES.len());
    let attention = (1..4usize, 1..8usize, dim.clone(), prop::option::of(1..30usize));
    let delta = (1..4usize, dim.clone(), prop::sample::select(vec![3usize, 16, 37, 64, 80]), 1..5usize);
    let switches = prop::array::uniform6(any::<bool>());
    (sizes, attention, delta, switches).prop_map(|(sizes, attention, delta, switches)| Shape {
        seed: sizes.0,
        width: if sizes.1 == 8 { 1280 } else { 32 * sizes.1 },
        n_vocab: sizes.2,
        types: sizes.3,
        n_kv_heads: attention.0,
        group: attention.1,
        head_dim: attention.2,
        window: attention.3,
        rho: delta.0,
        key_dim: delta.1,
        value_dim: delta.2,
        kernel: delta.3,
        adjacent: switches[0],
        head_norms: switches[1],
        gated: switches[2],
        tiled: switches[3],
        bias: switches[4],
        glu_apart: false,
        softcap: switches[5].then_some(12.5),
    })
}

/// A program and weights for it.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) shape: Shape,
    pub(crate) program: Arc<Program>,
    /// By section.
    pub(crate) weights: Vec<Vec<Weight>>,
}

impl Model {
    pub(crate) fn new(shape: Shape) -> Self {
        let mut builder = Builder::new(shape);
        builder.entry();
        builder.attention();
        builder.delta_rule();
        builder.short_conv();
        builder.exit();
        builder.finish()
    }

    /// The same in sections of at most so many bytes, where that can be.
    pub(crate) fn cut(&self, most: u64) -> Self {
        let cut = self.program.cut(most, |section, slot| self.weights[section][slot].blocks.len() as u64);
        let part = |section: usize, part: &WeightPart| {
            let mut weight = self.weights[section][part.slot].clone();
            if let Some(channels) = &part.channels {
                let channel = weight.blocks.len() / weight.n_out;
                weight.blocks = weight.blocks.slice(channels.start * channel..channels.end * channel);
                weight.n_out = channels.len();
            }
            weight
        };
        let of = |origin: &Origin| origin.weights.iter().map(|of| part(origin.section, of)).collect();
        let weights = cut.origins.iter().map(of).collect();
        Model { shape: self.shape.clone(), program: Arc::new(cut.program), weights }
    }
}

struct Builder {
    shape: Shape,
    random: u64,
    registers: Vec<usize>,
    states: Vec<StateSpec>,
    sections: Vec<Section>,
    weights: Vec<Vec<Weight>>,
    n_types: usize,
}

const RESIDUAL: Register = Register(0);
const NORMED: Register = Register(1);

impl Builder {
    fn new(shape: Shape) -> Self {
        let registers = vec![shape.width, shape.width];
        let n_types = shape.types;
        Builder {
            random: shape.seed | 1,
            registers,
            states: Vec::new(),
            sections: Vec::new(),
            weights: Vec::new(),
            n_types,
            shape,
        }
    }

    fn section(&mut self, name: &str) {
        self.sections.push(Section { name: name.into(), ops: Vec::new(), weights: Vec::new() });
        self.weights.push(Vec::new());
    }

    fn op(&mut self, op: Op) {
        self.sections.last_mut().expect("a section").ops.push(op);
    }

    fn register(&mut self, width: usize) -> Register {
        self.registers.push(width);
        Register(self.registers.len() as u8 - 1)
    }

    fn state(&mut self, state: StateSpec) -> u16 {
        self.states.push(state);
        self.states.len() as u16 - 1
    }

    /// Between -1 and 1, now and then zero or tiny.
    fn next(&mut self) -> f32 {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let x = ((self.random >> 40) as f32) / (1 << 23) as f32 - 1.0;
        match self.random >> 33 & 63 {
            0 => 0.0,
            1 => x * 1e-38,
            _ => x,
        }
    }

    fn weight(&mut self, n_out: usize, n_in: usize, block_type: BlockType, scale: f32) -> WeightSlot {
        let values: Vec<f32> = (0..n_out * n_in).map(|_| self.next() * scale).collect();
        let mut bytes = vec![0; n_out * block_type.bytes_for(n_in)];
        (block_type.block().encode)(&values, &mut bytes);
        let role = format!("weight {}", self.weights.len());
        self.sections.last_mut().expect("a section").weights.push(WeightSpec { role, n_out, n_in });
        let weights = self.weights.last_mut().expect("a section");
        weights.push(Weight { block_type, n_out, n_in, blocks: Blocks::from(bytes) });
        WeightSlot(weights.len() as u16 - 1)
    }

    /// A matrix of the next block type that fits.
    fn matrix(&mut self, n_out: usize, n_in: usize) -> WeightSlot {
        let block = loop {
            self.n_types += 1;
            let block = BLOCK_TYPES[self.n_types % BLOCK_TYPES.len()];
            if n_in.is_multiple_of(block.len) {
                break block;
            }
        };
        self.weight(n_out, n_in, block.block_type, 2.0 / (n_in as f32).sqrt())
    }

    fn vector(&mut self, n: usize) -> WeightSlot {
        self.weight(1, n, BlockType::F32, 1.0)
    }

    fn linear(&mut self, input: Register, width: usize) -> Register {
        let out = self.register(width);
        let weight = self.matrix(width, self.registers[usize::from(input.0)]);
        let bias = self.shape.bias.then(|| self.vector(width));
        self.op(Op::Linear { input, weight, bias, out, first: 0, add: false });
        out
    }

    /// Adds a linear of `input` to the residual stream.
    fn add(&mut self, input: Register) {
        let weight = self.matrix(self.shape.width, self.registers[usize::from(input.0)]);
        self.op(Op::Linear { input, weight, bias: None, out: RESIDUAL, first: 0, add: true });
    }

    fn norm(&mut self) {
        let weight = Some(self.vector(self.shape.width));
        self.op(Op::Norm { input: RESIDUAL, weight, eps: 1e-5, out: NORMED, add: false });
    }

    fn feed_forward(&mut self, activation: Activation) {
        self.norm();
        let gate = self.linear(NORMED, 96);
        let up = self.linear(NORMED, 96);
        let out = if self.shape.glu_apart { self.register(96) } else { gate };
        self.op(Op::Glu { gate, up, out, channels: 0..96, activation });
        self.add(out);
        // Sandwich norm without a weight.
        self.op(Op::Norm { input: NORMED, weight: None, eps: 1e-6, out: RESIDUAL, add: true });
    }

    fn entry(&mut self) {
        self.section("entry");
        let table = self.matrix(self.shape.n_vocab, self.shape.width);
        self.op(Op::Embed { table, scale: 1.5, out: RESIDUAL });
    }

    fn attention(&mut self) {
        self.section("attention");
        self.norm();
        let Shape { n_kv_heads, group, head_dim, window, gated, head_norms, .. } = self.shape;
        let n_heads = n_kv_heads * group;
        let q = self.linear(NORMED, n_heads * head_dim * if gated { 2 } else { 1 });
        let k = self.linear(NORMED, n_kv_heads * head_dim);
        let v = self.linear(NORMED, n_kv_heads * head_dim);
        // Wide enough for a quantized matrix to read.
        let out = self.register(n_heads * head_dim);
        let q_norm = head_norms.then(|| self.vector(head_dim));
        let k_norm = head_norms.then(|| self.vector(head_dim));
        let state = self.state(StateSpec::Attention { n_kv_heads, head_dim, window });
        let rope = Some(0);
        let spec = Attention {
            n_heads,
            n_kv_heads,
            head_dim,
            q_norm,
            k_norm,
            norm_eps: 1e-6,
            rope,
            window,
            scale: 0.3,
            gated,
        };
        self.op(Op::Attend { q, k, v, out, state, spec });
        self.add(out);
        self.feed_forward(Activation::Silu);
    }

    fn delta_rule(&mut self) {
        self.section("delta rule");
        self.norm();
        let Shape { rho, key_dim, value_dim, kernel, tiled, .. } = self.shape;
        let (n_key_heads, n_value_heads) = (2, 2 * rho);
        let channels = 2 * n_key_heads * key_dim + n_value_heads * value_dim;
        let qkv = self.linear(NORMED, channels);
        let z = self.linear(NORMED, n_value_heads * value_dim);
        let beta = self.linear(NORMED, n_value_heads);
        let alpha = self.linear(NORMED, n_value_heads);
        let out = self.register(n_value_heads * value_dim);
        let conv = self.weight(channels, kernel, BlockType::F32, 1.0);
        let (decay, dt_bias) = (self.vector(n_value_heads), self.vector(n_value_heads));
        let norm = self.vector(value_dim);
        let history = kernel - 1;
        let state = StateSpec::Recurrent { channels, history, n_heads: n_value_heads, key_dim, value_dim };
        let state = self.state(state);
        let order = if tiled { HeadOrder::Tiled } else { HeadOrder::Grouped };
        let spec =
            DeltaRule { n_key_heads, n_value_heads, key_dim, value_dim, kernel, norm_eps: 1e-6, order };
        self.op(Op::DeltaRule { qkv, z, beta, alpha, out, conv, decay, dt_bias, norm, state, spec });
        self.add(out);
        self.feed_forward(Activation::GeluTanh);
    }

    fn short_conv(&mut self) {
        self.section("short convolution");
        self.norm();
        let (width, kernel) = (self.shape.width, self.shape.kernel);
        let bcx = self.linear(NORMED, 3 * width);
        let out = self.register(width);
        let conv = self.weight(width, kernel, BlockType::F32, 1.0);
        let bias = self.shape.bias.then(|| self.vector(width));
        let history = kernel - 1;
        let state = self.state(StateSpec::Recurrent {
            channels: width,
            history,
            n_heads: 0,
            key_dim: 0,
            value_dim: 0,
        });
        self.op(Op::ShortConv { bcx, out, conv, bias, state, spec: ShortConv { width, kernel } });
        self.add(out);
    }

    fn exit(&mut self) {
        self.section("exit");
        self.norm();
        let weight = self.matrix(self.shape.n_vocab, self.shape.width);
        self.op(Op::Unembed { input: NORMED, weight, first: 0, softcap: self.shape.softcap });
    }

    fn finish(self) -> Model {
        let n_pairs = (self.shape.head_dim / 2).div_ceil(2);
        let frequencies = (0..n_pairs).map(|i| 100f64.powf(-(i as f64) / n_pairs as f64)).collect();
        let pairing = if self.shape.adjacent { Pairing::Adjacent } else { Pairing::Halves };
        let program = Program {
            n_vocab: self.shape.n_vocab,
            width: self.shape.width,
            registers: self.registers,
            residual: RESIDUAL,
            ropes: vec![Rope { pairing, frequencies, factor: 1.25 }],
            states: self.states,
            sections: self.sections,
        };
        Model { shape: self.shape, program: Arc::new(program), weights: self.weights }
    }
}
