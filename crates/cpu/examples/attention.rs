//! How fast attention is here: eight layers of 16 query heads over 8 key/value heads of 128, as Qwen3 0.6B has them.
//!
//! `cargo run --release -p dewdrop-cpu --example attention -- [threads] [rows] [depth] [type of keys and values]`

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use dewdrop_backend::{
    Arithmetic, Attention, Backend, Blocks, KV_TYPES, KvType, LoadedId, Op, Program, Register, Row, Section,
    SequenceId, StateSpec, Weight, WeightSlot, WeightSpec,
};
use dewdrop_cpu::Cpu;
use dewdrop_format::BlockType;

const N_LAYERS: u16 = 8;
const N_HEADS: usize = 16;
const N_KV_HEADS: usize = 8;
const HEAD_DIM: usize = 128;
const N_VOCAB: usize = 64;
/// Rows per pass that bring the sequence to its depth.
const FILL: usize = 512;
/// Seconds that one figure takes at least.
const ENOUGH: f64 = 1.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, usual: usize| arguments.get(i).map_or(usual, |n| n.parse().expect("a number"));
    let (threads, n_rows, depth) = (number(0, 2), number(1, 512), number(2, 0));
    let named = |name: &String| KV_TYPES.into_iter().find(|kv| kv.name() == name).expect("a type");
    let kv = arguments.get(3).map_or(KvType::I16, named);
    let mut bench = Bench::new(threads, kv);
    for first in (0..depth).step_by(FILL) {
        bench.pass(first..(first + FILL).min(depth));
    }
    let mut seconds = vec![bench.pass(depth..depth + n_rows)];
    while seconds.iter().sum::<f64>() < ENOUGH || seconds.len() < 4 {
        bench.cpu.truncate(bench.sequence, depth);
        seconds.push(bench.pass(depth..depth + n_rows));
    }
    seconds.remove(0);
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let pairs: usize = (depth..depth + n_rows).map(|position| position + 1).sum();
    let products = 2 * pairs * N_HEADS * HEAD_DIM * usize::from(N_LAYERS);
    let bytes = (depth + n_rows) * N_KV_HEADS * 2 * kv.bytes_for(HEAD_DIM) * usize::from(N_LAYERS);
    println!(
        "{n_rows} rows at {depth}, {}: {:.3} ms, {:.1} G multiply-adds/s, {:.1} GB/s of keys and values",
        kv.name(),
        median * 1e3,
        products as f64 / median / 1e9,
        bytes as f64 / median / 1e9
    );
}

struct Bench {
    cpu: Cpu,
    sections: Vec<LoadedId>,
    sequence: SequenceId,
}

impl Bench {
    fn new(threads: usize, kv: KvType) -> Self {
        let program = Arc::new(program());
        let mut cpu =
            Cpu::new(program.clone(), Arithmetic::Quantized, kv, threads, None).expect("heads of 128");
        let sections = program.sections.iter().enumerate().map(|(i, section)| {
            let weights = section.weights.iter().map(random_weight).collect();
            cpu.load(i, weights).expect("shapes fit")
        });
        let sections = sections.collect();
        let sequence = cpu.open_sequence();
        Bench { cpu, sections, sequence }
    }

    /// Seconds that attention of some positions takes.
    fn pass(&mut self, positions: Range<usize>) -> f64 {
        let row = |position: usize| Row {
            sequence: self.sequence,
            position,
            token: (position * 31 % N_VOCAB) as u32,
            wants_logits: false,
        };
        let rows: Vec<Row> = positions.map(row).collect();
        self.cpu.begin(&rows).expect("rows continue the sequence");
        self.cpu.run(0, self.sections[0]).expect("it runs");
        let start = Instant::now();
        self.cpu.run(1, self.sections[1]).expect("it runs");
        start.elapsed().as_secs_f64()
    }
}

/// Queries, keys and values from tables; then layers that attend.
fn program() -> Program {
    let (width, kv_width) = (N_HEADS * HEAD_DIM, N_KV_HEADS * HEAD_DIM);
    let [q, k, v, out] = [0, 1, 2, 3].map(Register);
    let spec = Attention {
        n_heads: N_HEADS,
        n_kv_heads: N_KV_HEADS,
        head_dim: HEAD_DIM,
        q_norm: None,
        k_norm: None,
        norm_eps: 1e-6,
        rope: None,
        window: None,
        scale: (HEAD_DIM as f32).sqrt().recip(),
        gated: false,
    };
    let tables = [(q, width), (k, kv_width), (v, kv_width)];
    let embed = |slot: usize, out| Op::Embed { table: WeightSlot(slot as u16), scale: 1.0, out };
    let weight = |n_in| WeightSpec { role: "table".into(), n_out: N_VOCAB, n_in };
    let entry = Section {
        name: "entry".into(),
        ops: tables.iter().enumerate().map(|(slot, (out, _))| embed(slot, *out)).collect(),
        weights: tables.iter().map(|(_, n_in)| weight(*n_in)).collect(),
    };
    let attend = |state| Op::Attend { q, k, v, out, state, spec: spec.clone() };
    let layers =
        Section { name: "layers".into(), ops: (0..N_LAYERS).map(attend).collect(), weights: Vec::new() };
    let state = StateSpec::Attention { n_kv_heads: N_KV_HEADS, head_dim: HEAD_DIM, window: None };
    Program {
        n_vocab: N_VOCAB,
        width,
        registers: vec![width, kv_width, kv_width, width],
        residual: q,
        ropes: Vec::new(),
        states: vec![state; usize::from(N_LAYERS)],
        sections: vec![entry, layers],
    }
}

/// Values between -1 and 1.
fn random_weight(spec: &WeightSpec) -> Weight {
    let random = |i: usize| {
        let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let blocks: Vec<u8> = (0..spec.n_out * spec.n_in).flat_map(|i| random(i).to_le_bytes()).collect();
    Weight { block_type: BlockType::F32, n_out: spec.n_out, n_in: spec.n_in, blocks: Blocks::from(blocks) }
}
