//! A few passes of one matrix, to be counted: `passes TYPE ROWS`. See `benches/instructions`.

use std::sync::Arc;

use dewdrop_backend::{
    Arithmetic, Backend, Blocks, KvType, Op, Program, Register, Row, Section, Weight, WeightSlot, WeightSpec,
};
use dewdrop_cpu::Cpu;
use dewdrop_format::{BLOCK_TYPES, BlockType};

const N_IN: usize = 1024;
const N_OUT: usize = 64;
/// The first one reads the matrix in file order, and so does what rearranges it.
const PASSES: usize = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().expect("a block type");
    let n_rows: usize = arguments.next().and_then(|n| n.parse().ok()).expect("a number of rows");
    let block = BLOCK_TYPES.iter().find(|block| block.name == name).expect("a known block type");

    let table: Vec<f32> = (0..16 * N_IN).map(value).collect();
    let values: Vec<f32> = (0..N_OUT * N_IN).map(|i| value(i + 7)).collect();
    let mut blocks = vec![0; block.block_type.bytes_for(values.len())];
    (block.encode)(&values, &mut blocks);
    let weights = vec![
        weight(BlockType::F32, 16, table.iter().flat_map(|x| x.to_le_bytes()).collect()),
        weight(block.block_type, N_OUT, blocks),
    ];

    let mut cpu = Cpu::new(program(), Arithmetic::Quantized, KvType::F16, 1, None).expect("a processor");
    let id = cpu.load(0, weights).expect("shapes fit");
    let sequence = cpu.open_sequence();
    let row = |i| Row { sequence, position: i, token: i as u32 % 16, wants_logits: false };
    let rows: Vec<Row> = (0..n_rows).map(row).collect();
    for _ in 0..PASSES {
        cpu.truncate(sequence, 0);
        cpu.begin(&rows).expect("rows fit");
        cpu.run(0, id).expect("runs");
    }
    std::hint::black_box(cpu.read(Register(1)));
}

/// An embedding and a product.
fn program() -> Arc<Program> {
    let linear = Op::Linear {
        input: Register(0),
        weight: WeightSlot(1),
        bias: None,
        out: Register(1),
        first: 0,
        add: false,
    };
    let spec = |n_out| WeightSpec { role: "weight".into(), n_out, n_in: N_IN };
    Arc::new(Program {
        n_vocab: 16,
        width: N_IN,
        registers: vec![N_IN, N_OUT],
        residual: Register(0),
        ropes: Vec::new(),
        states: Vec::new(),
        sections: vec![Section {
            name: "all".into(),
            ops: vec![Op::Embed { table: WeightSlot(0), scale: 1.0, out: Register(0) }, linear],
            weights: vec![spec(16), spec(N_OUT)],
        }],
    })
}

fn weight(block_type: BlockType, n_out: usize, bytes: Vec<u8>) -> Weight {
    Weight { block_type, n_out, n_in: N_IN, blocks: Blocks::from(bytes) }
}

/// Between -1 and 1.
fn value(i: usize) -> f32 {
    let x = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x >> 40) as f32 / (1 << 23) as f32 - 1.0
}
