//! Long texts in stretches, each of which becomes the tokens that it becomes in the whole.
//!
//! Turning text into tokens takes some thirty times the memory of the text: so it takes that of a stretch. A text is cut
//! between a letter or digit and a space. Byte-level tokenizers end a word there in any case, however it began and whatever
//! follows. Others join nothing across it if they have no token of that kind. Steps that may look further get texts whole.

use std::iter;

use serde_json::{Value, json};

use crate::added::Added;
use crate::gguf::LINES;
use crate::pre::Pre;
use crate::tokenizer::{Merger, Tokenizer};
use crate::vocabulary::Spelling;

/// Bytes of a stretch at least, but for the last.
const STRETCH: usize = 64 << 10;

/// The stretches of a text; none if it is empty.
pub(crate) fn stretches<'a>(tokenizer: &Tokenizer, text: &'a str) -> impl Iterator<Item = &'a str> {
    // How it can be cut takes a look at all tokens.
    let place = if text.len() > STRETCH { place(tokenizer) } else { None };
    cut(text, STRETCH, place)
}

/// How a tokenizer's texts are cut between a letter or digit and a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The space begins the next stretch.
    BeforeSpace,
    /// The normalizer puts a space before each stretch, so the one before a letter or digit is left out.
    AroundSpace,
}

/// None: as a whole.
fn cut(mut text: &str, least: usize, place: Option<Place>) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let at = place.and_then(|place| place.first(text, least)).unwrap_or(text.len());
        let (stretch, rest) = text.split_at(at);
        text = if place == Some(Place::AroundSpace) { rest.strip_prefix(' ').unwrap_or(rest) } else { rest };
        (!stretch.is_empty()).then_some(stretch)
    })
}

impl Place {
    /// The first one after so many bytes.
    fn first(self, text: &str, least: usize) -> Option<usize> {
        let from = text.ceil_char_boundary(least);
        let mut spaces = text[from..].match_indices(' ').map(|(at, _)| from + at);
        spaces.find(|&at| {
            let (before, after) = (&text[..at], &text[at + 1..]);
            before.ends_with(char::is_alphanumeric)
                && (self == Place::BeforeSpace || after.starts_with(char::is_alphanumeric))
        })
    }

    /// Whether a token is found, or not, whatever stands on the other side.
    fn suits(self, token: &Added) -> bool {
        let begins_there = self == Place::AroundSpace && token.content.starts_with(char::is_alphanumeric);
        // In normalized text a space may stand as `▁`.
        let reaches_across = has_place(token.content.replace('▁', " ").as_bytes());
        !token.single_word && !token.rstrip && !begins_there && !reaches_across
    }
}

/// How a tokenizer's texts can be cut; none: not at all.
fn place(tokenizer: &Tokenizer) -> Option<Place> {
    // What cannot be written as JSON is no step that is known.
    let [normalizer, splitter] =
        [serde_json::to_value(&tokenizer.normalizer), serde_json::to_value(&tokenizer.splitter)]
            .map(|step| step.unwrap_or(Value::Bool(true)));
    let place = match &normalizer {
        normalizer if *normalizer == prefixed_spaces() => Place::AroundSpace,
        normalizer if changes_characters_alone(normalizer) => Place::BeforeSpace,
        _ => return None,
    };
    let mut added = tokenizer.finder.tokens().iter().chain(tokenizer.normalized_finder.tokens());
    let words_end_there = place == Place::BeforeSpace && Pre::of_steps(&splitter, false, "").is_ok();
    let is_fine = added.all(|token| place.suits(token));
    (is_fine && (words_end_there || joins_nothing(tokenizer, &splitter))).then_some(place)
}

/// A normalizer that writes spaces as `▁`, and one more in front.
fn prefixed_spaces() -> Value {
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, replace] })
}

/// Whether a normalizer makes the same of a text that begins with a space, whatever stood before.
fn changes_characters_alone(normalizer: &Value) -> bool {
    match normalizer["type"].as_str() {
        None => normalizer.is_null(),
        Some("NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase") => true,
        Some("Replace") => normalizer["pattern"]["String"] == " ",
        Some("Sequence") => normalizer["normalizers"]
            .as_array()
            .is_some_and(|steps| steps.iter().all(changes_characters_alone)),
        Some(_) => false,
    }
}

/// Whether nothing is joined across a place to cut, though no word need end there.
fn joins_nothing(tokenizer: &Tokenizer, splitter: &Value) -> bool {
    let pattern = &splitter["pattern"];
    let is_known = splitter.is_null()
        || splitter["type"] == "Split" && (pattern["String"] == " " || pattern["Regex"] == LINES);
    let tokens = &tokenizer.vocabulary.tokens;
    let joins_tokens_alone = match &tokenizer.merger {
        Merger::Bpe(bpe) => !bpe.rules.ignore_merges && (!bpe.rules.fuse_unknown || tokens.id("▁").is_some()),
        Merger::Scores(_) => true,
    };
    let mut ids = tokens.iter().map(|(id, ..)| id);
    is_known
        && tokenizer.vocabulary.spelling == Spelling::Spaces
        && joins_tokens_alone
        && ids.all(|id| !has_place(&tokenizer.vocabulary.bytes(id)))
}

