//! Token after token.

use std::time::Instant;

use crate::{EngineError, Logprobs, Sampler, Session};

/// A token that was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its id.
    pub id: u32,
    /// How likely it was, if asked for.
    pub logprobs: Option<Logprobs>,
}

/// Why generation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// An end-of-generation token came.
    End,
    /// As many tokens as were asked for.
    Limit,
    /// The context is full.
    Context,
    /// The session was cancelled.
    Cancelled,
    /// A stop text came; its index. Only whoever turns tokens to text can know.
    Stop(usize),
}

/// An iterator of chosen tokens.
///
/// An end-of-generation token is the last one yielded. A token's own pass runs when the next one is asked for, so that the
/// last costs none.
pub struct Generation<'a> {
    session: &'a mut Session,
    sampler: Sampler,
    ends: Vec<u32>,
    n_left: Option<usize>,
    finish: Option<Finish>,
    failed: bool,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(session: &'a mut Session, sampler: Sampler, ends: &[u32]) -> Self {
        let sampling = sampler.sampling();
        let ends = if sampling.ignore_end { Vec::new() } else { ends.to_vec() };
        let n_left = sampling.n;
        Generation { session, sampler, ends, n_left, finish: None, failed: false }
    }

    /// Why it ended; none while it goes on, and after an error. Known as soon as the last token was yielded.
    pub fn finish(&self) -> Option<&Finish> {
        self.finish.as_ref()
    }

    /// Ends it for a reason that only the caller knows.
    pub fn stop(&mut self, finish: Finish) {
        self.finish = Some(finish);
    }

    /// The session that it extends.
    pub fn session(&self) -> &Session {
        self.session
    }

    /// Ends it before the next token if there is a reason to.
    fn check_limits(&mut self) {
        if self.n_left == Some(0) {
            self.finish = Some(Finish::Limit);
        } else if self.session.check_room(1).is_err() {
            self.finish = Some(Finish::Context);
        } else if self.session.cancel_flag().is_cancelled() {
            self.finish = Some(Finish::Cancelled);
        }
    }

    fn choose(&mut self) -> Result<Choice, EngineError> {
        let start = Instant::now();
        self.session.compute_pushed()?;
        let logits = self.session.logits();
        let id = self.sampler.choose(logits, self.session.tokens());
        let logprobs = self.sampler.logprobs(logits, id);
        self.session.push(id);
        let session = &mut *self.session;
        session.stats.generated_tokens += 1;
        session.stats.generation_time += start.elapsed();
        session.stats.time_to_first_token.get_or_insert_with(|| session.started.elapsed());
        self.n_left = self.n_left.map(|n| n - 1);
        self.check_limits();
        if self.ends.contains(&id) {
            self.finish = Some(Finish::End);
        }
        Ok(Choice { id, logprobs })
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Choice, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish.is_none() && !self.failed {
            self.check_limits();
        }
        if self.finish.is_some() || self.failed {
            return None;
        }
        match self.choose() {
            Err(EngineError::Cancelled) => {
                self.finish = Some(Finish::Cancelled);
                None
            }
            result => {
                self.failed = result.is_err();
                Some(result)
            }
        }
    }
}
