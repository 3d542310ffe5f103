//! Ids of the nasty corpus: those of the library, the same after a trip through GGUF, and back to the text.

mod support;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use dewdrop_format::gguf::Metadata;
use dewdrop_text::{EncodeOptions, HuggingFaceFiles, Tokenizer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tokenizers::normalizers::NFC;
use tokenizers::{NormalizedString, Normalizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };

/// Everything with a `tokenizer.json`.
fn folders() -> Vec<PathBuf> {
    let mut folders = support::dew_models();
    folders.extend(support::reference_families().into_iter().take(1));
    folders
}

fn library(folder: &Path) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_file(folder.join("tokenizer.json")).unwrap()
}

fn through_gguf(tokenizer: &Tokenizer) -> Tokenizer {
    let mut metadata = Metadata::new(Path::new("made.gguf"));
    for (key, value) in tokenizer.to_gguf(tokenizer.n_vocab() + 3).unwrap() {
        metadata.insert(&key, value);
    }
    Tokenizer::from_gguf(&metadata).unwrap()
}

fn composed(text: &str) -> String {
    let mut text = NormalizedString::from(text);
    NFC.normalize(&mut text).unwrap();
    text.get().to_owned()
}

fn check(text: &str, ours: &Tokenizer, written: &Tokenizer, library: &tokenizers::Tokenizer, name: &Path) {
    let name = name.display();
    let want = library.encode_fast(text, false).unwrap();
    let ids = ours.encode(text, PARSED).unwrap();
    assert_eq!(ids, want.get_ids(), "{name}: {text:?}");
    assert_eq!(written.encode(text, PARSED).unwrap(), ids, "{name} through GGUF: {text:?}");
    let plain = ours.encode(text, PLAIN).unwrap();
    assert_eq!(written.encode(text, PLAIN).unwrap(), plain, "{name} through GGUF: {text:?}");
    assert!(!plain.iter().any(|&id| ours.is_special(id)), "{name}: {text:?} became a control token");
    for decoded in [ours.decode(&ids, false), written.decode(&plain, true)] {
        assert!(decoded == text || decoded == composed(text), "{name}: {text:?} came back as {decoded:?}");
    }
}

#[test]
fn nasty_texts_have_the_librarys_ids() {
    for folder in folders() {
        let ours = Tokenizer::from_folder(&folder).unwrap();
        let written = through_gguf(&ours);
        let library = library(&folder);
        for text in support::nasty_texts() {
            check(&text, &ours, &written, &library, &folder);
        }
    }
}

#[test]
fn padding_rows_match_nothing_and_mean_nothing() {
    for folder in folders() {
        let ours = Tokenizer::from_folder(&folder).unwrap();
        let written = through_gguf(&ours);
        let first = ours.n_vocab() as u32;
        assert_eq!(written.n_vocab(), ours.n_vocab() + 3);
        assert_eq!(written.token_bytes(first), b"");
        assert_eq!(written.token_text(first).unwrap(), format!("[PAD{first}]"));
        let text = format!("[PAD{first}]");
        assert!(!written.encode(&text, PARSED).unwrap().contains(&first));
        assert_eq!(written.decode(&[first, first + 2, first + 3, u32::MAX], false), "");
    }
}

#[test]
fn what_is_written_again_is_the_same() {
    for folder in folders() {
        let ours = Tokenizer::from_folder(&folder).unwrap();
        let written = through_gguf(&ours);
        let n_vocab = written.n_vocab();
        assert_eq!(written.to_gguf(n_vocab).unwrap(), ours.to_gguf(n_vocab).unwrap());
        assert!(ours.to_gguf(1).is_err());
    }
}

#[test]
fn long_runs_of_white_space_take_linear_time() {
    for folder in folders() {
        let ours = Tokenizer::from_folder(&folder).unwrap();
        let text = format!("a{}b{}", " ".repeat(200_000), "\n \n".repeat(20_000));
        let ids = ours.encode(&text, PLAIN).unwrap();
        assert_eq!(ours.decode(&ids, false), text);
    }
}

/// Longer than what is turned into tokens at a time.
#[test]
fn long_texts_have_the_librarys_ids() {
    let nasty = support::nasty_texts().concat();
    let text = nasty.repeat((300 << 10) / nasty.len());
    for folder in folders() {
        let ours = Tokenizer::from_folder(&folder).unwrap();
        check(&text, &ours, &through_gguf(&ours), &library(&folder), &folder);
    }
}

fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        "[ \t\r\n]{0,8}",
        "[a-zA-Z' ]{0,12}",
        "[0-9.,]{0,6}",
        "[\u{300}-\u{30f}e\u{e9}a\u{1100}\u{1161}]{0,6}",
        Just("<|im_end|>".to_owned()),
        Just("<think>".to_owned()),
        Just("<|im_".to_owned()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// The first tokenizer there is, in its three forms: building them takes longer than a case.
static FIRST: LazyLock<Option<(PathBuf, Tokenizer, Tokenizer, tokenizers::Tokenizer)>> =
    LazyLock::new(|| {
        let folder = folders().into_iter().next()?;
        let ours = Tokenizer::from_folder(&folder).unwrap();
        let (written, library) = (through_gguf(&ours), library(&folder));
        Some((folder, ours, written, library))
    });

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_has_the_librarys_ids(texts in prop::collection::vec(texts(), 10)) {
        let Some((folder, ours, written, library)) = &*FIRST else { return Ok(()) };
        for text in texts {
            check(&text, ours, written, library, folder);
        }
    }
}

#[test]
fn folders_without_the_main_file_say_so() {
    let error = Tokenizer::from_folder(Path::new("no/such/folder")).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
}

/// Added tokens with every flag, a frame, and steps of other families, against the library.
#[test]
fn flags_and_frames_work_as_in_the_library() {
    for (normalizer, pre_tokenizer) in [
        (json!(null), byte_level(true)),
        (
            json!({"type": "NFC"}),
            json!({"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true}, byte_level(true)]}),
        ),
        (json!({"type": "Lowercase"}), byte_level(false)),
    ] {
        let bytes = serde_json::to_vec(&with_every_flag(&normalizer, &pre_tokenizer)).unwrap();
        let library = tokenizers::Tokenizer::from_bytes(&bytes).unwrap();
        let files = HuggingFaceFiles { tokenizer: &bytes, ..HuggingFaceFiles::default() };
        let ours = Tokenizer::from_hugging_face(&files).unwrap();
        let mut texts = support::nasty_texts();
        texts.extend(
            [
                "x <L>y",
                "  <L>  <R>  z",
                "<W>",
                "a<W>",
                "<W>b <W> c",
                "<R><W>x",
                "<N> <n> É<N>",
                "<L> <L><R> <R>",
                "W<WW",
            ]
            .map(str::to_owned),
        );
        for text in texts {
            for add_special in [false, true] {
                let want = library.encode_fast(text.as_str(), add_special).unwrap();
                let options = EncodeOptions { add_special, parse_special: true };
                assert_eq!(ours.encode(&text, options).unwrap(), want.get_ids(), "{text:?}");
            }
        }
    }
}

fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

fn with_every_flag(normalizer: &Value, pre_tokenizer: &Value) -> Value {
    let mut vocabulary = Map::new();
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut characters: Vec<String> = alphabet.into_iter().map(String::from).collect();
    characters.sort();
    for token in characters.into_iter().chain(["th", "the", "Ġt", "in", "<W", "WW"].map(str::to_owned)) {
        vocabulary.insert(token, vocabulary.len().into());
    }
    let first_added = vocabulary.len();
    let flags = [
        ("<s>", ""),
        ("<L>", "lstrip"),
        ("<R>", "rstrip"),
        ("<W>", "single_word"),
        ("<N>", "normalized"),
        ("</s>", ""),
    ];
    let added = flags.iter().enumerate().map(|(index, (content, flag))| {
        let mut token = json!({"id": first_added + index, "content": content, "special": index != 3, "lstrip": false,
            "rstrip": false, "single_word": false, "normalized": false});
        if !flag.is_empty() {
            token[*flag] = true.into();
        }
        token
    });
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let known = |token: &str, id: usize| json!({"id": token, "ids": [id], "tokens": [token]});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "Sequence", "processors": [byte_level(true), {"type": "TemplateProcessing",
            "single": [special("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, special("</s>")],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": known("<s>", first_added), "</s>": known("</s>", first_added + 5)}}]},
        "decoder": byte_level(true),
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
            "vocab": vocabulary,
            "merges": ["t h", "th e", "Ġ t", "i n", "< W", "W W"]}
    })
}
