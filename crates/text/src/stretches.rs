//! Long texts in stretches, each of which becomes the tokens that it becomes in the whole.
//!
//! Turning text into tokens takes some thirty times the memory of the text: so it takes that of a stretch. A text is cut
//! between a letter or digit and a space. Byte-level tokenizers end a word there in any case, however it began and whatever
//! follows. Others join nothing across it if they have no token of that kind. Steps that may look further get texts whole.

use std::iter;

use serde_json::Value;

use crate::added::Finder;
use crate::gguf::LINES;
use crate::pre::Pre;
use crate::tokenizer::{Merger, Tokenizer};
use crate::vocabulary::Spelling;

/// Bytes of a stretch at least, but for the last.
const STRETCH: usize = 64 << 10;

/// The stretches of a text; none if it is empty.
pub(crate) fn stretches<'a>(tokenizer: &Tokenizer, text: &'a str) -> impl Iterator<Item = &'a str> {
    // Whether it can be cut takes a look at all tokens.
    let least = if text.len() > STRETCH && can_be_cut(tokenizer) { STRETCH } else { text.len() };
    cut(text, least)
}

fn cut(mut text: &str, least: usize) -> impl Iterator<Item = &str> {
    iter::from_fn(move || {
        let (stretch, rest) = text.split_at(first_place(text, least));
        text = rest;
        (!stretch.is_empty()).then_some(stretch)
    })
}

/// The first place to cut after so many bytes; the end if there is none.
fn first_place(text: &str, least: usize) -> usize {
    let from = text.ceil_char_boundary(least.max(1));
    let mut spaces = text[from..].match_indices(' ').map(|(at, _)| from + at);
    spaces.find(|&at| text[..at].ends_with(char::is_alphanumeric)).unwrap_or(text.len())
}

fn can_be_cut(tokenizer: &Tokenizer) -> bool {
    // What cannot be written as JSON is no step that is known.
    let [normalizer, splitter] =
        [serde_json::to_value(&tokenizer.normalizer), serde_json::to_value(&tokenizer.splitter)]
            .map(|step| step.unwrap_or(Value::Bool(true)));
    let finders = [&tokenizer.finder, &tokenizer.normalized_finder];
    changes_characters_alone(&normalizer)
        && finders.into_iter().all(Finder::finds_the_same_before_spaces)
        && (Pre::of_steps(&splitter, false, "").is_ok() || joins_nothing(tokenizer, &splitter))
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
        Merger::Bpe(bpe) => !bpe.ignore_merges && (!bpe.fuse_unk || tokens.id("▁").is_some()),
        Merger::Scores(_) => true,
    };
    let mut ids = tokens.iter().map(|(id, ..)| id);
    is_known
        && tokenizer.vocabulary.spelling == Spelling::Spaces
        && joins_tokens_alone
        && ids.all(|id| !has_place(tokenizer.vocabulary.bytes(id)))
}

/// Whether a token has what may be a letter or digit before a space.
pub(crate) fn has_place(token: &[u8]) -> bool {
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

    fn tokenizer(vocabulary: GgufVocabulary) -> Tokenizer {
        Tokenizer::from_vocabulary(vocabulary).unwrap()
    }

    fn all() -> Vec<Tokenizer> {
        let byte_level = PRES.iter().map(|pre| byte_level(pre.names[0]));
        byte_level.chain(["llama", "gemma4"].map(|model| tokenizer(spelled(model, &[])))).collect()
    }

    fn ids(tokenizer: &Tokenizer, text: &str, least: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        for stretch in cut(text, least) {
            tokenizer.encode_stretch(stretch, true, &mut ids).unwrap();
        }
        ids
    }

    #[test]
    fn a_text_is_cut_between_words() {
        let stretches = |least| cut("one two. three  é fünf", least).collect::<Vec<_>>();
        assert_eq!(stretches(1), ["one", " two. three", "  é", " fünf"]);
        assert_eq!(stretches(5), ["one two. three", "  é fünf"]);
        assert_eq!(stretches(100), ["one two. three  é fünf"]);
        assert_eq!(cut("", 0).count(), 0);
    }

    #[test]
    fn what_may_look_further_gets_texts_whole() {
        assert!(all().iter().all(can_be_cut));
        assert!(!can_be_cut(&tokenizer(spelled("llama", &["a▁b"]))));
        assert!(!can_be_cut(&tokenizer(spelled("gemma4", &["é▁"]))));
        assert!(!can_be_cut(&tokenizer(GgufVocabulary { add_space_prefix: None, ..spelled("llama", &[]) })));
        let mut found = spelled("llama", &["end of text"]);
        *found.kinds.last_mut().unwrap() = TokenKind::Control;
        assert!(!can_be_cut(&tokenizer(found)));
    }

    proptest! {
        #[test]
        fn stretches_have_the_tokens_of_the_whole(text in "[ab1é.' \n\r\u{301}]{0,60}") {
            for tokenizer in all() {
                prop_assert_eq!(ids(&tokenizer, &text, 1), ids(&tokenizer, &text, text.len()));
            }
        }
    }
}
