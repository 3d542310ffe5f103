//! Ids to text, one at a time, never half a character.

use std::sync::Arc;

use crate::vocabulary::{SpacePrefix, TokenKind, Vocabulary};

/// Turns ids into text as they come.
///
/// Bytes wait until their character is complete. What can no longer become a character turns into U+FFFD, so that all
/// texts together are what decoding the ids at once yields. Time is linear in the bytes.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    vocabulary: Arc<Vocabulary>,
    skip_special: bool,
    /// The start of a character: at most three bytes between calls.
    pending: Vec<u8>,
    /// The next text token begins with a space that encoding put there.
    drop_space: bool,
}

impl Detokenizer {
    pub(crate) fn from_start(vocabulary: Arc<Vocabulary>, skip_special: bool) -> Self {
        let drop_space = vocabulary.space_prefix != SpacePrefix::Never;
        Self { vocabulary, skip_special, pending: Vec::new(), drop_space }
    }

    pub(crate) fn continuing(vocabulary: Arc<Vocabulary>, skip_special: bool) -> Self {
        Self { vocabulary, skip_special, pending: Vec::new(), drop_space: false }
    }

    /// Takes a token and yields the text that is complete with it.
    pub fn push(&mut self, id: u32) -> String {
        let vocabulary = Arc::clone(&self.vocabulary);
        let Some(kind) = vocabulary.tokens.kind(id) else { return String::new() };
        let special = matches!(kind, TokenKind::Control | TokenKind::Unknown);
        if !(special && self.skip_special) {
            let bytes = vocabulary.bytes(id);
            let text = self.text_bytes(kind, &bytes);
            self.pending.extend(text);
        }
        if matches!(kind, TokenKind::Control | TokenKind::UserDefined) {
            self.drop_space |= vocabulary.space_prefix == SpacePrefix::AfterSpecial;
        }
        self.take_complete()
    }

    /// What is left of an unfinished character: U+FFFD, or nothing.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }

    fn text_bytes<'a>(&mut self, kind: TokenKind, bytes: &'a [u8]) -> &'a [u8] {
        let text = matches!(kind, TokenKind::Normal | TokenKind::Byte | TokenKind::Unknown);
        if text && std::mem::take(&mut self.drop_space) {
            return bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        bytes
    }

    fn take_complete(&mut self) -> String {
        let mut text = String::new();
        let mut unfinished = 0;
        let mut chunks = self.pending.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text += chunk.valid();
            if chunks.peek().is_none() && is_start_of_character(chunk.invalid()) {
                unfinished = chunk.invalid().len();
            } else if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.pending.drain(..self.pending.len() - unfinished);
        text
    }
}

/// Whether more bytes could make a character of these.
fn is_start_of_character(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Err(error) => error.error_len().is_none(),
        Ok(_) => false,
    }
}
