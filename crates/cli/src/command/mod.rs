//! The commands, one file each.

pub(crate) mod batch;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod convert;
pub(crate) mod describe;
pub(crate) mod eval;
pub(crate) mod inspect;
pub(crate) mod man;
pub(crate) mod plan;
mod report;
pub(crate) mod run;
pub(crate) mod tokenize;
pub(crate) mod verify;

use crate::arguments::Command;
use crate::outcome::Outcome;

/// Carries a command out.
pub(crate) fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Chat(arguments) => chat::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Tokenize(arguments) => tokenize::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Eval(arguments) => eval::run(&arguments),
        Command::Batch(arguments) => batch::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}
