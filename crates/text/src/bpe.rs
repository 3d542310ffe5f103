//! Merging by rank: byte-pair encoding.
//!
//! A word starts as single characters. Of all neighbours that a merge names, those of the merge with the lowest rank are
//! joined first, the leftmost of equals, until no merge names neighbours. Sennrich, Haddow and Birch 2016, "Neural Machine
//! Translation of Rare Words with Subword Units". Results are those of the `tokenizers` library; its own table of merges
//! takes four times as long to make, which is most of what starting a small model takes.

use std::cmp::Reverse;

use ahash::AHashMap;

use crate::TextError;
use crate::chain::join_all;
use crate::error::shown;
use crate::tokens::Tokens;
use crate::vocabulary::{ByteIds, TokenKind};

/// What to do besides merging.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// A word that is a token becomes that, whatever merges would make of it.
    pub(crate) ignore_merges: bool,
    /// A character without a token is spelled in byte tokens, if there are all.
    pub(crate) byte_fallback: bool,
    /// Stands for a character that is neither a token nor spelled.
    pub(crate) unknown: Option<u32>,
    /// Whether one stands for several of them in a row.
    pub(crate) fuse_unknown: bool,
}

/// A vocabulary's merges.
#[derive(Debug)]
pub(crate) struct Bpe {
    pub(crate) rules: Rules,
    /// By the ids of what is joined.
    merges: AHashMap<(u32, u32), Joined>,
    /// By id, whether text may become this token.
    takes_part: Vec<bool>,
    /// If characters may be spelled so.
    bytes: Option<ByteIds>,
}

#[derive(Clone, Copy, Debug)]
struct Joined {
    rank: u32,
    id: u32,
}

impl Bpe {
    /// `merges`: left and right texts in order of rank. `file` and `key`: where they stand, for messages.
    ///
    /// Control tokens and rows without meaning take part only where a merge names them: text must not turn into one by
    /// being a word of the same letters.
    ///
    /// # Errors
    /// If a merge is none itself, or what it joins or makes is no token.
    pub(crate) fn new<'a>(
        tokens: &Tokens,
        rules: Rules,
        merges: impl ExactSizeIterator<Item = Result<(&'a str, &'a str), TextError>>,
        file: &str,
        key: &str,
    ) -> Result<Self, TextError> {
        let mut takes_part: Vec<bool> = tokens.kinds().iter().map(is_text).collect();
        let mut by_pair = AHashMap::with_capacity(merges.len());
        let mut last = 0;
        for (rank, merge) in (0..).zip(merges) {
            let (left, right) = merge?;
            let no_token = |text: &str| {
                let found = format!("merge {rank} (`{}` with `{}`)", shown(left), shown(right));
                TextError::malformed(file, key, found, format!("`{}` to be a token", shown(text)))
            };
            let id = |text: &str| tokens.id(text).ok_or_else(|| no_token(text));
            let pair = (id(left)?, id(right)?);
            // Most vocabularies have what merges make in the order of the merges.
            let id_joined = match tokens.text(last + 1).and_then(|text| text.strip_prefix(left)) {
                Some(rest) if rest == right => last + 1,
                _ => id(&[left, right].concat())?,
            };
            last = id_joined;
            for id in [pair.0, pair.1, id_joined] {
                takes_part[id as usize] = true;
            }
            by_pair.insert(pair, Joined { rank, id: id_joined });
        }
        if let Some(unknown) = rules.unknown {
            takes_part[unknown as usize] = true;
        }
        let mut bpe = Bpe { rules, merges: by_pair, takes_part, bytes: None };
        if rules.byte_fallback {
            let byte = |byte: u8| bpe.id(tokens, &format!("<0x{byte:02X}>"));
            bpe.bytes = Some(ByteIds::new(byte));
        }
        Ok(bpe)
    }

    /// Ids of a word.
    ///
    /// # Errors
    /// If there are none for some character.
    pub(crate) fn tokenize(&self, tokens: &Tokens, word: &str) -> Result<Vec<u32>, TextError> {
        if self.rules.ignore_merges
            && let Some(id) = self.id(tokens, word)
        {
            return Ok(vec![id]);
        }
        let characters = self.characters(tokens, word)?;
        let join = |left, right| {
            let joined = self.merges.get(&(left, right))?;
            Some((Reverse(joined.rank), joined.id))
        };
        Ok(join_all(characters.into_iter(), join).collect())
    }

    /// Ids of a word's characters.
    fn characters(&self, tokens: &Tokens, word: &str) -> Result<Vec<u32>, TextError> {
        let mut ids = Vec::with_capacity(word.len());
        // Whether the unknown token is to come. As in the library, spelled bytes do not wait for it.
        let mut unknown = None;
        for (at, character) in word.char_indices() {
            let character = &word[at..at + character.len_utf8()];
            if let Some(id) = self.id(tokens, character) {
                ids.extend(unknown.take());
                ids.push(id);
            } else if let Some(spelled) = self.bytes.as_ref().and_then(|bytes| bytes.spell(character)) {
                ids.extend(spelled);
            } else if self.rules.unknown.is_none() {
                return Err(TextError::NoToken { piece: shown(word) });
            } else {
                ids.extend(unknown.filter(|_| !self.rules.fuse_unknown));
                unknown = self.rules.unknown;
            }
        }
        ids.extend(unknown);
        Ok(ids)
    }

    /// The token of this text, if text may become it.
    fn id(&self, tokens: &Tokens, text: &str) -> Option<u32> {
        tokens.id(text).filter(|&id| self.takes_part[id as usize])
    }
}

