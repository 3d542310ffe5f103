//! Rows of several sessions in one pass: each read of the weights serves all of them.

use dewdrop_backend::Row;

use crate::{EngineError, Session, SharedCore};

/// Tokens to append to several sessions of one core, computed together.
#[derive(Default)]
pub struct Batch<'a> {
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    session: &'a mut Session,
    /// Tokens to be computed: one that generation left, then new ones.
    ids: Vec<u32>,
    /// How many of them are in the present pass.
    n_rows: usize,
}

impl<'a> Batch<'a> {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds tokens of a session, at least one. Its logits will be those of the last.
    ///
    /// # Errors
    /// If they do not fit its context, or it is on another core than the others.
    pub fn add(&mut self, session: &'a mut Session, ids: &[u32]) -> Result<(), EngineError> {
        if self.entries.first().is_some_and(|entry| !entry.session.core().is(session.core())) {
            return Err(EngineError::ForeignSession);
        }
        session.hold(ids.len())?;
        let left = session.tokens()[session.n_computed()..].to_vec();
        let ids: Vec<u32> = left.into_iter().chain(ids.iter().copied()).collect();
        if ids.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        self.entries.push(Entry { session, ids, n_rows: 0 });
        Ok(())
    }

    /// Computes everything, in one pass where there is room for all rows.
    ///
    /// # Errors
    /// If a pass fails, or one of the sessions is cancelled. What earlier passes computed stays; sessions of the failed one
    /// go back to where they were before it, or to nothing where their state cannot.
    pub fn run(mut self) -> Result<(), EngineError> {
        let Some(first) = self.entries.first() else { return Ok(()) };
        let core = first.session.core().clone();
        while !self.entries.is_empty() {
            self.pass(&core)?;
            self.entries.retain(|entry| !entry.ids.is_empty());
        }
        Ok(())
    }

    fn pass(&mut self, core: &SharedCore) -> Result<(), EngineError> {
        if self.entries.iter().any(|entry| entry.session.cancel_flag().is_cancelled()) {
            return Err(EngineError::Cancelled);
        }
        let mut core = core.lock()?;
        // Asked under the lock: what there is room for changes under it.
        let mut room = self.entries.iter().map(|entry| entry.session.limits().chunk).min().unwrap_or(0);
        for entry in &mut self.entries {
            entry.n_rows = entry.ids.len().min(room);
            room -= entry.n_rows;
        }
        let n_vocab = core.program().n_vocab;
        let rows: Vec<Row> = self.entries.iter().flat_map(Entry::rows).collect();
        let in_pass = self.entries.iter_mut().filter(|entry| entry.n_rows > 0);
        match core.pass(&rows) {
            Ok(logits) => {
                let mut logits = logits.chunks_exact(n_vocab);
                for Entry { session, ids, n_rows } in in_pass {
                    let computed: Vec<u32> = ids.drain(..*n_rows).collect();
                    session.advance(&computed, if ids.is_empty() { logits.next() } else { None });
                }
                Ok(())
            }
            Err(error) => {
                for Entry { session, .. } in in_pass {
                    let position = session.n_computed();
                    session.go_back(&mut core, position);
                }
                Err(error)
            }
        }
    }
}

impl Entry<'_> {
    /// Of the present pass. The last of all tokens wants logits.
    fn rows(&self) -> Vec<Row> {
        let last = self.session.n_computed() + self.ids.len() - 1;
        self.session.rows(&self.ids[..self.n_rows], last)
    }
}
