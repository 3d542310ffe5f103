//! A checked way into the library's byte-pair merging.
//!
//! The library trusts its input (a merge longer than every token indexes out of its buffer), so merges are checked
//! before it sees them.

use tokenizers::models::bpe::{BPE, Vocab};

use crate::TextError;
use crate::error::shown;
use crate::tokens::Tokens;
use crate::vocabulary::TokenKind;

/// What a BPE model is made of.
#[derive(Debug, Default)]
pub(crate) struct BpeParts {
    /// In order of rank.
    pub(crate) merges: Vec<(String, String)>,
    pub(crate) ignore_merges: bool,
    pub(crate) byte_fallback: bool,
    pub(crate) unknown: Option<String>,
    pub(crate) fuse_unknown: bool,
}

impl BpeParts {
    /// Builds the model from tokens by id.
    ///
    /// Control tokens and rows without meaning take part only where a merge names them: text must not turn into one
    /// by being a word of the same letters.
    pub(crate) fn build(self, tokens: &Tokens, file: &str, key: &str) -> Result<BPE, TextError> {
        let named = self.checked_merges(tokens, file, key)?;
        let mut vocabulary = Vocab::with_capacity(tokens.len());
        for ((id, text, kind), named) in tokens.iter().zip(named) {
            if is_text(kind) || named || self.unknown.as_deref() == Some(text) {
                vocabulary.insert(text.into(), id);
            }
        }
        let mut builder = BPE::builder()
            .vocab_and_merges(vocabulary, self.merges)
            .ignore_merges(self.ignore_merges)
            .byte_fallback(self.byte_fallback)
            .fuse_unk(self.fuse_unknown);
        if let Some(unknown) = self.unknown {
            builder = builder.unk_token(unknown);
        }
        builder.build().map_err(|error| TextError::malformed(file, key, error.to_string(), "a BPE model"))
    }

    /// Which ids merges name, if every text is a token.
    fn checked_merges(&self, tokens: &Tokens, file: &str, key: &str) -> Result<Vec<bool>, TextError> {
        let mut named = vec![false; tokens.len()];
        let mut joined = String::new();
        for (rank, (left, right)) in self.merges.iter().enumerate() {
            joined.clear();
            joined.extend([&**left, right]);
            for text in [left, right, &joined] {
                let id = tokens.id(text).ok_or_else(|| {
                    let found = format!("merge {rank} (`{}` with `{}`)", shown(left), shown(right));
                    let expected = format!("`{}` to be a token", shown(text));
                    TextError::malformed(file, key, found, expected)
                })?;
                named[id as usize] = true;
            }
        }
        Ok(named)
    }
}

fn is_text(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte)
}

/// A merge as old files write it, `left right`. Neither part has spaces, save that the left may begin with one.
pub(crate) fn parse_merge(text: &str) -> Option<(String, String)> {
    let second_character = text.char_indices().nth(1)?.0;
    let space = second_character + text.get(second_character..)?.find(' ')?;
    let (left, right) = (text.get(..space)?, text.get(space + 1..)?);
    (!right.is_empty()).then(|| (left.into(), right.into()))
}
