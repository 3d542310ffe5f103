//! Tokens by id, and ids by text.

use std::fmt;

use ahash::RandomState;
use dewdrop_format::gguf::Strings;
use hashbrown::HashTable;

use crate::vocabulary::TokenKind;

/// What tokens are called and what they are for. No two have one text.
///
/// Ids are found by the hash of their texts.
pub(crate) struct Tokens {
    texts: Strings,
    kinds: Vec<TokenKind>,
    ids: HashTable<u32>,
    hasher: RandomState,
}

impl Tokens {
    pub(crate) fn with_capacity(n: usize) -> Self {
        Tokens {
            texts: Strings::with_capacity(n),
            kinds: Vec::with_capacity(n),
            ids: HashTable::with_capacity(n),
            hasher: RandomState::new(),
        }
    }

    /// Adds the next token; false, and nothing added, if one is called so already. At most as many as there are ids.
    pub(crate) fn push(&mut self, text: &str, kind: TokenKind) -> bool {
        let (texts, hasher) = (&self.texts, &self.hasher);
        let called = |id: &u32| &texts[*id as usize];
        let hash = |id: &u32| hasher.hash_one(called(id));
        let entry = self.ids.entry(hasher.hash_one(text), |id| called(id) == text, hash);
        let hashbrown::hash_table::Entry::Vacant(entry) = entry else { return false };
        entry.insert(u32::try_from(self.texts.len()).expect("no more tokens than ids"));
        self.texts.push(text);
        self.kinds.push(kind);
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get(usize::try_from(id).ok()?)
    }

    pub(crate) fn kind(&self, id: u32) -> Option<TokenKind> {
        self.kinds.get(usize::try_from(id).ok()?).copied()
    }

    /// The token of this text.
    pub(crate) fn id(&self, text: &str) -> Option<u32> {
        let called = |id: &u32| self.texts[*id as usize] == *text;
        self.ids.find(self.hasher.hash_one(text), called).copied()
    }

    /// Ids, texts and kinds, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str, TokenKind)> {
        (0..).zip(self.texts.iter()).zip(&self.kinds).map(|((id, text), &kind)| (id, text, kind))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_texts_find_each_other() {
        let mut tokens = Tokens::with_capacity(0);
        let texts: Vec<String> = (0..1000).map(|i| format!("token {i}")).collect();
        assert!(texts.iter().all(|text| tokens.push(text, TokenKind::Normal)));
        assert!(!tokens.push("token 7", TokenKind::Control), "no two have one text");
        assert!(tokens.push("", TokenKind::Control) && !tokens.push("", TokenKind::Control));
        assert_eq!(
            (tokens.len(), tokens.id("token"), tokens.text(1001), tokens.kind(1001)),
            (1001, None, None, None)
        );
        assert_eq!(
            (tokens.text(1000), tokens.kind(1000), tokens.id("")),
            (Some(""), Some(TokenKind::Control), Some(1000))
        );
        for (id, text, kind) in tokens.iter().take(1000) {
            assert_eq!((tokens.id(text), tokens.text(id), kind), (Some(id), Some(text), TokenKind::Normal));
            assert_eq!(text, texts[id as usize]);
        }
    }
}
