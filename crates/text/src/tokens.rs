//! Tokens by id, and ids by text.

use std::fmt;

use ahash::RandomState;
use dewdrop_format::gguf::Strings;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

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
    /// Texts and kinds by id: as many of both, at most as many as there are ids.
    ///
    /// # Errors
    /// The first id whose text another has, and the text.
    pub(crate) fn new(texts: Strings, kinds: Vec<TokenKind>) -> Result<Self, (u32, String)> {
        assert_eq!(texts.len(), kinds.len(), "a kind for each text");
        let hasher = RandomState::new();
        let mut ids = HashTable::with_capacity(texts.len());
        let called = |id: &u32| &texts[*id as usize];
        for (id, text) in (0..).zip(texts.iter()) {
            let hash = |id: &u32| hasher.hash_one(called(id));
            match ids.entry(hasher.hash_one(text), |other| called(other) == text, hash) {
                Entry::Vacant(entry) => entry.insert(id),
                Entry::Occupied(_) => return Err((id, text.to_owned())),
            };
        }
        Ok(Tokens { texts, kinds, ids, hasher })
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

    /// What each is for, by id.
    pub(crate) fn kinds(&self) -> &[TokenKind] {
        &self.kinds
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
        let texts: Vec<String> = (0..1000).map(|i| format!("token {i}")).chain([String::new()]).collect();
        let kinds: Vec<TokenKind> = texts
            .iter()
            .map(|text| if text.is_empty() { TokenKind::Control } else { TokenKind::Normal })
            .collect();
        let again = |text: &str| {
            let texts = texts.iter().map(String::as_str).chain([text, "another"]).collect();
            Tokens::new(texts, vec![TokenKind::Normal; 1003]).err().map(|(id, _)| id)
        };
        assert_eq!(
            [again("token 7"), again(""), again("token")],
            [Some(1001), Some(1001), None],
            "no two have one text"
        );
        let tokens = Tokens::new(texts.iter().collect(), kinds).unwrap();
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
