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
const BYTES: usize = 160 << 20;
/// Weights of many rows' measurement.
const MANY_MATRICES: usize = 4;
/// Rows of it.
const MANY_ROWS: usize = 256;
/// Bytes that are read from disk.
const DISK_BYTES: u64 = 512 << 20;
/// The median of so many, of some hundredths of a second each: what a pass will find, on a machine that may have other
/// things to do.
const N_TRIES: usize = 7;

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
    let streamed = one.median(|one| {
        let matrices = one.load()?;
        let seconds = one.seconds(matrices, 1);
        one.cpu.unload(matrices);
        seconds
    })?;
    let matrices = one.load()?;
    // The second run rearranges; the ones after are as all that follow.
    one.seconds(matrices, 1)?;
    one.seconds(matrices, 1)?;
    let resident = one.median(|one| one.seconds(matrices, 1))?;
    let mut many = Products::new(block_type, MANY_MATRICES, threads)?;
    let matrices = many.load()?;
    let seconds = many.median(|many| many.seconds(matrices, MANY_ROWS))?;
    let bytes = (n_matrices * WIDTH * block_type.bytes_for(WIDTH)) as f64;
    let products = (MANY_MATRICES * WIDTH * WIDTH * MANY_ROWS) as f64;
    Ok(KernelSpeed { streamed: bytes / streamed, resident: bytes / resident, products: products / seconds })
}

/// A backend with a section of products alone, after one that gives them something to multiply.
struct Products {
    cpu: Cpu,
    sequence: SequenceId,
    table: LoadedId,
    weights: Vec<Weight>,
}

impl Products {
    fn new(block_type: BlockType, n_matrices: usize, threads: usize) -> Result<Self, Error> {
        let program = Arc::new(program(n_matrices));
        let mut cpu = Cpu::new(program, Arithmetic::Quantized, KvType::F16, threads, None)?;
        let table = cpu.load(0, vec![matrix(BlockType::F32, 1)])?;
        let weights = (0..n_matrices).map(|_| matrix(block_type, WIDTH)).collect();
        Ok(Products { sequence: cpu.open_sequence(), cpu, table, weights })
    }

    fn load(&mut self) -> Result<LoadedId, Error> {
        Ok(self.cpu.load(1, self.weights.clone())?)
    }

    /// Seconds of a pass.
    fn seconds(&mut self, matrices: LoadedId, n_rows: usize) -> Result<f64, Error> {
        let row = |position| Row { sequence: self.sequence, position, token: 0, wants_logits: false };
        let rows: Vec<Row> = (0..n_rows).map(row).collect();
        self.cpu.truncate(self.sequence, 0);
        self.cpu.begin(&rows)?;
        self.cpu.run(0, self.table)?;
        let start = Instant::now();
        self.cpu.run(1, matrices)?;
        Ok(start.elapsed().as_secs_f64())
    }

    fn median(&mut self, mut seconds: impl FnMut(&mut Self) -> Result<f64, Error>) -> Result<f64, Error> {
        let mut all = (0..N_TRIES).map(|_| seconds(self)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by(f64::total_cmp);
        Ok(all[N_TRIES / 2])
    }
}

/// An embedding, then products of it.
fn program(n_matrices: usize) -> Program {
    let (input, out) = (Register(0), Register(1));
    let product = |slot| Op::Linear { input, weight: WeightSlot(slot as u16), bias: None, out, add: false };
    let spec = |n_out| WeightSpec { role: "matrix".into(), n_out, n_in: WIDTH };
    let embedding = Section {
        name: "embedding".into(),
        ops: vec![Op::Embed { table: WeightSlot(0), scale: 1.0, out: input }],
        weights: vec![spec(1)],
    };
    let products = Section {
        name: "products".into(),
        ops: (0..n_matrices).map(product).collect(),
        weights: vec![spec(WIDTH); n_matrices],
    };
    Program {
        n_vocab: 1,
        width: WIDTH,
        registers: vec![WIDTH; 2],
        residual: input,
        ropes: Vec::new(),
        states: Vec::new(),
        sections: vec![embedding, products],
    }
}

/// Of bytes that are written, so that they are memory and not one page of zeros.
fn matrix(block_type: BlockType, n_out: usize) -> Weight {
    let blocks = Blocks::from(vec![1_u8; n_out * block_type.bytes_for(WIDTH)]);
    Weight { block_type, n_out, n_in: WIDTH, blocks }
}
