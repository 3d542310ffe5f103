//! A memory budget, and how it changes while a model runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, anyhow};
use dewdrop::{Engine, MemoryChange, Plan, machine};

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

/// Lets SIGHUP and the system's lack of memory change an engine's budget. What SIGHUP brought is told on stderr, and if
/// `verbose` what else changed.
pub(super) fn watch(engine: &Engine, memory: Option<Memory>, verbose: bool) -> anyhow::Result<()> {
    let hangup = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    signal_hook::flag::register(signal_hook::consts::SIGHUP, hangup.clone())
        .context("cannot watch for signals")?;
    let asked = move || hangup.swap(false, Ordering::SeqCst).then(|| budget_now(memory.as_ref())).flatten();
    engine.watch_memory(asked, move |change| tell(change, verbose));
    Ok(())
}

/// What SIGHUP asks for: what stands in the file, or else what the system has to spare, but no more than was typed.
fn budget_now(memory: Option<&Memory>) -> Option<u64> {
    match memory {
        Some(file @ Memory::File(_)) => match file.resolve() {
            Ok(budget) => Some(budget),
            Err(error) => {
                output::note(&format!("memory: {error:#}"));
                None
            }
        },
        Some(Memory::Size(most)) => machine::available_memory().map(|available| available.min(*most)),
        None => machine::available_memory(),
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
        assert_eq!(budget_now(Some(&memory)), Some(512 << 20));
    }
}
