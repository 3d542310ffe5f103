//! What a backend can refuse.

/// Why a backend could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// A logit is infinite or not a number: weights or arithmetic are broken.
    #[error("the logits of row {row} are not finite (damaged weights? check the file's checksum)")]
    NotFinite {
        /// Index among the rows that want logits.
        row: usize,
    },
    /// A token id beyond the vocabulary.
    #[error("token {token} is outside of the vocabulary of {n_vocab}")]
    Token {
        /// What was asked for.
        token: u32,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// A row does not continue its sequence.
    #[error("row at position {found} does not continue its sequence of {expected} positions")]
    Position {
        /// Position of the row.
        found: usize,
        /// Length of the sequence.
        expected: usize,
    },
    /// A weight's shape or size is not what the program says.
    #[error("weight `{role}`: found [{n_out}, {n_in}] in {bytes} bytes, expected [{want_out}, {want_in}]")]
    Weight {
        /// Role in its section.
        role: String,
        /// Channels found.
        n_out: usize,
        /// Inputs found.
        n_in: usize,
        /// Bytes found.
        bytes: usize,
        /// Channels expected.
        want_out: usize,
        /// Inputs expected.
        want_in: usize,
    },
    /// This machine cannot run the instruction set asked for.
    #[error("instruction set `{found}` is not available here (available: {available})")]
    InstructionSet {
        /// What was asked for.
        found: String,
        /// Names of those that are.
        available: String,
    },
    /// More threads than help on any machine.
    #[error("{asked} threads are too many (`-t`: at most {most}, best one for each core)")]
    Threads {
        /// What was asked for.
        asked: usize,
        /// What there may be.
        most: usize,
    },
    /// The system starts no more threads.
    #[error("the system starts no more than {started} of {asked} threads (ask for fewer: `-t`)")]
    Thread {
        /// What was asked for.
        asked: usize,
        /// Threads that did start.
        started: usize,
        /// What the system says.
        source: std::io::Error,
    },
    /// The program's heads cannot be kept so.
    #[error(
        "{option} {kv}: {what} are kept so in heads of a multiple of {multiple} values, but this model's have {head_dim} (use f16 or bf16)"
    )]
    KvType {
        /// Keys or values.
        what: &'static str,
        /// The type asked for.
        kv: &'static str,
        /// What it takes.
        multiple: usize,
        /// Values of a head.
        head_dim: usize,
        /// The option that asks for another type.
        option: &'static str,
    },
}
