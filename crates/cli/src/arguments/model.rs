//! Which model, and how it is computed.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use dewdrop::{Arithmetic, Choice, Engine, Options, Prepared};

use super::memory::{self, Memory};
use super::{CacheArguments, number};
use crate::command::describe;
use crate::outcome::WrongUsage;

/// What the built-in model is called in reports.
pub(crate) const BUILT_IN: &str = "built-in";
/// Holds a budget where none is typed.
pub(crate) const MEMORY_VARIABLE: &str = "DEWDROP_MEMORY";

/// The model and how it is computed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArguments {
    /// GGUF file, or folder in the form of Hugging Face [default: the built-in model]
    #[arg(short, long, value_name = "PATH")]
    model: Option<PathBuf>,

    /// Positions of the context [default: the model's own]
    #[arg(short, long, visible_alias = "ctx-size", value_name = "N", value_parser = number::positive)]
    context: Option<usize>,

    /// Threads that compute [default: one per core]
    #[arg(short, long, value_name = "N", value_parser = number::positive)]
    threads: Option<usize>,

    /// Dequantize weights and compute in f32: slow, for comparison with references
    #[arg(long)]
    exact_math: bool,

    #[command(flatten)]
    cache: CacheArguments,

    /// Who computes
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: Backend,

    /// Instruction set of the cpu backend [default: the best this machine has]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,

    /// Rows of a prompt per pass
    #[arg(long, value_name = "N", value_parser = number::positive)]
    chunk: Option<usize>,

    /// Most memory the process may have, everything included, as in 2G or 512M; weights that do not fit are read from
    /// disk in every pass. `@FILE`: the size that stands in a file, read again upon SIGHUP [default: what the system has
    /// to spare]
    #[arg(long, value_name = "SIZE", env = MEMORY_VARIABLE, hide_env = true, value_parser = memory::memory)]
    memory: Option<Memory>,

    /// Say on stderr which backend computes and which tensors of the file are used
    #[arg(long)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// The fast one
    Cpu,
    /// Plain loops that define the right bits
    Oracle,
}

impl ModelArguments {
    /// The engine that these arguments ask for.
    pub(crate) fn open(&self) -> anyhow::Result<Engine> {
        self.start(self.prepare()?)
    }

    /// The engine of a model that was prepared. Signals and the system may change its memory budget.
    pub(crate) fn start(&self, prepared: Prepared) -> anyhow::Result<Engine> {
        let longest = prepared.context();
        let engine = prepared.engine()?;
        memory::tell_of_shortage(&engine, longest);
        if self.verbose {
            describe::tell(&engine)?;
        }
        memory::watch(&engine, self.memory.clone(), self.verbose)?;
        Ok(engine)
    }

    /// The same with the model at another path, if there is one.
    pub(crate) fn or_at(&self, path: Option<&Path>) -> Self {
        Self { model: path.map(Path::to_owned).or_else(|| self.model.clone()), ..self.clone() }
    }

    /// As [`prepare`](Self::prepare), where the first part of the model's files is enough.
    pub(crate) fn prepare_headers(&self) -> anyhow::Result<Prepared> {
        match &self.model {
            Some(path) => Ok(Prepared::open_headers(path, self.options()?)?),
            None => self.prepare(),
        }
    }

    /// The model that these arguments name, without its weights.
    pub(crate) fn prepare(&self) -> anyhow::Result<Prepared> {
        self.prepare_for_logits(1)
    }

    /// The same for work that wants the logits of many rows of a pass.
    pub(crate) fn prepare_for_logits(&self, n_rows: usize) -> anyhow::Result<Prepared> {
        let options = Options { logits: n_rows, ..self.options()? };
        Ok(match &self.model {
            Some(path) => Prepared::open(path, options)?,
            None => Prepared::built_in(options)?,
        })
    }

    /// The file, or what the built-in model is called.
    pub(crate) fn name(&self) -> String {
        self.model.as_ref().map_or(BUILT_IN.into(), |path| path.display().to_string())
    }

    /// Whether no model was named.
    pub(crate) fn is_built_in(&self) -> bool {
        self.model.is_none()
    }

    /// Whether details are wanted.
    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether the user typed a budget, in place of the one that the environment may hold.
    pub(crate) fn is_memory_typed(&self) -> bool {
        self.memory.is_some() && std::env::var_os(MEMORY_VARIABLE).is_none()
    }

    /// The context asked for.
    pub(crate) fn context(&self) -> Option<usize> {
        self.context
    }

    fn options(&self) -> anyhow::Result<Options> {
        let backend = match (self.backend, &self.isa) {
            (Backend::Cpu, isa) => Choice::Cpu { isa: isa.clone() },
            (Backend::Oracle, None) => Choice::Oracle,
            (Backend::Oracle, Some(_)) => {
                let message = "--isa: the oracle has no instruction sets (drop one of the two)";
                return Err(WrongUsage(message.into()).into());
            }
        };
        let mut options =
            Options { threads: self.threads, context: self.context, backend, ..Options::default() };
        if self.exact_math {
            options.arithmetic = Arithmetic::Exact;
        }
        options.chunk = self.chunk;
        options.memory = self.memory.as_ref().map(Memory::resolve).transpose()?;
        Ok(self.cache.of(options))
    }
}
