//! Whole models against values that an independent implementation recorded.
//!
//! Looks for family folders in `DEWDROP_REFERENCE`, then in `../shared/reference/seed1` beside the repository, and says
//! what it skips. Sizes, prompts and tolerances come from the files.

#![allow(clippy::print_stdout, reason = "skips and differences are for whoever runs the test")]

mod expected;

use std::path::{Path, PathBuf};

use dewdrop::{Arithmetic, Choice, Engine, Options, Sampling};
use dewdrop_backend::{Op, Register, Row};

use expected::{Expected, Prompt};

/// Folders that dewdrop runs, whatever else lies beside them.
const FAMILIES: &[&str] = &["llama", "qwen2", "qwen3", "qwen3_5", "gemma3", "gemma3_scale", "lfm2"];
const GGUF: &str = "llamacpp-f32.gguf";

#[test]
fn models_give_the_recorded_values() {
    let root = root();
    let mut failures = Vec::new();
    for family in FAMILIES {
        let folder = root.join(family);
        if !folder.join("expected.json").exists() {
            eprintln!("skipped: {} is not there", folder.display());
            continue;
        }
        let expected = Expected::read(&folder);
        for source in [folder.clone(), folder.join(GGUF)] {
            if !source.exists() {
                eprintln!("skipped: {} is not there", source.display());
                continue;
            }
            for backend in [Choice::Oracle, Choice::Cpu { isa: None }] {
                let name = format!("{family} from {} on {backend:?}", source.file_name().unwrap().display());
                match check(&source, backend, &expected) {
                    Ok(worst) => eprintln!("{name}: ok, largest difference {worst:.2e}"),
                    Err(error) => failures.push(format!("{name}: {error}")),
                }
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

fn root() -> PathBuf {
    match std::env::var_os("DEWDROP_REFERENCE") {
        Some(root) => root.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference/seed1"),
    }
}

/// The largest difference found, or what is wrong.
fn check(source: &Path, backend: Choice, expected: &Expected) -> Result<f32, String> {
    let options = Options { arithmetic: Arithmetic::Exact, backend, threads: Some(2), ..Options::default() };
    let engine = Engine::open(source, options).map_err(|error| in_full(&error))?;
    let mut worst = 0.0f32;
    for prompt in &expected.prompts {
        let tolerance = expected.logits_tolerance;
        for (what, found, wanted) in [
            ("logits", logits(&engine, prompt, prompt.logits_from), &prompt.logits),
            ("cached logits", cached_logits(&engine, prompt), &prompt.cached_logits),
        ] {
            worst = worst.max(compare(prompt, what, &found, wanted, tolerance)?);
        }
        if !prompt.hidden.is_empty() {
            let states = hidden(&engine, prompt);
            if states.len() != prompt.hidden.len() {
                return Err(format!("{} hidden states, expected {}", states.len(), prompt.hidden.len()));
            }
            for (layer, (found, wanted)) in states.iter().zip(&prompt.hidden).enumerate() {
                let what = format!("hidden state {layer} of {}", prompt.hidden.len() - 1);
                worst = worst.max(compare(prompt, &what, found, wanted, expected.hidden_tolerance)?);
            }
        }
        let found = greedy(&engine, prompt);
        if found != prompt.greedy {
            return Err(format!("{prompt}: greedy {found:?}, expected {:?}", prompt.greedy));
        }
    }
    Ok(worst)
}

/// An error with the errors that caused it.
fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", in_full(source)),
        None => error.to_string(),
    }
}

fn compare(
    prompt: &Prompt,
    what: &str,
    found: &[f32],
    wanted: &[f32],
    tolerance: f32,
) -> Result<f32, String> {
    if found.len() != wanted.len() {
        return Err(format!("{prompt}: {what}: {} values, expected {}", found.len(), wanted.len()));
    }
    let differences = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
    // NaN must not pass for small.
    let worst = differences.fold(0.0f32, |worst, x| if x > worst || x.is_nan() { x } else { worst });
    if worst <= tolerance { Ok(worst) } else { Err(format!("{prompt}: {what}: off by {worst:e}")) }
}

/// All in one pass.
fn logits(engine: &Engine, prompt: &Prompt, from: usize) -> Vec<f32> {
    let mut session = engine.session().unwrap();
    let mut all = Vec::new();
    session.feed_each(&prompt.ids, from, |_, logits| all.extend_from_slice(logits)).unwrap();
    all
}

/// The first part in one pass, then one token at a time.
fn cached_logits(engine: &Engine, prompt: &Prompt) -> Vec<f32> {
    let mut session = engine.session().unwrap();
    let mut all = Vec::new();
    let (start, rest) = prompt.ids.split_at(prompt.split);
    for ids in std::iter::once(start).chain(rest.chunks(1)) {
        session.feed_each(ids, prompt.cached_from, |_, logits| all.extend_from_slice(logits)).unwrap();
    }
    all
}

/// The residual stream before the first layer and after each, then after the last norm.
fn hidden(engine: &Engine, prompt: &Prompt) -> Vec<Vec<f32>> {
    let program = &engine.model().program;
    let last = program.sections.len() - 1;
    let final_norm = program.sections[last].ops.iter().find_map(|op| match op {
        Op::Norm { out, .. } => Some(*out),
        _ => None,
    });
    let register = |section| -> Register {
        if section == last { final_norm.expect("the exit has a norm") } else { program.residual }
    };
    let mut core = engine.core().lock().unwrap();
    let sequence = core.open_sequence();
    let row = |(position, &token): (usize, &u32)| Row { sequence, position, token, wants_logits: true };
    let rows: Vec<Row> = prompt.ids.iter().enumerate().map(row).collect();
    let mut states = Vec::new();
    core.trace(&rows, |section, read| states.push(read(register(section)))).unwrap();
    core.close_sequence(sequence);
    states
}

fn greedy(engine: &Engine, prompt: &Prompt) -> Vec<u32> {
    let mut session = engine.session().unwrap();
    session.set_prompt(&prompt.ids).unwrap();
    let sampling = Sampling { n: Some(prompt.greedy.len()), ignore_end: true, ..Sampling::greedy() };
    session.generate(&sampling).unwrap().map(|token| token.unwrap().id).collect()
}
