//! One sequence of tokens on a shared core.

use std::time::Instant;

use dewdrop_backend::{Row, SequenceId};

use crate::{Cancel, Core, EngineError, Generation, Sampler, Sampling, SharedCore, Stats};

/// Sizes that a session keeps within.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most tokens of a sequence.
    pub context: usize,
    /// Most rows of a prompt per pass.
    pub chunk: usize,
    /// Most rows of a pass that want logits, which are large.
    pub logits: usize,
    /// Ids below this may be generated; the rest of the vocabulary is padding.
    pub n_choices: usize,
}

/// A sequence of tokens: what was given and generated so far, and its state within the core's backend.
pub struct Session {
    core: SharedCore,
    id: SequenceId,
    limits: Limits,
    n_vocab: usize,
    /// All tokens; the first `n_computed` of them are in the state. At most one that was just generated is not.
    tokens: Vec<u32>,
    n_computed: usize,
    /// Of the last computed token; empty if unknown.
    logits: Vec<f32>,
    cancel: Cancel,
    pub(crate) stats: Stats,
    pub(crate) started: Instant,
}

impl Session {
    /// A new, empty sequence on `core`.
    ///
    /// # Errors
    /// If there is no memory for one more: [`EngineError::SessionsFull`].
    pub fn new(core: SharedCore, limits: Limits) -> Result<Self, EngineError> {
        let mut guard = core.lock()?;
        let most = core.room().sequences;
        if guard.n_sequences() >= most {
            return Err(EngineError::SessionsFull { most });
        }
        let id = guard.open_sequence();
        let n_vocab = guard.program().n_vocab;
        drop(guard);
        let limits = Limits { n_choices: limits.n_choices.min(n_vocab), ..limits };
        let (tokens, logits, cancel, stats) = Default::default();
        let started = Instant::now();
        Ok(Session { core, id, limits, n_vocab, tokens, n_computed: 0, logits, cancel, stats, started })
    }

    /// Appends tokens and computes them, a chunk per pass. With no tokens, computes what generation left.
    ///
    /// # Errors
    /// If they do not fit the context (nothing is done then), the session is cancelled (whole chunks stay), or a pass
    /// fails (see [`tokens`](Session::tokens) for what is left).
    pub fn feed(&mut self, ids: &[u32]) -> Result<(), EngineError> {
        let from = (self.tokens.len() + ids.len()).saturating_sub(1);
        self.feed_each(ids, from, |_, _| ())
    }

    /// As [`feed`](Session::feed), calling `visit` with position and logits of each new token from position `from` on.
    pub fn feed_each(
        &mut self,
        ids: &[u32],
        from: usize,
        visit: impl FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        self.hold(ids.len())?;
        let start = Instant::now();
        let left = self.tokens[self.n_computed..].iter().chain(ids).copied().collect::<Vec<_>>();
        self.compute_all(&left, from, visit)?;
        self.stats.prompt_tokens += left.len();
        self.stats.prompt_time += start.elapsed();
        Ok(())
    }

    /// Counts `n` more tokens as in use from now on: no smaller budget takes the room away that they will need. Feeding
    /// them does so, too.
    ///
    /// # Errors
    /// If they do not fit the context.
    pub fn hold(&mut self, n: usize) -> Result<(), EngineError> {
        // Under the lock, under which contexts become shorter.
        let mut core = self.core.lock()?;
        self.check_room(n)?;
        core.hold(self.id, self.tokens.len() + n);
        Ok(())
    }

    /// Makes `ids` the sequence, and computes what is not computed yet. Yields how many were.
    ///
    /// The longest common start stays where state can go back to its end; recurrent state cannot, so everything is
    /// computed again then, unless `ids` only goes on from the present sequence.
    ///
    /// # Errors
    /// As [`feed`](Session::feed).
    pub fn set_prompt(&mut self, ids: &[u32]) -> Result<usize, EngineError> {
        let context = self.limits().context;
        if ids.len() > context {
            return Err(EngineError::ContextFull { needed: ids.len(), context });
        }
        self.stats = Stats::default();
        self.started = Instant::now();
        let computed = &self.tokens[..self.n_computed];
        let n_common = computed.iter().zip(ids).take_while(|(a, b)| a == b).count();
        // The last token's logits are needed: without them it is computed again.
        let is_whole = n_common == ids.len() && (n_common < self.n_computed || self.logits.is_empty());
        let reused = self.truncate(if is_whole { n_common.saturating_sub(1) } else { n_common })?;
        self.stats.reused_tokens = reused;
        self.feed(&ids[reused..])?;
        Ok(reused)
    }

    /// Forgets tokens from `position` on, or all of them where recurrent state cannot go back. Yields how many are left.
    pub fn truncate(&mut self, position: usize) -> Result<usize, EngineError> {
        self.tokens.truncate(self.n_computed);
        if position >= self.n_computed {
            return Ok(self.n_computed);
        }
        let core = self.core.clone();
        self.go_back(&mut *core.lock()?, position);
        Ok(self.n_computed)
    }

