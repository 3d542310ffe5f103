//! A text or a conversation.

use dewdrop_engine::{Cancel, Sampling, Stats};
use dewdrop_text::EncodeOptions;

use crate::{Engine, Error, Generation};

/// A sequence of tokens, given and generated, on an [`Engine`].
pub struct Session {
    engine: Engine,
    ids: dewdrop_engine::Session,
}

impl Session {
    pub(crate) fn new(engine: Engine) -> Result<Self, Error> {
        let ids = dewdrop_engine::Session::new(engine.core().clone(), engine.limits())?;
        Ok(Session { engine, ids })
    }

    /// Makes `text` the sequence, with the begin token that the model expects, and computes what is not computed yet.
    /// Spelled control tokens (`<|im_start|>`) become those tokens. Yields how many tokens were reused.
    pub fn prompt(&mut self, text: &str) -> Result<usize, Error> {
        let options = EncodeOptions { add_special: true, parse_special: true };
        let ids = self.engine.encode(text, options)?;
        self.set_prompt(&ids)
    }

    /// Makes `ids` the sequence, and computes what is not computed yet. Yields how many tokens were reused.
    pub fn set_prompt(&mut self, ids: &[u32]) -> Result<usize, Error> {
        Ok(self.ids.set_prompt(ids)?)
    }

    /// Appends tokens and computes them.
    pub fn feed(&mut self, ids: &[u32]) -> Result<(), Error> {
        Ok(self.ids.feed(ids)?)
    }

    /// As [`feed`](Session::feed), calling `visit` with position and logits of each new token from position `from` on.
    pub fn feed_each(
        &mut self,
        ids: &[u32],
        from: usize,
        visit: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        Ok(self.ids.feed_each(ids, from, visit)?)
    }

    /// Forgets tokens from `position` on, or all of them where recurrent state cannot go back. Yields how many are left.
    pub fn truncate(&mut self, position: usize) -> Result<usize, Error> {
        Ok(self.ids.truncate(position)?)
    }

    /// Generates tokens after the sequence; see [`Generation`] for what ends it.
    ///
    /// # Errors
    /// If parameters are out of range, or there is no prompt.
    pub fn generate(&mut self, sampling: &Sampling) -> Result<Generation<'_>, Error> {
        let ids = self.ids.generate(sampling, self.engine.end_tokens())?;
        Ok(Generation::new(ids, self.engine.tokenizer().detokenizer(true), &sampling.stop))
    }

    /// All tokens, generated ones included.
    pub fn tokens(&self) -> &[u32] {
        self.ids.tokens()
    }

    /// Logits of the last computed token, `[n_vocab]`; empty before the first pass. The token generated last is computed
    /// when the next one is wanted, or by feeding nothing.
    pub fn logits(&self) -> &[f32] {
        self.ids.logits()
    }

    /// Counts and times since the last prompt was set.
    pub fn stats(&self) -> &Stats {
        self.ids.stats()
    }

    /// The flag that stops this session before its next pass, from any thread.
    pub fn cancel_flag(&self) -> &Cancel {
        self.ids.cancel_flag()
    }

    /// Lets `cancel` stop this session from now on, in place of the flag that it has.
    pub fn set_cancel_flag(&mut self, cancel: Cancel) {
        self.ids.set_cancel_flag(cancel);
    }

    /// Most tokens it can hold.
    pub fn context(&self) -> usize {
        self.ids.limits().context
    }

    /// The engine it runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The sequence below the text, for batches of several sessions.
    pub fn ids_mut(&mut self) -> &mut dewdrop_engine::Session {
        &mut self.ids
    }
}
