//! Files that break the rules end in errors that say where, never in a panic.

use dewdrop_format::gguf::{Array, Metadata, Strings, Value};
use dewdrop_text::{
    EncodeOptions, GgufVocabulary, HuggingFaceFiles, SpecialIds, TextError, TokenKind, Tokenizer,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const PARSED: EncodeOptions = EncodeOptions { add_special: true, parse_special: true };

fn small_json() -> Json {
    json!({
        "added_tokens": [
            {"id": 4, "content": "<end>", "special": true, "single_word": false, "lstrip": false,
             "rstrip": false, "normalized": false}
        ],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": null,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "abb": 3}, "merges": [["a", "b"], "ab b"]}
    })
}

fn from_json(json: &Json) -> Result<Tokenizer, TextError> {
    let bytes = serde_json::to_vec(json).unwrap();
    Tokenizer::from_hugging_face(&HuggingFaceFiles { tokenizer: &bytes, ..HuggingFaceFiles::default() })
}

fn small_vocabulary() -> GgufVocabulary {
    GgufVocabulary {
        file: "small.gguf".into(),
        model: "gpt2".into(),
        pre: Some("gpt-2".into()),
        tokens: ["a", "b", "ab", "abb", "<end>"].iter().collect(),
        kinds: [vec![TokenKind::Normal; 4], vec![TokenKind::Control]].concat(),
        merges: ["a b", "ab b"].iter().collect(),
        special: SpecialIds { eos: Some(4), ..SpecialIds::default() },
        ..GgufVocabulary::default()
    }
}

#[test]
fn the_small_ones_are_fine() {
    for tokenizer in
        [from_json(&small_json()).unwrap(), Tokenizer::from_vocabulary(small_vocabulary()).unwrap()]
    {
        assert_eq!(tokenizer.encode("abb<end>ab", PARSED).unwrap(), [3, 4, 2]);
    }
}

#[test]
fn text_without_tokens_is_an_error_and_not_silence() {
    let error = from_json(&small_json()).unwrap().encode("abc", PARSED).unwrap_err();
    assert!(matches!(error, TextError::NoToken { .. }), "{error}");
}

#[test]
fn broken_tokenizer_files_say_what_is_wrong() {
    let long = "a".repeat(300);
    let changes: Vec<(&str, Json, &str)> = vec![
        ("/model/merges", json!([["a", "z"]]), "`z` to be a token"),
        ("/model/merges", json!([["b", "a"]]), "`ba` to be a token"),
        ("/model/merges", json!([["abb", "abb"]]), "to be a token"),
        ("/model/merges", json!(["ab"]), "a space between"),
        ("/model/merges", json!([[1, 2]]), "not JSON of the expected shape"),
        ("/model/vocab/abb", json!(0), "one token per id"),
        ("/model/vocab/abb", json!(4_000_000_000u32), "ids below"),
        ("/model/vocab/abb", json!(-1), "not JSON"),
        ("/model/type", json!("Unigram"), "`Unigram`"),
        ("/model/dropout", json!(0.5), "model.dropout"),
        ("/model/continuing_subword_prefix", json!("##"), "continuing_subword_prefix"),
        ("/added_tokens/0/content", json!("ab"), "one id per token"),
        ("/added_tokens/0/id", json!(1), "one token per id"),
        ("/added_tokens/0/id", json!(u32::MAX), "ids below"),
        ("/decoder", json!({"type": "WordPiece"}), "decoder"),
        ("/decoder", json!(null), "decoder"),
        ("/normalizer", json!({"type": "Klingon"}), "normalizer"),
        ("/normalizer", json!({"type": "Sequence", "normalizers": [{"type": "ByteLevel"}]}), "ByteLevel"),
        ("/normalizer", json!({"type": "Sequence"}), "normalizer"),
        ("/pre_tokenizer", json!("ByteLevel"), "pre_tokenizer"),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            "pre_tokenizer",
        ),
        (
            "/pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": format!("({long}{{1,1000}}){{1,1000}}")}, "behavior": "Isolated", "invert": false}),
            "pre_tokenizer",
        ),
        (
            "/post_processor",
            json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}]}),
            "special_tokens",
        ),
        ("/post_processor", json!({"type": "BertProcessing", "cls": ["a", 99], "sep": ["b", 1]}), "id 99"),
        ("/post_processor", json!({"type": "BertProcessing"}), "`cls`"),
    ];
    for (place, value, want) in changes {
        let mut json = small_json();
        match json.pointer_mut(place) {
            Some(old) => *old = value,
            None => json["model"][place.rsplit('/').next().unwrap()] = value,
        }
        let error = from_json(&json).expect_err(place);
        assert!(error.to_string().contains(want), "{place}: {error}");
    }
    let nothing = HuggingFaceFiles { tokenizer: b"{", ..HuggingFaceFiles::default() };
    assert!(matches!(Tokenizer::from_hugging_face(&nothing), Err(TextError::Json { .. })));
}