    /// Generates tokens after the sequence, until one of `ends`, a limit of `sampling` or the session, or a cancel.
    ///
    /// # Errors
    /// If parameters are out of range or there is no token to go on from.
    pub fn generate(&mut self, sampling: &Sampling, ends: &[u32]) -> Result<Generation<'_>, EngineError> {
        let sampler = Sampler::new(sampling, self.limits.n_choices)?;
        if self.tokens.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        Ok(Generation::new(self, sampler, ends))
    }

    /// All tokens, generated ones included. After a failed pass: those whose state is still there.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// How many of the tokens are computed: all, or all but the one generated last.
    pub fn n_computed(&self) -> usize {
        self.n_computed
    }

    /// Logits of the last computed token, `[n_vocab]`; empty before the first pass.
    pub fn logits(&self) -> &[f32] {
        &self.logits
    }

    /// Counts and times since the last prompt was set.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The flag that stops this session.
    pub fn cancel_flag(&self) -> &Cancel {
        &self.cancel
    }

    /// Lets `cancel` stop this session from now on, in place of the flag that it has.
    pub fn set_cancel_flag(&mut self, cancel: Cancel) {
        self.cancel = cancel;
    }

    /// The sizes it keeps within at present.
    pub fn limits(&self) -> Limits {
        let (limits, room) = (self.limits, self.core.room());
        Limits {
            context: limits.context.min(room.context),
            chunk: limits.chunk.min(room.chunk).max(1),
            logits: limits.logits.min(room.logits).max(1),
            n_choices: limits.n_choices,
        }
    }

    pub(crate) fn core(&self) -> &SharedCore {
        &self.core
    }

    /// Appends a generated token, to be computed when the next one is wanted.
    pub(crate) fn push(&mut self, id: u32) {
        debug_assert_eq!(self.tokens.len(), self.n_computed, "one token at most is not computed");
        self.tokens.push(id);
    }

    /// Makes sure that the logits are those of the last token.
    pub(crate) fn compute_pushed(&mut self) -> Result<(), EngineError> {
        let tokens = self.tokens.clone();
        if self.n_computed == tokens.len() && self.logits.is_empty() {
            // Truncated to here: the last token is computed again for its logits.
            self.truncate(tokens.len().saturating_sub(1))?;
        }
        self.compute_all(&tokens[self.n_computed..], tokens.len().saturating_sub(1), |_, _| ())
    }

    /// An error if `n` more tokens do not fit.
    pub(crate) fn check_room(&self, n: usize) -> Result<(), EngineError> {
        let (needed, context) = (self.tokens.len() + n, self.limits().context);
        if needed > context { Err(EngineError::ContextFull { needed, context }) } else { Ok(()) }
    }

    /// Rows for `ids` after what is computed; those from position `from` on want logits.
    pub(crate) fn rows(&self, ids: &[u32], from: usize) -> Vec<Row> {
        let start = self.n_computed;
        let row = |(i, &token): (usize, &u32)| {
            let position = start + i;
            Row { sequence: self.id, position, token, wants_logits: position >= from }
        };
        ids.iter().enumerate().map(row).collect()
    }

    /// Takes note that `ids` are computed, the last with these logits.
    pub(crate) fn advance(&mut self, ids: &[u32], logits: Option<&[f32]>) {
        self.tokens.truncate(self.n_computed);
        self.tokens.extend_from_slice(ids);
        self.n_computed = self.tokens.len();
        self.logits.clear();
        self.logits.extend_from_slice(logits.unwrap_or_default());
    }

    /// Brings state and tokens to where both agree: `position`, or nothing if state cannot go back there.
    pub(crate) fn go_back(&mut self, core: &mut Core, position: usize) {
        let kept = if core.truncate(self.id, position) {
            position
        } else {
            core.truncate(self.id, 0);
            0
        };
        self.tokens.truncate(kept);
        if kept < self.n_computed {
            self.n_computed = kept;
            self.logits.clear();
        }
    }

    /// A pass for each chunk of `ids`.
    fn compute_all(
        &mut self,
        mut ids: &[u32],
        from: usize,
        mut visit: impl FnMut(usize, &[f32]),
    ) -> Result<(), EngineError> {
        while !ids.is_empty() {
            let n = self.compute(ids, from, &mut visit)?;
            ids = &ids[n..];
        }
        Ok(())
    }

    /// Rows of the next pass over a prompt whose positions from `from` on want logits.
    fn most_rows(&self, from: usize) -> usize {
        let Limits { chunk, logits, .. } = self.limits();
        let n_silent = from.saturating_sub(self.n_computed);
        chunk.min(n_silent.saturating_add(logits))
    }

    /// One pass over as many of `ids` as it has room for; yields how many.
    fn compute(
        &mut self,
        ids: &[u32],
        from: usize,
        visit: &mut impl FnMut(usize, &[f32]),
    ) -> Result<usize, EngineError> {
        if self.cancel.is_cancelled() {
            return Err(EngineError::Cancelled);
        }
        let (core, start) = (self.core.clone(), self.n_computed);
        let mut core = core.lock()?;
        // Asked under the lock: what there is room for changes under it.
        let ids = &ids[..ids.len().min(self.most_rows(from))];
        match core.pass(&self.rows(ids, from)) {
            Ok(logits) => {
                let first = from.max(start);
                for (i, logits) in logits.chunks_exact(self.n_vocab).enumerate() {
                    visit(first + i, logits);
                }
                self.advance(ids, logits.chunks_exact(self.n_vocab).last());
                Ok(ids.len())
            }
            Err(error) => {
                self.go_back(&mut core, start);
                Err(error)
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After a panic in a pass nothing can be said about the backend's state, so it is left alone.
        if let Ok(mut core) = self.core.lock() {
            core.close_sequence(self.id);
        }
    }
}
