//! How fast matrices are multiplied here, beside what the machine can do.
//!
//! For each block type, one matrix larger than the caches: gigabytes read per second with one row, as share of a plain
//! read by the same threads in the same run; and multiply-adds per second with many rows. The first values are compared
//! with the oracle's before anything is timed.
//!
//! `cargo run --release -p dewdrop-cpu --example products -- [threads] [instruction set] [type ...]`

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use dewdrop_backend::oracle::linear::linear;
use dewdrop_backend::{
    Arithmetic, Backend, Blocks, KvType, Op, Program, Register, Row, Section, SequenceId, Weight, WeightSlot,
    WeightSpec,
};
use dewdrop_cpu::{Cpu, instruction_sets};
use dewdrop_format::{BLOCK_TYPES, Block, BlockType};

const N_IN: usize = 4096;
/// Times what one row reads: several times the last cache.
const BYTES: usize = 160 << 20;
/// Channels that many rows are multiplied with.
const N_OUT_MANY: usize = 2048;

/// How long one figure is measured: the best of many short passes is little moved by what else a machine does.
const ENOUGH: Duration = Duration::from_millis(400);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let threads = arguments.next().map_or(2, |n| n.parse().expect("a number of threads"));
    let isa = arguments.next().unwrap_or_else(|| instruction_sets()[0].to_owned());
    let types: Vec<String> = arguments.collect();
    println!("{threads} threads, {isa}; plain read: {:.1} GB/s", read_bandwidth(threads) / 1e9);
    println!("type      1 row: GB/s  of read    rows: G multiply-adds/s   4      16      64     512");
    for block in BLOCK_TYPES.iter().filter(|b| types.is_empty() || types.iter().any(|t| t == b.name)) {
        let one = Bench::new(block, BYTES / block.block_type.bytes_for(N_IN), threads, &isa);
        let bytes = one.n_out * block.block_type.bytes_for(N_IN);
        let speed = bytes as f64 / one.seconds(1);
        let limit = read_bandwidth(threads);
        drop(one);
        let many = Bench::new(block, N_OUT_MANY, threads, &isa);
        many.check();
        let rate = |n_rows: usize| (n_rows * N_OUT_MANY * N_IN) as f64 / many.seconds(n_rows) / 1e9;
        let rates = [4, 16, 64, 512].map(rate);
        println!(
            "{:8} {:11.1} {:8.0} %  {:32.1} {:7.1} {:7.1} {:7.1}",
            block.name,
            speed / 1e9,
            100.0 * speed / limit,
            rates[0],
            rates[1],
            rates[2],
            rates[3]
        );
    }
}

/// One matrix of random weights, as a program of its own.
struct Bench {
    weight: Weight,
    n_out: usize,
    program: Arc<Program>,
    threads: usize,
    isa: String,
}

impl Bench {
    fn new(block: &Block, n_out: usize, threads: usize, isa: &str) -> Self {
        let values: Vec<f32> = (0..64 * N_IN).map(random).collect();
        let mut bytes = vec![0; block.block_type.bytes_for(values.len())];
        (block.encode)(&values, &mut bytes);
        let all =
            bytes.iter().copied().cycle().take(n_out * block.block_type.bytes_for(N_IN)).collect::<Vec<u8>>();
        let weight = Weight { block_type: block.block_type, n_out, n_in: N_IN, blocks: Blocks::from(all) };
        let spec = |n_out| WeightSpec { role: "weight".into(), n_out, n_in: N_IN };
        let ops = vec![
            Op::Embed { table: WeightSlot(0), scale: 1.0, out: Register(0) },
            Op::Linear {
                input: Register(0),
                weight: WeightSlot(1),
                bias: None,
                out: Register(1),
                first: 0,
                add: false,
            },
        ];
        let section = Section { name: "all".into(), ops, weights: vec![spec(16), spec(n_out)] };
        let program = Arc::new(Program {
            n_vocab: 16,
            width: N_IN,
            registers: vec![N_IN, n_out],
            residual: Register(0),
            ropes: Vec::new(),
            states: Vec::new(),
            sections: vec![section],
        });
        Bench { weight, n_out, program, threads, isa: isa.to_owned() }
    }

    fn table() -> Weight {
        let bytes: Vec<u8> = (0..16 * N_IN).flat_map(|i| random(i + 7).to_le_bytes()).collect();
        Weight { block_type: BlockType::F32, n_out: 16, n_in: N_IN, blocks: Blocks::from(bytes) }
    }

    fn cpu(&self) -> (Cpu, dewdrop_backend::LoadedId, SequenceId) {
        let program = self.program.clone();
        let cpu = Cpu::new(program, Arithmetic::Quantized, KvType::F16, self.threads, Some(&self.isa));
        let mut cpu = cpu.expect("an available instruction set");
        let id = cpu.load(0, vec![Bench::table(), self.weight.clone()]).expect("shapes fit");
        let sequence = cpu.open_sequence();
        (cpu, id, sequence)
    }

    /// The best of several passes with so many rows.
    fn seconds(&self, n_rows: usize) -> f64 {
        let (mut cpu, id, sequence) = self.cpu();
        let row = |i| Row { sequence, position: i, token: i as u32 % 16, wants_logits: false };
        let rows: Vec<Row> = (0..n_rows).map(row).collect();
        let mut best = f64::INFINITY;
        let begun = Instant::now();
        while begun.elapsed() < ENOUGH {
            cpu.truncate(sequence, 0);
            cpu.begin(&rows).expect("rows fit");
            let start = Instant::now();
            cpu.run(0, id).expect("runs");
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    }

    fn check(&self) {
        let (mut cpu, id, sequence) = self.cpu();
        cpu.begin(&[Row { sequence, position: 0, token: 3, wants_logits: false }]).expect("a row fits");
        cpu.run(0, id).expect("runs");
        let n = self.weight.block_type.bytes_for(N_IN);
        let few = Weight { n_out: 40, blocks: self.weight.blocks.slice(0..40 * n), ..self.weight.clone() };
        let want = linear(&few, Arithmetic::Quantized, &cpu.read(Register(0)));
        assert_eq!(cpu.read(Register(1))[..40], want[..], "{}", self.weight.block_type);
    }
}

/// Between -1 and 1.
fn random(i: usize) -> f32 {
    let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// Bytes per second that all threads together read from memory, four streams each.
fn read_bandwidth(threads: usize) -> f64 {
    let memory: Vec<u64> = (0..BYTES as u64 / 8).collect();
    let mut best = 0f64;
    for _ in 0..6 {
        let start = Instant::now();
        thread::scope(|scope| {
            for part in memory.chunks(memory.len().div_ceil(threads)) {
                scope.spawn(|| std::hint::black_box(read(part)));
            }
        });
        best = best.max(BYTES as f64 / start.elapsed().as_secs_f64());
    }
    best
}

fn read(part: &[u64]) -> u64 {
    let (a, b) = part.split_at(part.len() / 2);
    let ((a, c), (b, d)) = (a.split_at(a.len() / 2), b.split_at(b.len() / 2));
    let mut sums = [[0u64; 8]; 4];
    let streams = [a, b, c, d].map(|stream| stream.as_chunks::<8>().0);
    for i in 0..streams.iter().map(|stream| stream.len()).min().unwrap_or(0) {
        for (sums, stream) in sums.iter_mut().zip(streams) {
            for (sum, x) in sums.iter_mut().zip(stream[i]) {
                *sum ^= x;
            }
        }
    }
    sums.iter().flatten().fold(0, |a, b| a ^ b)
}