fn is_text(kind: &TokenKind) -> bool {
    matches!(kind, TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte)
}

/// The merge of a rank as old files write it, `left right`. Neither part has spaces, save that the left may begin with one.
///
/// # Errors
/// If it is none; `file` and `key` are for the message.
pub(crate) fn parse_merge<'a>(
    rank: usize,
    text: &'a str,
    file: &str,
    key: &str,
) -> Result<(&'a str, &'a str), TextError> {
    parts(text).ok_or_else(|| {
        let found = format!("merge {rank} `{}`", shown(text));
        TextError::malformed(file, key, found, "two tokens with a space between")
    })
}

fn parts(text: &str) -> Option<(&str, &str)> {
    let second_character = text.char_indices().nth(1)?.0;
    let space = second_character + text.get(second_character..)?.find(' ')?;
    let (left, right) = (text.get(..space)?, text.get(space + 1..)?);
    (!right.is_empty()).then_some((left, right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokenizers::Model as _;
    use tokenizers::models::bpe::{BPE, Vocab};

    use super::*;

    const UNKNOWN: &str = "?";

    /// A vocabulary of characters, bytes, the unknown token, and what merges of these make; the merges.
    fn vocabulary(
        characters: &[char],
        bytes: &[u8],
        picks: &[(usize, usize)],
    ) -> (Tokens, Vec<(String, String)>) {
        let own = characters.iter().map(char::to_string).filter(|text| text != UNKNOWN);
        let spelled = bytes.iter().map(|byte| format!("<0x{byte:02X}>"));
        let mut texts: Vec<String> = [UNKNOWN.to_owned()].into_iter().chain(own).chain(spelled).collect();
        let mut merges = Vec::new();
        for (left, right) in picks {
            let (left, right) = (texts[left % texts.len()].clone(), texts[right % texts.len()].clone());
            let joined = format!("{left}{right}");
            if !texts.contains(&joined) {
                texts.push(joined);
            }
            merges.push((left, right));
        }
        let mut kinds = vec![TokenKind::Normal; texts.len()];
        kinds[0] = TokenKind::Unknown;
        (Tokens::new(texts.iter().collect(), kinds).unwrap(), merges)
    }

    /// What the library makes of a word; none if it leaves something out.
    fn by_library(
        tokens: &Tokens,
        rules: Rules,
        merges: &[(String, String)],
        word: &str,
    ) -> Option<Vec<u32>> {
        let named =
            |text: &str| merges.iter().any(|(left, right)| [left, right].iter().any(|part| *part == text));
        let takes_part = |text: &str| text != UNKNOWN || rules.unknown.is_some() || named(text);
        let texts = tokens.iter().filter(|(_, text, _)| takes_part(text));
        let texts: Vocab = texts.map(|(id, text, _)| (text.to_owned(), id)).collect();
        let mut builder = BPE::builder()
            .vocab_and_merges(texts, merges.to_vec())
            .ignore_merges(rules.ignore_merges)
            .byte_fallback(rules.byte_fallback)
            .fuse_unk(rules.fuse_unknown);
        if rules.unknown.is_some() {
            builder = builder.unk_token(UNKNOWN.to_owned());
        }
        let found = builder.build().unwrap().tokenize(word).unwrap();
        let covered: usize = found.iter().map(|token| token.offsets.1 - token.offsets.0).sum();
        (covered == word.len()).then(|| found.iter().map(|token| token.id).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn words_become_what_the_library_makes_of_them(
            characters in prop::sample::subsequence(vec!['a', 'b', 'c', 'é', '?'], 1..5),
            bytes in prop::sample::subsequence(vec![b'a', b'b', b'c', 0xC3, 0xA9, b'?'], 0..6),
            picks in prop::collection::vec((0..64usize, 0..64usize), 0..24),
            (ignore_merges, byte_fallback, has_unknown, fuse_unknown) in any::<(bool, bool, bool, bool)>(),
            words in prop::collection::vec("[abcé?]{1,12}", 1..8),
        ) {
            let (tokens, merges) = vocabulary(&characters, &bytes, &picks);
            let rules = Rules { ignore_merges, byte_fallback, unknown: has_unknown.then_some(0), fuse_unknown };
            let parts = merges.iter().map(|(left, right)| Ok((left.as_str(), right.as_str())));
            let bpe = Bpe::new(&tokens, rules, parts, "made", "merges").unwrap();
            for word in &words {
                let wanted = by_library(&tokens, rules, &merges, word);
                prop_assert_eq!(bpe.tokenize(&tokens, word).ok(), wanted, "{}", word);
            }
        }
    }

    #[test]
    fn merges_are_spelled_with_a_space() {
        assert_eq!(parts("a bc"), Some(("a", "bc")));
        assert_eq!(parts("  b"), Some((" ", "b")));
        assert_eq!([parts("ab"), parts("a "), parts("")], [None; 3]);
    }
}
