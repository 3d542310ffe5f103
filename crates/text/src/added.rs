//! Tokens that are found in text before it is split: control tokens and user-defined ones.
//!
//! At each place the longest token wins, as in the `tokenizers` library. Control tokens are looked for only when the
//! caller asks, since text of a user must not be able to end a turn.

use std::ops::Range;

use ahash::AHashMap;
use tokenizers::tokenizer::normalizer;
use tokenizers::{NormalizedString, Token};

/// A token to find, and how.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    pub(crate) id: u32,
    /// The text as it stands in the input.
    pub(crate) content: String,
    /// Only found when special tokens are parsed.
    pub(crate) special: bool,
    /// Only where no letter, digit or underscore touches it.
    pub(crate) single_word: bool,
    /// Takes the white space before it along.
    pub(crate) lstrip: bool,
    /// Takes the white space after it along.
    pub(crate) rstrip: bool,
    /// Looked for in normalized text rather than in text as given.
    pub(crate) normalized: bool,
}

/// Finds added tokens in text.
#[derive(Debug, Default)]
pub(crate) struct Finder {
    tokens: Vec<Added>,
    /// Trie: (node, byte) to node. Node 0 is the root.
    edges: AHashMap<(u32, u8), u32>,
    /// The token that ends at a node.
    found: Vec<Option<usize>>,
}

impl Finder {
    /// Takes the tokens; of two with one content the later stays.
    pub(crate) fn new(tokens: Vec<Added>) -> Self {
        let mut finder = Self { tokens: Vec::new(), edges: AHashMap::new(), found: vec![None] };
        for token in tokens {
            if !token.content.is_empty() {
                finder.insert(token);
            }
        }
        finder
    }

    pub(crate) fn tokens(&self) -> &[Added] {
        &self.tokens
    }

    /// Cuts text into pieces; those that are an added token carry it.
    pub(crate) fn split(
        &self,
        text: NormalizedString,
        parse_special: bool,
    ) -> Vec<(NormalizedString, Option<Vec<Token>>)> {
        let places = self.places(text.get(), parse_special);
        if places.is_empty() {
            return vec![(text, None)];
        }
        let mut pieces = Vec::with_capacity(2 * places.len() + 1);
        let mut done = 0;
        for (token, place) in places {
            pieces.extend(slice(&text, done..place.start).map(|piece| (piece, None)));
            let end = place.end;
            pieces.extend(slice(&text, place).map(|piece| {
                let content = piece.get().to_owned();
                let length = content.len();
                (piece, Some(vec![Token::new(token.id, content, (0, length))]))
            }));
            done = end;
        }
        pieces.extend(slice(&text, done..text.get().len()).map(|piece| (piece, None)));
        pieces
    }

    /// Where which tokens are, from left to right, none overlapping.
    fn places(&self, text: &str, parse_special: bool) -> Vec<(&Added, Range<usize>)> {
        let mut places = Vec::new();
        let (mut start, mut done) = (0, 0);
        while start < text.len() {
            let Some((token, length)) = self.longest_at(&text.as_bytes()[start..], parse_special) else {
                start += 1;
                continue;
            };
            let found = start..start + length;
            start = found.end;
            if let Some(place) = token.place(text, found, done) {
                (start, done) = (place.end, place.end);
                places.push((token, place));
            }
        }
        places
    }

    /// The longest token that `bytes` start with, and its length.
    fn longest_at(&self, bytes: &[u8], parse_special: bool) -> Option<(&Added, usize)> {
        let mut node = 0;
        let mut longest = None;
        for (position, &byte) in bytes.iter().enumerate() {
            let Some(&next) = self.edges.get(&(node, byte)) else { break };
            node = next;
            let token = self.found[node as usize].map(|index| &self.tokens[index]);
            if let Some(token) = token.filter(|token| parse_special || !token.special) {
                longest = Some((token, position + 1));
            }
        }
        longest
    }

    fn insert(&mut self, token: Added) {
        let mut node = 0;
        for &byte in token.content.as_bytes() {
            let fresh = u32::try_from(self.found.len()).expect("fewer trie nodes than bytes of vocabulary");
            node = *self.edges.entry((node, byte)).or_insert(fresh);
            if node == fresh {
                self.found.push(None);
            }
        }
        self.found[node as usize] = Some(self.tokens.len());
        self.tokens.push(token);
    }
}

impl Added {
    /// What the token takes of the text where it was found, given that all up to `done` is taken; nothing if it may not
    /// stand there.
    fn place(&self, text: &str, found: Range<usize>, done: usize) -> Option<Range<usize>> {
        let (before, after) = (text.get(..found.start)?, text.get(found.end..)?);
        if self.single_word && (before.ends_with(is_word) || after.starts_with(is_word)) {
            return None;
        }
        let start = if self.lstrip { before.trim_end().len().max(done) } else { found.start };
        let right = if self.rstrip { after.len() - after.trim_start().len() } else { 0 };
        Some(start..found.end + right)
    }
}

/// A slice of text that remembers where it came from; none where it is empty.
fn slice(text: &NormalizedString, range: Range<usize>) -> Option<NormalizedString> {
    if range.is_empty() { None } else { text.slice(normalizer::Range::Normalized(range)) }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
