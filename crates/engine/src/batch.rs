//! Rows of several sessions in one pass: each read of the weights serves all of them.

use crate::{EngineError, Session};

/// Tokens to append to several sessions of one core, all computed in one pass.
#[derive(Default)]
pub struct Batch<'a> {
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    session: &'a mut Session,
    /// New tokens, after one that generation left.
    ids: Vec<u32>,
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
        session.check_room(ids.len())?;
        let left = session.tokens()[session.n_computed()..].to_vec();
        let ids: Vec<u32> = left.into_iter().chain(ids.iter().copied()).collect();
        if ids.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        self.entries.push(Entry { session, ids });
        Ok(())
    }

    /// Computes everything.
    ///
    /// # Errors
    /// If the pass fails. Every session then goes back to where it was, or to nothing where its state cannot.
    pub fn run(mut self) -> Result<(), EngineError> {
        let Some(first) = self.entries.first() else { return Ok(()) };
        let core = first.session.core().clone();
        let mut core = core.lock()?;
        let n_vocab = core.program().n_vocab;
        let rows: Vec<_> = self.entries.iter().flat_map(Entry::rows).collect();
        match core.pass(&rows) {
            Ok(logits) => {
                for (entry, logits) in self.entries.iter_mut().zip(logits.chunks_exact(n_vocab)) {
                    entry.session.advance(&entry.ids, Some(logits));
                }
                Ok(())
            }
            Err(error) => {
                for Entry { session, .. } in &mut self.entries {
                    let position = session.n_computed();
                    session.go_back(&mut core, position);
                }
                Err(error)
            }
        }
    }
}

impl Entry<'_> {
    fn rows(&self) -> Vec<dewdrop_backend::Row> {
        let last = self.session.n_computed() + self.ids.len() - 1;
        self.session.rows(&self.ids, last)
    }
}
