//! The cases recorded in the reference folders, from both file formats.

mod support;

use std::fs;
use std::path::Path;

use dewdrop_format::gguf;
use dewdrop_text::{ChatTemplate, EncodeOptions, Message, TemplateOptions, Tokenizer};
use serde_json::Value;

const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };

fn from_gguf(path: &Path) -> Option<Tokenizer> {
    let bytes = fs::read(path).ok()?;
    let file = gguf::parse(path, &bytes, bytes.len() as u64, 0).unwrap();
    Some(Tokenizer::from_gguf(&file.metadata).unwrap())
}

fn expected(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// Both tokenizers of a family, the second where there is a GGUF file.
fn tokenizers(folder: &Path) -> Vec<Tokenizer> {
    let from_json = Tokenizer::from_folder(folder).unwrap();
    std::iter::once(from_json).chain(from_gguf(&folder.join("llamacpp-f32.gguf"))).collect()
}

#[test]
fn recorded_texts_have_their_ids() {
    for folder in support::reference_families() {
        let expected = expected(&folder);
        for tokenizer in tokenizers(&folder) {
            for case in expected["tokenizer_cases"].as_array().unwrap() {
                let text = case["text"].as_str().unwrap();
                let got = tokenizer.encode(text, PARSED).unwrap();
                assert_eq!(got, ids(&case["ids"]), "{}: {text:?}", folder.display());
                assert_eq!(tokenizer.decode(&got, false), case["decoded"].as_str().unwrap());
            }
        }
    }
}

#[test]
fn the_recorded_conversation_renders() {
    for folder in support::reference_families() {
        let case = &expected(&folder)["chat_case"];
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let options = TemplateOptions {
            add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
            ..TemplateOptions::default()
        };
        for tokenizer in tokenizers(&folder) {
            let template = ChatTemplate::of(&tokenizer).unwrap().unwrap();
            let text = template.render(&messages, &[], &options).unwrap();
            assert_eq!(text, case["text"].as_str().unwrap(), "{}", folder.display());
            assert_eq!(tokenizer.encode(&text, PARSED).unwrap(), ids(&case["ids"]));
        }
    }
}

#[test]
fn both_formats_agree_about_roles() {
    for folder in support::reference_families() {
        let tokenizers = tokenizers(&folder);
        let ends: Vec<Vec<u32>> = tokenizers.iter().map(|one| one.end_ids().collect()).collect();
        assert!(ends.iter().all(|ids| *ids == ends[0]), "{}: {ends:?}", folder.display());
        assert!(tokenizers.iter().all(|one| one.eos() == tokenizers[0].eos()));
        assert!(tokenizers.iter().all(|one| one.adds_bos() == tokenizers[0].adds_bos()));
    }
}

/// What we write says what llama.cpp's converter wrote.
#[test]
fn written_keys_are_the_converters() {
    for folder in support::reference_families() {
        let path = folder.join("llamacpp-f32.gguf");
        let Ok(bytes) = fs::read(&path) else { continue };
        let want = gguf::parse(&path, &bytes, bytes.len() as u64, 0).unwrap().metadata;
        let tokenizer = Tokenizer::from_folder(&folder).unwrap();
        for (key, value) in tokenizer.to_gguf(tokenizer.n_vocab()).unwrap() {
            let chosen_elsewhere = key.ends_with("bos_token_id") || key.ends_with("unknown_token_id");
            match want.get(&key) {
                Some(want) => assert_eq!(&value, want, "{}: {key}", folder.display()),
                None => assert!(chosen_elsewhere, "{}: {key} is not the converter's", folder.display()),
            }
        }
    }
}
