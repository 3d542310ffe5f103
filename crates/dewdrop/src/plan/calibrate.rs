//! Measures what predictions need to know of this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use dewdrop_backend::{
    Arithmetic, Backend, Blocks, KvType, LoadedId, Op, Program, Register, Row, Section, SequenceId, Weight,
    WeightSlot, WeightSpec,
};
use dewdrop_cpu::Cpu;
use dewdrop_format::BlockType;
use dewdrop_store::read_bandwidth;

use super::speed::{KernelSpeed, Speeds};
use crate::{Error, Prepared};

/// Channels and inputs of the matrices.
const WIDTH: usize = 2048;
/// Bytes of weights that one row meets: more than any cache holds.
const BYTES: usize = 192 << 20;
/// Weights of many rows' measurement.
const MANY_MATRICES: usize = 4;
/// Rows of it.
const MANY_ROWS: usize = 256;
/// Bytes that are read from disk.
const DISK_BYTES: u64 = 512 << 20;
/// The best of so many.
const N_TRIES: usize = 3;

impl Speeds {
    /// Measures this machine: the disk that a model lies on, and products with its types of weights.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub fn measure(prepared: &Prepared) -> Result<Speeds, Error> {
        let disk = read_bandwidth(prepared.checkpoint(), DISK_BYTES)?;
        let mut kernels = BTreeMap::new();
        for block_type in prepared.model().matrix_types() {
            let speed = kernel(block_type, prepared.options().n_threads())?;
            kernels.insert(block_type.block().name.to_owned(), speed);
        }
        Ok(Speeds { disk, kernels })
    }
}

fn kernel(block_type: BlockType, threads: usize) -> Result<KernelSpeed, Error> {
    let n_matrices = BYTES / (WIDTH * block_type.bytes_for(WIDTH));
    let mut one = Products::new(block_type, n_matrices, threads)?;
    let first = one.seconds(1)?;
    // The second run rearranges; the ones after are as all that follow.
    let mut best = f64::INFINITY;
    for _ in 0..N_TRIES + 2 {
        best = best.min(one.seconds(1)?);
    }
    let mut many = Products::new(block_type, MANY_MATRICES, threads)?;
    let mut seconds = f64::INFINITY;
    for _ in 0..N_TRIES {
        seconds = seconds.min(many.seconds(MANY_ROWS)?);
    }
    let bytes = (n_matrices * WIDTH * block_type.bytes_for(WIDTH)) as f64;
    let products = (MANY_MATRICES * WIDTH * WIDTH * MANY_ROWS) as f64;
    Ok(KernelSpeed { streamed: bytes / first, resident: bytes / best, products: products / seconds })
}

/// A backend with a section of products alone.
struct Products {
    cpu: Cpu,
    sequence: SequenceId,
    loaded: LoadedId,
}

impl Products {
    fn new(block_type: BlockType, n_matrices: usize, threads: usize) -> Result<Self, Error> {
        let op = |slot| Op::Linear {
            input: Register(0),
            weight: WeightSlot(slot as u16),
            bias: None,
            out: Register(1),
            add: false,
        };
        let spec = WeightSpec { role: "matrix".into(), n_out: WIDTH, n_in: WIDTH };
        let ops = (0..n_matrices).map(op).collect();
        let section = Section { name: "products".into(), ops, weights: vec![spec; n_matrices] };
        let program = Program {
            n_vocab: 1,
            width: WIDTH,
            registers: vec![WIDTH; 2],
            residual: Register(0),
            ropes: Vec::new(),
            states: Vec::new(),
            sections: vec![section],
        };
        let mut cpu = Cpu::new(Arc::new(program), Arithmetic::Quantized, KvType::F16, threads, None)?;
        // Written, so that it is memory and not one page of zeros.
        let bytes = WIDTH * block_type.bytes_for(WIDTH);
        let all = Blocks::from(vec![1_u8; n_matrices * bytes]);
        let weight = |i: usize| Weight {
            block_type,
            n_out: WIDTH,
            n_in: WIDTH,
            blocks: all.slice(i * bytes..(i + 1) * bytes),
        };
        let loaded = cpu.load(0, (0..n_matrices).map(weight).collect())?;
        Ok(Products { sequence: cpu.open_sequence(), cpu, loaded })
    }

    fn seconds(&mut self, n_rows: usize) -> Result<f64, Error> {
        let row = |position| Row { sequence: self.sequence, position, token: 0, wants_logits: false };
        let rows: Vec<Row> = (0..n_rows).map(row).collect();
        self.cpu.truncate(self.sequence, 0);
        self.cpu.begin(&rows)?;
        let start = Instant::now();
        self.cpu.run(0, self.loaded)?;
        Ok(start.elapsed().as_secs_f64())
    }
}