#[test]
fn broken_vocabularies_say_what_is_wrong() {
    type Change = fn(&mut GgufVocabulary);
    let changes: [(Change, &str); 15] = [
        (|v| v.model = "bert".into(), "tokenizer.ggml.model"),
        (|v| v.pre = Some("klingon".into()), "klingon"),
        (|v| v.pre = None, "tokenizer.ggml.pre"),
        (|v| v.kinds.truncate(2), "one per token"),
        (|v| v.tokens = ["a", "a", "ab", "abb", "<end>"].iter().collect(), "twice"),
        (|v| v.tokens = Strings::default(), "tokenizer.ggml.token_type"),
        (|v| v.merges.push("a z"), "`z` to be a token"),
        (|v| v.merges.push("ab ab"), "`abab` to be a token"),
        (|v| v.merges.push("ab"), "a space between"),
        (|v| v.merges.push(""), "a space between"),
        (|v| v.special.bos = Some(5), "an id below 5"),
        (|v| v.normalizer = Some("NFKC".into()), "NFKC"),
        (|v| v.model = "llama".into(), "tokenizer.ggml.scores"),
        (
            |v| {
                v.model = "llama".into();
                v.scores = vec![f32::NAN; 5];
            },
            "NaN",
        ),
        (|v| v.kinds.push(TokenKind::Normal), "one per token"),
    ];
    for (change, want) in changes {
        let mut vocabulary = small_vocabulary();
        change(&mut vocabulary);
        let error = Tokenizer::from_vocabulary(vocabulary).unwrap_err().to_string();
        assert!(error.starts_with("small.gguf: ") && error.contains(want), "{want}: {error}");
    }
}

#[test]
fn keys_of_the_wrong_type_are_named() {
    let written = Tokenizer::from_vocabulary(small_vocabulary()).unwrap().to_gguf(6).unwrap();
    for (key, _) in &written {
        let mut metadata = Metadata::new("made.gguf".as_ref());
        for (key, value) in &written {
            metadata.insert(key, value.clone());
        }
        metadata.insert(key, Value::Array(Array::F64(vec![1.5])));
        let error = Tokenizer::from_gguf(&metadata).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        assert!(source.contains(key.as_str()), "{key}: {error}: {source}");
    }
    assert!(Tokenizer::from_gguf(&Metadata::new("empty.gguf".as_ref())).is_err());
}

/// A word that is spelled like a control token stays a word, even where whole words are looked up.
#[test]
fn plain_text_never_becomes_a_control_token() {
    let mut vocabulary = small_vocabulary();
    vocabulary.tokens.extend(["e", "n", "d", "end"]);
    vocabulary.kinds.extend([TokenKind::Normal; 3]);
    vocabulary.kinds.push(TokenKind::Control);
    vocabulary.pre = Some("llama-bpe".into());
    let tokenizer = Tokenizer::from_vocabulary(vocabulary).unwrap();
    let plain = EncodeOptions::default();
    assert_eq!(tokenizer.encode("end", plain).unwrap(), [5, 6, 7]);
    assert_eq!(tokenizer.encode("end", PARSED).unwrap(), [8]);
}

#[test]
fn flags_decide_over_the_frame() {
    let config = |extra: Json| {
        let mut config = json!({"bos_token": "a", "eos_token": {"content": "<end>"}});
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        serde_json::to_vec(&config).unwrap()
    };
    let mut json = small_json();
    json["post_processor"] = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "b", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "<end>", "type_id": 0}}],
        "pair": [], "special_tokens": {"b": {"id": "b", "ids": [1], "tokens": ["b"]},
        "<end>": {"id": "<end>", "ids": [4], "tokens": ["<end>"]}}});
    let bytes = serde_json::to_vec(&json).unwrap();
    let cases = [
        (json!({}), vec![1, 2, 4]),
        (json!({"add_bos_token": true}), vec![0, 2]),
        (json!({"add_eos_token": true}), vec![2, 4]),
        (json!({"add_bos_token": false}), vec![2]),
    ];
    for (extra, want) in cases {
        let config = config(extra);
        let files = HuggingFaceFiles {
            tokenizer: &bytes,
            tokenizer_config: Some(&config),
            ..HuggingFaceFiles::default()
        };
        let tokenizer = Tokenizer::from_hugging_face(&files).unwrap();
        assert_eq!(tokenizer.encode("ab", PARSED).unwrap(), want);
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), Some(4)));
        assert!(tokenizer.is_end(4));
    }
}

