//! The same bits whatever happens around a row, and on whatever instruction set.
//!
//! Small random models of every family, in every kind of weights: no files needed.
//!
//! Level A: a row's logits do not depend on other rows of the batch, on how a prompt was cut, on threads. Level B: they are
//! the oracle's on every instruction set. So tokens sampled with one seed are the same everywhere.

mod configs;
mod random_model;

use dewdrop::{Arithmetic, Batch, KvType, Sampling};
use dewdrop_backend::Backend;
use dewdrop_backend::oracle::Oracle;
use dewdrop_cpu::{Cpu, instruction_sets};
use dewdrop_engine::{Core, Limits, Session, SharedCore};
use dewdrop_format::BlockType;

use configs::CONFIGS;
use random_model::RandomModel;

const BLOCK_TYPES: &[BlockType] = &[
    BlockType::F32,
    BlockType::F16,
    BlockType::BF16,
    BlockType::Q4_0,
    BlockType::Q8_0,
    BlockType::Q4K,
    BlockType::Q5K,
    BlockType::Q6K,
    BlockType::IQ4_XS,
];

/// Across a page of 64 positions and its tail.
const LONG: usize = 70;
/// What the oracle does in reasonable time for every kind of weights.
const SHORT: usize = 9;

#[test]
fn every_instruction_set_gives_the_oracles_bits() {
    for (family, model) in models() {
        for &block_type in BLOCK_TYPES {
            let n = if block_type == BlockType::Q8_0 { LONG } else { SHORT };
            let weights = model.weights(block_type);
            let wanted = logits(session(&weights, oracle(&model, Arithmetic::Quantized)), n, n);
            for isa in instruction_sets() {
                let cpu = cpu(&model, Arithmetic::Quantized, 2, Some(isa));
                let found = logits(session(&weights, cpu), n, n);
                assert_same(&found, &wanted, &format!("{family} in {block_type} on {isa}"));
            }
        }
    }
}

#[test]
fn exact_arithmetic_is_the_same_everywhere_too() {
    for (family, model) in models() {
        let weights = model.weights(BlockType::Q4K);
        let wanted = logits(session(&weights, oracle(&model, Arithmetic::Exact)), SHORT, SHORT);
        for isa in instruction_sets() {
            let cpu = cpu(&model, Arithmetic::Exact, 2, Some(isa));
            let found = logits(session(&weights, cpu), SHORT, SHORT);
            assert_same(&found, &wanted, &format!("{family} on {isa}"));
        }
    }
}

#[test]
fn cuts_and_threads_change_nothing() {
    for (family, model) in models() {
        for &block_type in BLOCK_TYPES {
            let weights = model.weights(block_type);
            let start = |threads| session(&weights, cpu(&model, Arithmetic::Quantized, threads, None));
            let wanted = logits(start(1), LONG, 1);
            for (threads, cut) in [(1, LONG), (2, LONG), (3, LONG), (2, 1), (1, 3), (3, 16), (2, 64)] {
                let found = logits(start(threads), LONG, cut);
                assert_same(
                    &found,
                    &wanted,
                    &format!("{family} in {block_type}, {threads} threads, cut {cut}"),
                );
            }
        }
    }
}

#[test]
fn the_oracle_keeps_its_bits_for_any_cut() {
    for (family, model) in models() {
        let weights = model.weights(BlockType::Q8_0);
        let start = || session(&weights, oracle(&model, Arithmetic::Quantized));
        let wanted = logits(start(), LONG, LONG);
        for cut in [1, 7] {
            assert_same(&logits(start(), LONG, cut), &wanted, &format!("{family}, cut {cut}"));
        }
    }
}

