//! A memory budget, and how it changes while a model runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};
use dewdrop::{Engine, MemoryChange, Plan};

use super::number;
use crate::{output, units};

/// Where a budget comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Typed.
    Size(u64),
    /// In a file, which is read again when SIGHUP comes.
    File(PathBuf),
}

/// A size, or `@` and the name of a file that holds one.
pub(super) fn memory(text: &str) -> Result<Memory, String> {
    match text.strip_prefix('@') {
        Some("") => Err("expected a file's name after `@`".into()),
        Some(path) => Ok(Memory::File(path.into())),
        None => number::size(text).map(Memory::Size),
    }
}

impl Memory {
    /// The budget, read where it has to be.
    pub(super) fn resolve(&self) -> anyhow::Result<u64> {
        match self {
            Memory::Size(size) => Ok(*size),
            Memory::File(path) => {
                let name = path.display();
                let text =
                    std::fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
                number::size(text.trim()).map_err(|message| anyhow!("{name}: {message}"))
            }
        }
    }
}

/// Lets the system's lack of memory change an engine's budget, and where it stands in a file SIGHUP, too: otherwise that ends
/// the process, as when a terminal closes. What SIGHUP brought is told on stderr, and if `verbose` what else changed.
pub(super) fn watch(engine: &Engine, memory: Option<Memory>, verbose: bool) -> anyhow::Result<()> {
    let hangup = Arc::new(AtomicBool::new(false));
    let file = memory.filter(|memory| matches!(memory, Memory::File(_)));
    #[cfg(unix)]
    if file.is_some() {
        signal_hook::flag::register(signal_hook::consts::SIGHUP, hangup.clone())
            .context("cannot watch for signals")?;
    }
    let asked = move || {
        let file = file.as_ref().filter(|_| hangup.swap(false, Ordering::SeqCst))?;
        file.resolve().inspect_err(|error| output::note(&format!("memory: {error:#}"))).ok()
    };
    engine.watch_memory(asked, move |change| tell(change, verbose));
    Ok(())
}

/// Says on stderr what has no room in memory, if something has not: weights, or a context as long as it may be.
pub(super) fn tell_of_shortage(engine: &Engine, longest: usize) {
    if let Some(plan) = engine.plan().filter(|plan| plan.streamed > 0) {
        output::note(&format!(
            "{} of {} of weights do not fit into memory and are read from disk for each token (see `dewdrop plan`)",
            units::bytes(plan.streamed),
            units::bytes(plan.streamed + plan.resident),
        ));
    }
    let context = engine.context();
    if context < longest {
        output::note(&format!(
            "context {context} of {longest}, to leave memory to the weights (-c asks for more)"
        ));
    }
}

fn tell(change: MemoryChange, verbose: bool) {
    let text = match change {
        MemoryChange::Asked(Ok(plan)) => format!("memory: {}", summary(&plan)),
        MemoryChange::Asked(Err(error)) => format!("memory: all stays as it is: {error}"),
        MemoryChange::Shrank(plan) if verbose => format!("memory is short: {}", summary(&plan)),
        MemoryChange::Grew(plan) if verbose => format!("memory is to spare again: {}", summary(&plan)),
        MemoryChange::Shrank(_) | MemoryChange::Grew(_) => return,
    };
    output::note(&text);
}

fn summary(plan: &Plan) -> String {
    format!(
        "budget {}, weights {} resident, {} per pass from disk",
        units::bytes(plan.budget),
        units::bytes(plan.resident),
        units::bytes(plan.streamed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_typed_or_in_a_file() {
        assert_eq!(memory("2G"), Ok(Memory::Size(2 << 30)));
        assert!(memory("@").is_err() && memory("lots").is_err());
        let file = tempfile::NamedTempFile::new().expect("a file");
        let memory = memory(&format!("@{}", file.path().display())).expect("a name");
        assert!(memory.resolve().is_err(), "an empty file");
        std::fs::write(file.path(), "512M\n").expect("it can be written");
        assert_eq!(memory.resolve().expect("a size"), 512 << 20);
    }
}
