//! How a command ended, and what the process says about it.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use dewdrop::EngineError;

use crate::output;

/// The request could not be carried out.
const FAILED: u8 = 1;
/// The request made no sense; clap uses the same code.
const WRONG_USAGE: u8 = 2;
/// 128 and the number of SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All that was asked for.
    Done,
    /// The user asked to stop, and what was there by then was kept.
    Interrupted,
}

impl Outcome {
    /// By whether the user has asked to stop.
    pub(crate) fn of(interrupted: bool) -> Self {
        if interrupted { Self::Interrupted } else { Self::Done }
    }
}

/// A request that makes no sense, found after clap was satisfied.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub(crate) String);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Reports an error on stderr and gives the process's exit code.
pub(crate) fn exit_code(result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => INTERRUPTED.into(),
        // `dewdrop ... | head -1`: the reader has all it wanted.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if is_cancelled(&error) => INTERRUPTED.into(),
        Err(error) => {
            let error = with_place(error);
            report(&error);
            if error.is::<WrongUsage>() { WRONG_USAGE.into() } else { FAILED.into() }
        }
    }
}

/// Says in one line what went wrong, causes included.
pub(crate) fn report(error: &anyhow::Error) {
    let style = output::styles_for(&io::stderr()).error;
    // Nothing is left to be done where stderr is closed, too.
    let _ = writeln!(io::stderr(), "{style}error:{style:#} {}", chain(error));
}

/// All messages of an error, outermost first. A cause whose text its parent already ends with is not repeated.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text.replace('\n', " ")
}

/// All that is read and written is named in its errors but standard output, for which a bare error stands.
fn with_place(error: anyhow::Error) -> anyhow::Error {
    let is_bare = error.is::<io::Error>() && error.chain().len() == 1;
    if is_bare { error.context("standard output: cannot be written") } else { error }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io_errors = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    io_errors.into_iter().any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether work ended because the user asked for that.
pub(crate) fn is_cancelled(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(dewdrop::Error::Engine(EngineError::Cancelled)))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn causes_are_joined_in_one_line_and_not_repeated() {
        let error = anyhow!("end of\nfile").context("a.gguf").context("cannot open: a.gguf");
        assert_eq!(chain(&error), "cannot open: a.gguf: end of file");
    }

    #[test]
    fn a_closed_pipe_is_found_below_its_context() {
        let broken: Result<(), _> = Err(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&broken.context("writing").unwrap_err()));
        assert!(!is_broken_pipe(&anyhow!("writing")));
    }
}