#[test]
fn a_batch_of_strangers_changes_nothing() {
    for (family, model) in models() {
        for &block_type in BLOCK_TYPES {
            let weights = model.weights(block_type);
            let core = share(&weights, cpu(&model, Arithmetic::Quantized, 2, None));
            let ids = prompt(LONG);
            let mut alone = open(&core);
            alone.feed(&ids).unwrap();
            let (mut row, mut one, mut other) = (open(&core), open(&core), open(&core));
            for (step, piece) in [&ids[..5], &ids[5..6], &ids[6..LONG]].into_iter().enumerate() {
                let mut batch = Batch::new();
                batch.add(&mut one, &prompt(40)[step * 3..step * 3 + 3]).unwrap();
                batch.add(&mut row, piece).unwrap();
                batch.add(&mut other, &[7 + step as u32]).unwrap();
                batch.run().unwrap();
            }
            assert_same(row.logits(), alone.logits(), &format!("{family} in {block_type}"));
        }
    }
}

#[test]
fn a_seed_gives_the_same_tokens_everywhere() {
    let sampling = Sampling { seed: 12, n: Some(12), ..Sampling::default() };
    assert_eq!(sampling.temperature, 0.8);
    for (family, model) in models() {
        for block_type in [BlockType::F32, BlockType::Q4_0, BlockType::Q6K] {
            let weights = model.weights(block_type);
            let generate = |backend, cut: usize| -> Vec<u32> {
                let mut session = session(&weights, backend);
                prompt(SHORT).chunks(cut).for_each(|ids| session.feed(ids).unwrap());
                session.generate(&sampling, &[]).unwrap().map(|choice| choice.unwrap().id).collect()
            };
            let wanted = generate(oracle(&model, Arithmetic::Quantized), SHORT);
            for isa in instruction_sets() {
                for (threads, cut) in [(1, SHORT), (2, 2), (3, 1)] {
                    let found = generate(cpu(&model, Arithmetic::Quantized, threads, Some(isa)), cut);
                    assert_eq!(
                        found, wanted,
                        "{family} in {block_type} on {isa}, {threads} threads, cut {cut}"
                    );
                }
            }
        }
    }
}

fn models() -> Vec<(&'static str, RandomModel)> {
    CONFIGS.iter().map(|config| (config.name, RandomModel::new(config))).collect()
}

fn oracle(model: &RandomModel, arithmetic: Arithmetic) -> Box<dyn Backend> {
    Box::new(Oracle::new(model.program(), arithmetic, KvType::F16))
}

fn cpu(model: &RandomModel, arithmetic: Arithmetic, threads: usize, isa: Option<&str>) -> Box<dyn Backend> {
    Box::new(Cpu::new(model.program(), arithmetic, KvType::F16, threads, isa).unwrap())
}

fn share(weights: &random_model::Weights, backend: Box<dyn Backend>) -> SharedCore {
    SharedCore::new(Core::new(weights.program.clone(), backend, weights.store()))
}

fn open(core: &SharedCore) -> Session {
    let n_choices = core.lock().unwrap().program().n_vocab;
    Session::new(core.clone(), Limits { context: 256, chunk: 256, logits: usize::MAX, n_choices }).unwrap()
}

fn session(weights: &random_model::Weights, backend: Box<dyn Backend>) -> Session {
    open(&share(weights, backend))
}

/// Some ids.
fn prompt(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| (i * i * 31 + i * 7 + 3) % configs::N_VOCAB).collect()
}

/// Logits of every position of a prompt of `n` tokens, `cut` of them a pass.
fn logits(mut session: Session, n: usize, cut: usize) -> Vec<f32> {
    let mut all = Vec::new();
    for ids in prompt(n).chunks(cut) {
        session.feed_each(ids, 0, |_, logits| all.extend_from_slice(logits)).unwrap();
    }
    all
}

fn assert_same(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}: number of logits");
    let n_vocab = configs::N_VOCAB as usize;
    let differs = found.iter().zip(wanted).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(i) = differs {
        let (row, id) = (i / n_vocab, i % n_vocab);
        panic!("{what}: row {row}, id {id}: {:e} != {:e}", found[i], wanted[i]);
    }
}
