//! The model of the repository under memory budgets: the same bits whatever stays in memory.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use dewdrop::{Engine, Error, Options, Sampling};
use dewdrop_engine::EngineError;
use dewdrop_store::StoreError;

const TEXT: &str = include_str!("../../../docs/arithmetic.md");

fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf")
}

fn options(memory: Option<u64>) -> Options {
    Options { threads: Some(2), context: Some(1024), logits: 32, memory, ..Options::default() }
}

/// The model in the smallest budget that this process can run it in, and `more` bytes.
fn open(path: &Path, more: u64) -> Engine {
    let mut budget = 1;
    loop {
        match Engine::open(path, options(Some(budget))) {
            // What other tests take at the same time counts as well.
            Err(Error::Memory { refusal, .. }) => budget = budget.max(refusal.least) + more,
            result => return result.unwrap(),
        }
    }
}

/// Ids of a text of a thousand tokens.
fn ids(engine: &Engine) -> Vec<u32> {
    let ids = engine.encode(TEXT, dewdrop::EncodeOptions { add_special: true, parse_special: false });
    ids.unwrap()[..1000].to_vec()
}

/// All logits of a text, and what is generated after its first words.
fn results(engine: &Engine, ids: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let mut session = engine.session().unwrap();
    let mut bits = Vec::new();
    session.feed_each(ids, 0, |_, logits| bits.push(digest(logits))).unwrap();
    assert_eq!(bits.len(), ids.len());
    session.set_prompt(&ids[..20]).unwrap();
    let sampling = Sampling { n: Some(60), seed: 5, ignore_end: true, ..Sampling::default() };
    let tokens = session.generate(&sampling).unwrap().map(|token| token.unwrap().id).collect();
    (bits, tokens)
}

/// Bits of all values in one.
fn digest(values: &[f32]) -> u32 {
    values.iter().fold(0, |digest: u32, value| digest.rotate_left(5).wrapping_mul(31) ^ value.to_bits())
}

#[test]
fn every_budget_gives_the_same_bits() {
    let plain = Engine::open(&model(), options(None)).unwrap();
    assert!(plain.plan().is_none(), "everything fits");
    let ids = ids(&plain);
    let wanted = results(&plain, &ids);
    let mut streamed = Vec::new();
    for more in [0, 2, 5, 9, 40] {
        let engine = open(&model(), more << 20);
        let plan = engine.plan().unwrap();
        assert!(plan.peak() <= plan.budget, "{} of {}", plan.peak(), plan.budget);
        streamed.push(plan.streamed);
        assert!(results(&engine, &ids) == wanted, "{} more bytes, {} of weights stay", more, plan.resident);
        let streaming = engine.streaming().unwrap().unwrap();
        assert_eq!(streaming.bytes_per_round, plan.streamed);
        // The last pages of a file are not whole.
        let least = (plan.resident + 60 * plan.streamed) * 95 / 100;
        assert!(streaming.bytes_read >= least, "{streaming:?}");
    }
    assert!(streamed[0] > 4 << 20 && streamed[4] == 0, "from nearly all to nothing: {streamed:?}");
}

#[test]
fn a_file_that_is_cut_off_meanwhile_is_an_error_and_what_was_told_stays_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    fs::copy(model(), &path).unwrap();
    let engine = open(&path, 0);
    assert!(engine.plan().unwrap().streamed > 0);
    let mut session = engine.session().unwrap();
    session.prompt("Once upon a time").unwrap();
    let sampling = Sampling { n: Some(40), ignore_end: true, ..Sampling::greedy() };
    let mut generation = session.generate(&sampling).unwrap();
    let before: Vec<u32> = generation.by_ref().take(10).map(|token| token.unwrap().id).collect();
    let len = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len / 3).unwrap();
    let error = generation.find_map(Result::err).expect("the rest is gone");
    assert!(matches!(error, Error::Engine(EngineError::Store(StoreError::Changed { .. }))), "{error}");
    drop(generation);

    let whole = Engine::open(&model(), options(None)).unwrap();
    let mut session = whole.session().unwrap();
    session.prompt("Once upon a time").unwrap();
    let tokens = session.generate(&sampling).unwrap().take(10).map(|token| token.unwrap().id);
    assert_eq!(tokens.collect::<Vec<_>>(), before);
}

#[test]
fn a_budget_that_is_too_small_names_the_least() {
    let error = Engine::open(&model(), options(Some(1 << 20))).err().expect("a refusal").to_string();
    assert!(error.contains("a memory budget of 1 MiB is too small for this model: "), "{error}");
    open(&model(), 0);
}
