//! Measures what predictions need to know of this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dewdrop_backend::{
    Arithmetic, Backend, Blocks, KvType, LoadedId, Op, Program, Register, Row, Section, SequenceId, Weight,
    WeightSlot, WeightSpec,
};
use dewdrop_cpu::Cpu;
use dewdrop_format::BlockType;
use dewdrop_store::{Checkpoint, read_bandwidth};

use super::speed::{KernelSpeed, Speeds};
use crate::{Error, Options, Prepared};

/// Channels and inputs of the matrices.
const WIDTH: usize = 2048;
/// Bytes of weights that one row meets: more than any cache holds.
const BYTES: usize = 160 << 20;
/// Bytes of a streamed section.
const SECTION: usize = 16 << 20;
/// As long as a section takes to arrive, about: threads that wait for it go to sleep.
const ARRIVAL: Duration = Duration::from_millis(5);
/// The median of so many sections.
const N_SECTIONS: usize = 40;
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
        let (options, checkpoint) = (prepared.options(), prepared.checkpoint());
        // Disks that others use as well are now faster, now slower: they are asked before, between and after all else.
        let disk = || read_bandwidth(checkpoint, DISK_BYTES);
        let (mut kernels, mut disks, mut busy_disks) = (BTreeMap::new(), vec![disk()?], Vec::new());
        for block_type in prepared.model().matrix_types() {
            // One after another, so that each has its memory for itself.
            let streamed = streamed(block_type, options, checkpoint)?;
            let (resident, busy_disk) = resident(block_type, options, checkpoint)?;
            let products = products(block_type, options)?;
            let speed = KernelSpeed { streamed, resident, products };
            kernels.insert(block_type.block().name.to_owned(), speed);
            busy_disks.push(busy_disk);
            disks.push(disk()?);
        }
        Ok(Speeds { disk: mean(&disks), busy_disk: mean(&busy_disks), kernels })
    }
}

/// The speed of all bytes, if each speed is of as many; zero of none.
fn mean(speeds: &[f64]) -> f64 {
    let seconds_per_byte = speeds.iter().map(|speed| speed.recip()).sum::<f64>() / speeds.len() as f64;
    if speeds.is_empty() { 0.0 } else { seconds_per_byte.recip() }
}

/// Bytes per second of weights that stay, and of direct reads meanwhile.
fn resident(
    block_type: BlockType,
    options: &Options,
    checkpoint: &Arc<Checkpoint>,
) -> Result<(f64, f64), Error> {
    let n_matrices = BYTES / matrix_bytes(block_type);
    let mut one = Products::new(block_type, n_matrices, n_matrices, options)?;
    let matrices = one.load(0)?;
    // The second run rearranges; the ones after are as all that follow.
    one.seconds(matrices, 1)?;
    one.seconds(matrices, 1)?;
    let seconds = one.median(N_TRIES, |one, _| one.seconds(matrices, 1))?;
    let busy_disk = thread::scope(|scope| -> Result<f64, Error> {
        let reading = scope.spawn(|| read_bandwidth(checkpoint, DISK_BYTES));
        while !reading.is_finished() {
            one.seconds(matrices, 1)?;
        }
        Ok(reading.join().expect("reads do not panic")?)
    })?;
    Ok(((n_matrices * matrix_bytes(block_type)) as f64 / seconds, busy_disk))
}

/// Products per second of many rows.
fn products(block_type: BlockType, options: &Options) -> Result<f64, Error> {
    let mut many = Products::new(block_type, MANY_MATRICES, MANY_MATRICES, options)?;
    let matrices = many.load(0)?;
    let seconds = many.median(N_TRIES, |many, _| many.seconds(matrices, MANY_ROWS))?;
    Ok((MANY_MATRICES * WIDTH * WIDTH * MANY_ROWS) as f64 / seconds)
}

/// Bytes per second of weights that pass through: a section at a time, after a wait for it, while others are read. That
/// is half as fast as one long product alone: reads take from processor and memory, too, and sleepers are slow to wake.
fn streamed(block_type: BlockType, options: &Options, checkpoint: &Arc<Checkpoint>) -> Result<f64, Error> {
    let n_matrices = SECTION / matrix_bytes(block_type);
    // More than a cache holds take turns.
    let mut one = Products::new(block_type, n_matrices, BYTES / matrix_bytes(block_type), options)?;
    let is_done = AtomicBool::new(false);
    let seconds = thread::scope(|scope| {
        scope.spawn(|| {
            // A disk that fails has failed before: its speed is known by now.
            while !is_done.load(Ordering::Relaxed) && read_bandwidth(checkpoint, BYTES as u64).is_ok() {
                thread::yield_now();
            }
        });
        let seconds = one.median(N_SECTIONS, |one, i| {
            thread::sleep(ARRIVAL);
            let section = one.load(i)?;
            let seconds = one.seconds(section, 1);
            one.cpu.unload(section);
            seconds
        });
        is_done.store(true, Ordering::Relaxed);
        seconds
    })?;
    Ok((n_matrices * matrix_bytes(block_type)) as f64 / seconds)
}

/// A backend with a section of products alone, after one that gives them something to multiply.
struct Products {
    cpu: Cpu,
    sequence: SequenceId,
    table: LoadedId,
    /// Of the section, which may be fewer than there are.
    n_matrices: usize,
    weights: Vec<Weight>,
}

impl Products {
    fn new(
        block_type: BlockType,
        n_matrices: usize,
        n_weights: usize,
        options: &Options,
    ) -> Result<Self, Error> {
        let program = Arc::new(program(n_matrices));
        let (n_threads, isa) = (options.n_threads(), options.backend.isa());
        let mut cpu = Cpu::new(program, Arithmetic::Quantized, KvType::F16, n_threads, isa)?;
        let table = cpu.load(0, vec![matrix(BlockType::F32, 1)])?;
        let weights = (0..n_weights).map(|_| matrix(block_type, WIDTH)).collect();
        Ok(Products { sequence: cpu.open_sequence(), cpu, table, n_matrices, weights })
    }

    /// Other matrices for each `i`, as many as there are.
    fn load(&mut self, i: usize) -> Result<LoadedId, Error> {
        let start = i * self.n_matrices % (self.weights.len() - self.n_matrices + 1);
        Ok(self.cpu.load(1, self.weights[start..start + self.n_matrices].to_vec())?)
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

    fn median(
        &mut self,
        n_tries: usize,
        mut seconds: impl FnMut(&mut Self, usize) -> Result<f64, Error>,
    ) -> Result<f64, Error> {
        let mut all = (0..n_tries).map(|i| seconds(self, i)).collect::<Result<Vec<_>, _>>()?;
        all.sort_by(f64::total_cmp);
        Ok(all[n_tries / 2])
    }
}

fn matrix_bytes(block_type: BlockType) -> usize {
    WIDTH * block_type.bytes_for(WIDTH)
}

/// An embedding, then products of it.
fn program(n_matrices: usize) -> Program {
    let (input, out) = (Register(0), Register(1));
    let product =
        |slot| Op::Linear { input, weight: WeightSlot(slot as u16), bias: None, out, first: 0, add: false };
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
