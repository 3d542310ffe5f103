//! The command `dewdrop`: parses, calls the library, prints.
//!
//! `main` -> [`arguments`] (what the user typed) -> one file in [`command`] -> [`outcome`] (exit code). Everything that
//! computes lives in the library; what is here is worth having only with a person or a script in front of it.

#![forbid(unsafe_code)]

mod arguments;
mod command;
mod interrupt;
mod outcome;
mod output;
mod progress;
mod seed;
mod table;
mod units;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = arguments::Arguments::of_process();
    outcome::exit_code(command::run(arguments.command))
}
