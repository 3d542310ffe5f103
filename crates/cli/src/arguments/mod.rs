//! What the user typed, as types. `resolve`, `open` and `read` methods turn it into what the library takes.

mod cache;
mod memory;
mod model;
mod number;
mod sampling;
mod text;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::command::{
    batch, bench, chat, completions, convert, eval, inspect, man, plan, run, tokenize, verify,
};

pub(crate) use cache::CacheArguments;
pub(crate) use model::{BUILT_IN, MEMORY_VARIABLE, ModelArguments};
pub(crate) use number::{positive, size};
pub(crate) use sampling::SamplingArguments;
pub(crate) use text::{TextArguments, read_text, without_last_newline};

/// Run open language models on this machine.
///
/// Takes GGUF files and Hugging Face folders. Without `-m`, a small built-in model
/// answers, so that every command can be tried at once.
#[derive(Debug, Parser)]
#[command(name = "dewdrop", version, disable_help_subcommand = true, verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Every command: a line here, a line in `command::run`, a file in `command/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::RunArguments>),
    Chat(Box<chat::ChatArguments>),
    Batch(Box<batch::BatchArguments>),
    Inspect(inspect::InspectArguments),
    Tokenize(tokenize::TokenizeArguments),
    Convert(convert::ConvertArguments),
    Eval(eval::EvalArguments),
    Bench(Box<bench::BenchArguments>),
    Plan(plan::PlanArguments),
    Verify(verify::VerifyArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

impl Arguments {
    /// What the user typed; ends the process where it makes no sense.
    pub(crate) fn of_process() -> Self {
        Self::parse_from(spelled_out(std::env::args_os()))
    }
}

/// Options of one dash and several letters, as clap takes them.
fn spelled_out(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.collect();
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for word in &mut words[..end] {
        if let Some((_, long)) = cache::SPELLINGS.iter().find(|(short, _)| word == short) {
            *word = (*long).into();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn letters_behind_one_dash_are_spelled_out() {
        let spelled = |words: &[&str]| super::spelled_out(words.iter().map(Into::into));
        let found = spelled(&["dewdrop", "run", "-ctk", "q8_0", "-c", "5", "--", "-ctv"]);
        assert_eq!(found, ["dewdrop", "run", "--cache-type-k", "q8_0", "-c", "5", "--", "-ctv"]);
    }

    #[test]
    fn the_definitions_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