/// Whether a token has what may be a letter or digit before a space.
fn has_place(token: &[u8]) -> bool {
    token.windows(2).any(|pair| pair[1] == b' ' && (pair[0].is_ascii_alphanumeric() || !pair[0].is_ascii()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pre::PRES;
    use crate::{GgufVocabulary, TokenKind};

    /// Every byte, and words of the alphabet that the texts below are made of.
    fn byte_level(pre: &str) -> Tokenizer {
        let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let words = ["ab", "abc", "Ġa", "Ġab", "ĠĠ", "ĊĊ", "1Ġ", "..", "Ġ."];
        let tokens = alphabet.into_iter().map(String::from).chain(words.map(String::from)).collect();
        let merges = ["a b", "ab c", "Ġ a", "Ġ ab", "Ġ Ġ", "Ċ Ċ", "1 Ġ", ". .", "Ġ ."].iter().collect();
        tokenizer(GgufVocabulary { model: "gpt2".into(), pre: Some(pre.into()), tokens, merges, ..marked() })
    }

    fn marked() -> GgufVocabulary {
        GgufVocabulary {
            file: "made.gguf".into(),
            add_space_prefix: Some(false),
            ..GgufVocabulary::default()
        }
    }

    /// Bytes, some characters, and words.
    fn spelled(model: &str, words: &[&str]) -> GgufVocabulary {
        let own = ["▁", "a", "b", ".", "\n", "▁a", "▁▁", "ab", "▁ab", ".▁", "\n▁", "\n\n"];
        let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
        let tokens: Vec<String> = bytes.chain(own.iter().chain(words).map(|&word| word.to_owned())).collect();
        let kinds = (0..tokens.len()).map(|id| if id < 256 { TokenKind::Byte } else { TokenKind::Normal });
        let merges = if model == "llama" {
            vec![]
        } else {
            vec!["▁ a", "▁ ▁", "a b", "▁ ab", ". ▁", "\n ▁"]
        };
        GgufVocabulary {
            model: model.into(),
            scores: (0..tokens.len()).map(|id| (id * 7 % 11) as f32).collect(),
            kinds: kinds.collect(),
            tokens: tokens.iter().collect(),
            merges: merges.iter().collect(),
            ..marked()
        }
    }

    fn prefixed(words: &[&str]) -> GgufVocabulary {
        GgufVocabulary { add_space_prefix: None, ..spelled("llama", words) }
    }

    fn tokenizer(vocabulary: GgufVocabulary) -> Tokenizer {
        Tokenizer::from_vocabulary(vocabulary).unwrap()
    }

    fn all() -> Vec<Tokenizer> {
        let byte_level = PRES.iter().map(|pre| byte_level(pre.names[0]));
        let spelled = [spelled("llama", &[]), prefixed(&[]), spelled("gemma4", &[])];
        byte_level.chain(spelled.map(tokenizer)).collect()
    }

    fn ids(tokenizer: &Tokenizer, text: &str, place: Option<Place>) -> Vec<u32> {
        let mut ids = Vec::new();
        for stretch in cut(text, 1, place) {
            tokenizer.encode_stretch(stretch, true, &mut ids).unwrap();
        }
        ids
    }

    #[test]
    fn a_text_is_cut_between_words() {
        let cut_at = |place, least| cut("one two. three  é fünf", least, place).collect::<Vec<_>>();
        let stretches = |least| cut_at(Some(Place::BeforeSpace), least);
        assert_eq!(stretches(1), ["one", " two. three", "  é", " fünf"]);
        assert_eq!(stretches(5), ["one two. three", "  é fünf"]);
        assert_eq!(stretches(100), ["one two. three  é fünf"]);
        assert_eq!(cut_at(Some(Place::AroundSpace), 1), ["one", "two. three  é", "fünf"]);
        assert_eq!(cut_at(None, 1).len(), 1);
        assert_eq!(cut("", 1, Some(Place::BeforeSpace)).count(), 0);
    }

    #[test]
    fn what_may_look_further_gets_texts_whole() {
        assert!(all().iter().all(|tokenizer| place(tokenizer).is_some()));
        assert_eq!(place(&tokenizer(prefixed(&[]))), Some(Place::AroundSpace));
        for longer in ["a▁b", "é▁"] {
            assert_eq!(place(&tokenizer(spelled("llama", &[longer]))), None);
            assert_eq!(place(&tokenizer(spelled("gemma4", &[longer]))), None);
        }
        let with_control = |mut vocabulary: GgufVocabulary| {
            *vocabulary.kinds.last_mut().unwrap() = TokenKind::Control;
            place(&tokenizer(vocabulary))
        };
        assert_eq!(with_control(spelled("llama", &["end of text"])), None);
        assert_eq!(with_control(spelled("llama", &["end▁of▁text"])), None);
        assert_eq!(with_control(spelled("llama", &["end"])), Some(Place::BeforeSpace));
        assert_eq!(with_control(prefixed(&["end"])), None);
    }

    proptest! {
        #[test]
        fn stretches_have_the_tokens_of_the_whole(text in "[ab1é.' \n\r\u{301}]{0,60}") {
            for tokenizer in all() {
                prop_assert_eq!(ids(&tokenizer, &text, place(&tokenizer)), ids(&tokenizer, &text, None));
            }
        }
    }
}
