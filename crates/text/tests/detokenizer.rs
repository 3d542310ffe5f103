//! Ids one at a time yield the text that decoding them at once yields, in whole characters.

mod support;

use dewdrop_format::gguf::Strings;
use dewdrop_text::{GgufVocabulary, SpecialIds, TokenKind, Tokenizer};
use proptest::prelude::*;

/// What broken characters become.
const BROKEN: char = char::REPLACEMENT_CHARACTER;

/// Every byte twice over: as the byte alphabet spells it, and as byte tokens; `▁` in front as asked.
fn byte_level() -> Tokenizer {
    let mut tokens: Strings = (0..=255u8).map(|byte| byte_character(byte).to_string()).collect();
    tokens.extend(["<|end|>", "ðŁĴ", "Ġtwo", "plain text with spaces"]);
    let mut kinds = vec![TokenKind::Normal; tokens.len()];
    kinds[256] = TokenKind::Control;
    kinds[259] = TokenKind::UserDefined;
    Tokenizer::from_vocabulary(GgufVocabulary {
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens,
        kinds,
        ..GgufVocabulary::default()
    })
    .unwrap()
}

fn scores(add_space_prefix: bool) -> Tokenizer {
    let mut tokens: Strings = (0..=255u8).map(|byte| format!("<0x{byte:02X}>")).collect();
    tokens.extend(["<s>", "<unk>", "▁", "▁two", "é", "▁▁", "t", "w", "o", "tw", "two", "<x>"]);
    let mut kinds = vec![TokenKind::Byte; 256];
    kinds.resize(tokens.len(), TokenKind::Normal);
    kinds[256] = TokenKind::Control;
    kinds[257] = TokenKind::Unknown;
    kinds[267] = TokenKind::UserDefined;
    Tokenizer::from_vocabulary(GgufVocabulary {
        model: "llama".into(),
        scores: (0..tokens.len()).map(|id| -(id as f32)).collect(),
        tokens,
        kinds,
        special: SpecialIds { bos: Some(256), unknown: Some(257), ..SpecialIds::default() },
        add_space_prefix: Some(add_space_prefix),
        ..GgufVocabulary::default()
    })
    .unwrap()
}

fn byte_character(byte: u8) -> char {
    match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => byte.into(),
        _ => {
            let below = (0..byte).filter(|other| !matches!(other, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF));
            char::from_u32(0x100 + below.count() as u32).unwrap()
        }
    }
}

fn tokenizers() -> [Tokenizer; 3] {
    [byte_level(), scores(false), scores(true)]
}

fn check(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) {
    let mut detokenizer = tokenizer.detokenizer_from_start(skip_special);
    let mut text = String::new();
    for &id in ids {
        text += &detokenizer.push(id);
    }
    text += &detokenizer.finish();
    assert_eq!(text, tokenizer.decode(ids, skip_special));
}

proptest! {
    #[test]
    fn one_by_one_is_at_once(ids in prop::collection::vec(0u32..272, 0..60), skip in any::<bool>()) {
        for tokenizer in &tokenizers() {
            check(tokenizer, &ids, skip);
        }
    }

    #[test]
    fn characters_in_bytes_come_back_whole(text in any::<String>()) {
        for tokenizer in &tokenizers() {
            let mut detokenizer = tokenizer.detokenizer(false);
            let mut got = String::new();
            for byte in text.bytes() {
                let fresh = detokenizer.push(byte.into());
                prop_assert!(!fresh.contains(BROKEN) || text.contains(BROKEN), "{}", text);
                got += &fresh;
            }
            prop_assert_eq!(got + &detokenizer.finish(), text.clone());
        }
    }

    #[test]
    fn text_comes_back_with_and_without_a_space_in_front(text in "[ two<x>é🎉\\n]{0,20}|\\PC{0,20}") {
        prop_assume!(!text.contains('▁'));
        for tokenizer in &tokenizers() {
            for (add_special, parse_special) in [(false, false), (true, false), (true, true)] {
                let options = dewdrop_text::EncodeOptions { add_special, parse_special };
                let ids = tokenizer.encode(&text, options).unwrap();
                prop_assert_eq!(&tokenizer.decode(&ids, true), &text);
            }
        }
    }
}

#[test]
fn half_a_character_waits_and_a_broken_one_shows() {
    let tokenizer = byte_level();
    let mut detokenizer = tokenizer.detokenizer(true);
    let texts: Vec<String> =
        [0xF0, 0x9F, 0x92, 0xA7, 0xE2, 0x82, 0x41, 0xC3].map(|byte| detokenizer.push(byte)).to_vec();
    assert_eq!(texts, ["", "", "", "💧", "", "", "\u{fffd}A", ""]);
    assert_eq!(detokenizer.finish(), "\u{fffd}");
    assert_eq!(detokenizer.finish(), "");
}

#[test]
fn control_tokens_can_be_left_out() {
    let tokenizer = byte_level();
    assert_eq!(tokenizer.decode(&[65, 256, 66], true), "AB");
    assert_eq!(tokenizer.decode(&[65, 256, 66], false), "A<|end|>B");
    assert_eq!(tokenizer.decode(&[259], true), "plain text with spaces");
    assert!(tokenizer.is_special(256) && !tokenizer.is_special(259));
}

#[test]
fn a_continuation_keeps_its_space() {
    let tokenizer = scores(true);
    assert_eq!(tokenizer.decode(&[259], true), "two");
    assert_eq!(tokenizer.detokenizer(true).push(259), " two");
    assert_eq!(tokenizer.decode(&[256, 259], false), "<s>two");
}

#[test]
fn recorded_ids_stream_as_they_decode() {
    for folder in support::reference_families().iter().take(2) {
        let tokenizer = Tokenizer::from_folder(folder).unwrap();
        let ids: Vec<u32> = (0..tokenizer.n_vocab() as u32 + 2).chain((0..250).rev()).collect();
        check(&tokenizer, &ids, false);
        check(&tokenizer, &ids, true);
    }
}