#[test]
fn templates_come_from_the_file_that_wins() {
    let bytes = serde_json::to_vec(&small_json()).unwrap();
    let config = br#"{"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}"#;
    let further = [("rag".to_owned(), "R".to_owned())];
    let mut files =
        HuggingFaceFiles { tokenizer: &bytes, tokenizer_config: Some(config), ..HuggingFaceFiles::default() };
    let tokenizer = Tokenizer::from_hugging_face(&files).unwrap();
    assert_eq!((tokenizer.chat_template(), tokenizer.named_template("tool_use")), (Some("D"), Some("T")));
    files.chat_template = Some("F");
    files.further_templates = &further;
    let tokenizer = Tokenizer::from_hugging_face(&files).unwrap();
    assert_eq!(tokenizer.chat_template(), Some("F"));
    let written = tokenizer.to_vocabulary(5).unwrap();
    let names: Vec<&str> = written.templates.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["default", "tool_use", "rag"]);
    let mut metadata = Metadata::new("made.gguf".as_ref());
    for (key, value) in written.entries() {
        metadata.insert(&key, value);
    }
    assert_eq!(Tokenizer::from_gguf(&metadata).unwrap().chat_templates(), tokenizer.chat_templates());
}

/// A made-up SentencePiece-like file and what is written for it give the same ids.
#[test]
fn scores_follow_from_ordered_merges() {
    let mut vocabulary = serde_json::Map::new();
    let names = ["<unk>", "<s>", "▁", "a", "b", "ab", "▁a", "aa", "▁ab", "é"];
    for name in
        names.iter().map(|name| (*name).to_owned()).chain((0..256).map(|byte| format!("<0x{byte:02X}>")))
    {
        vocabulary.insert(name, vocabulary.len().into());
    }
    let json = json!({
        "added_tokens": [{"id": 1, "content": "<s>", "special": true}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "byte_fallback": true, "unk_token": "<unk>", "fuse_unk": true, "vocab": vocabulary,
            "merges": [["a", "b"], ["▁", "a"], ["a", "a"], ["▁", "ab"], ["▁a", "b"]]}
    });
    let ours = from_json(&json).unwrap();
    let written = Tokenizer::from_vocabulary(ours.to_vocabulary(ours.n_vocab()).unwrap()).unwrap();
    for text in ["", " ", "ab aab", "  a  b ", "é x ab\n", "aaaa abab", "a<s>b", "<s> a", "日本 \0"] {
        let ids = ours.encode(text, PARSED).unwrap();
        assert_eq!(written.encode(text, PARSED).unwrap(), ids, "{text:?}");
        assert_eq!(ours.decode(&ids, false), text);
        assert_eq!(written.decode(&ids, false), text);
    }
    let mut scattered = json;
    scattered["model"]["merges"] = json!([["▁", "ab"], ["a", "b"], ["▁a", "b"], ["▁", "a"]]);
    let error = from_json(&scattered).unwrap().to_vocabulary(300).unwrap_err();
    assert!(matches!(error, TextError::Unsupported { .. }), "{error}");
}

proptest! {
    #[test]
    fn mutilated_files_do_not_panic(cut in 0usize..900, byte in any::<u8>(), text in any::<String>()) {
        let mut bytes = serde_json::to_vec(&small_json()).unwrap();
        let place = cut % bytes.len();
        bytes[place] = byte;
        let files = HuggingFaceFiles { tokenizer: &bytes, ..HuggingFaceFiles::default() };
        if let Ok(tokenizer) = Tokenizer::from_hugging_face(&files) {
            if let Ok(ids) = tokenizer.encode(&text, PARSED) {
                tokenizer.decode(&ids, false);
            }
            let _ = tokenizer.to_vocabulary(10);
        }
    }

    #[test]
    fn any_vocabulary_is_used_or_refused(
        tokens in prop::collection::vec("[ab▁ <>0xF]{0,4}", 0..8),
        merges in prop::collection::vec("[ab▁ ]{0,4}", 0..4),
        scores in prop::collection::vec(any::<f32>(), 8),
        model in prop::sample::select(vec!["gpt2", "llama", "gemma4"]),
        bos in prop::option::of(0u32..9),
        text in "[ab ▁é]{0,10}",
    ) {
        let scores = scores.into_iter().take(tokens.len()).collect();
        let (tokens, merges) = (tokens.iter().collect(), merges.iter().collect());
        let special = SpecialIds { bos, ..SpecialIds::default() };
        let pre = Some("qwen2".into());
        let vocabulary = GgufVocabulary { model: model.into(), pre, tokens, merges, scores, special,
            ..GgufVocabulary::default() };
        if let Ok(tokenizer) = Tokenizer::from_vocabulary(vocabulary)
            && let Ok(ids) = tokenizer.encode(&text, PARSED)
        {
            tokenizer.decode(&ids, true);
        }
    }
}
