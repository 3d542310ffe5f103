//! Logits after a prompt and its greedy continuation as JSON, to be compared with other programs' values.
//!
//! `cargo run --release -p dewdrop --example logits -- MODEL PROMPT [--exact] [--tokens N]`
//!
//! Prints the prompt's ids, the logits of its last position, and for each greedy step the two likeliest ids with their
//! logits: where two programs part, the gap between them says whether it was a tie.

#![allow(clippy::print_stdout, reason = "it is what this program is for")]

use std::error::Error;
use std::path::PathBuf;

use dewdrop::{Arithmetic, Engine, Options, Session};
use serde_json::{Value, json};

const USAGE: &str = "usage: logits MODEL PROMPT [--exact] [--tokens N]";
/// Greedy steps unless the user says otherwise.
const DEFAULT_TOKENS: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1)).ok_or(USAGE)?;
    let options = Options { arithmetic: arguments.arithmetic, ..Options::default() };
    let engine = Engine::open(&arguments.model, options)?;
    let mut session = engine.session()?;
    session.prompt(&arguments.prompt)?;
    let ids = session.tokens().to_vec();
    let logits = session.logits().to_vec();
    let greedy = greedy(&mut session, arguments.n_tokens)?;
    println!("{}", json!({ "prompt": arguments.prompt, "ids": ids, "logits": logits, "greedy": greedy }));
    Ok(())
}

/// What the command line asks for.
struct Arguments {
    model: PathBuf,
    prompt: String,
    arithmetic: Arithmetic,
    n_tokens: usize,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let (model, prompt) = (words.next()?.into(), words.next()?);
        let mut arguments =
            Self { model, prompt, arithmetic: Arithmetic::Quantized, n_tokens: DEFAULT_TOKENS };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => arguments.arithmetic = Arithmetic::Exact,
                "--tokens" => arguments.n_tokens = words.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(arguments)
    }
}

/// Continues with the likeliest token, end or not; each step with the runner-up.
fn greedy(session: &mut Session, n_tokens: usize) -> Result<Vec<Value>, dewdrop::Error> {
    let mut steps = Vec::new();
    for _ in 0..n_tokens {
        let [(id, logit), (second_id, second_logit)] = two_largest(session.logits());
        steps.push(json!({ "id": id, "logit": logit, "second_id": second_id, "second_logit": second_logit }));
        session.feed(&[id])?;
    }
    Ok(steps)
}

/// Ids and values of the two largest logits, the lower id first among equals.
fn two_largest(logits: &[f32]) -> [(u32, f32); 2] {
    let mut largest = [(0, f32::NEG_INFINITY); 2];
    for (id, &logit) in (0..).zip(logits) {
        if logit > largest[0].1 {
            largest = [(id, logit), largest[0]];
        } else if logit > largest[1].1 {
            largest[1] = (id, logit);
        }
    }
    largest
}
