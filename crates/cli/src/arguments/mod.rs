//! What the user typed, as types. `resolve`, `open` and `read` methods turn it into what the library takes.

mod memory;
mod model;
mod number;
mod sampling;
mod text;

use clap::{Parser, Subcommand};

use crate::command::{
    batch, bench, chat, completions, convert, eval, inspect, man, plan, run, tokenize, verify,
};

pub(crate) use model::{BUILT_IN, Kv, ModelArguments};
pub(crate) use number::positive;
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
