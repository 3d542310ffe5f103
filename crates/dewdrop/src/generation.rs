//! Tokens with their text, as they come.

use dewdrop_engine::{Finish, Logprobs};
use dewdrop_text::Detokenizer;

use crate::Error;
use crate::stop::StopTexts;

/// A generated token.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Text that is certain now: complete characters that cannot become a stop text. Often this token's own, but it may be
    /// empty, or hold text of tokens before.
    pub text: String,
    /// How likely it was, if asked for.
    pub logprobs: Option<Logprobs>,
}

/// An iterator of generated tokens.
///
/// It ends after an end-of-generation token (which is yielded, without text of its own), when a stop text came (its token
/// yields the text before it), at the limit asked for, at the end of the context, or when the session is cancelled.
pub struct Generation<'a> {
    ids: dewdrop_engine::Generation<'a>,
    detokenizer: Detokenizer,
    stop: StopTexts,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(
        ids: dewdrop_engine::Generation<'a>,
        detokenizer: Detokenizer,
        stop: &[String],
    ) -> Self {
        Generation { ids, detokenizer, stop: StopTexts::new(stop) }
    }

    /// Why it ended; none while it goes on, and after an error. Known as soon as the last token was yielded.
    pub fn finish(&self) -> Option<&Finish> {
        self.ids.finish()
    }

    /// Text held back when it was cut short (cancelled, failed, or no longer asked for); empty after a whole run.
    pub fn rest(&mut self) -> String {
        self.stop.flush() + &self.detokenizer.finish()
    }

    /// All tokens of the session so far.
    pub fn tokens(&self) -> &[u32] {
        self.ids.session().tokens()
    }

    /// The text that is certain with this token.
    fn text(&mut self, id: u32) -> String {
        let is_last = self.ids.finish().is_some();
        let mut fresh = String::new();
        if self.ids.finish() != Some(&Finish::End) {
            fresh += &self.detokenizer.push(id);
        }
        if is_last {
            fresh += &self.detokenizer.finish();
        }
        let (mut text, stopped) = self.stop.push(&fresh);
        match stopped {
            Some(index) => self.ids.stop(Finish::Stop(index)),
            None if is_last => text += &self.stop.flush(),
            None => (),
        }
        text
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Token, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let choice = match self.ids.next()? {
            Ok(choice) => choice,
            Err(error) => return Some(Err(error.into())),
        };
        let text = self.text(choice.id);
        Some(Ok(Token { id: choice.id, text, logprobs: choice.logprobs }))
    }
}
