//! Real files, and llama.cpp's ids for them.
//!
//! `DEWDROP_PEER_MODELS` names a folder with `gemma-3-270m-q4_k_m.gguf` and `smollm2-135m-q4_1.gguf`,
//! `DEWDROP_LLAMA_TOKENIZE` llama.cpp's program of that name. Without them nothing is tested here.

mod support;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use dewdrop_format::gguf;
use dewdrop_text::{EncodeOptions, Tokenizer};

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };
const PARSED: EncodeOptions = EncodeOptions { add_special: false, parse_special: true };
/// The headers of these files are shorter; the weights need not be read.
const HEADER_BYTES: u64 = 64 << 20;

const MODELS: [(&str, &[u32]); 2] = [
    ("gemma-3-270m-q4_k_m.gguf", &[2, 818, 5279, 529, 7001, 563]),
    ("smollm2-135m-q4_1.gguf", &[504, 3575, 282, 4649, 314]),
];

fn open(path: &Path) -> Tokenizer {
    let file = fs::File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut bytes = Vec::new();
    file.take(HEADER_BYTES).read_to_end(&mut bytes).unwrap();
    Tokenizer::from_gguf(&gguf::parse(path, &bytes, length, 0).unwrap().metadata).unwrap()
}

#[test]
fn a_known_sentence_has_its_ids() {
    for (name, want) in MODELS {
        let Some(path) = support::peer_model(name) else { continue };
        let options = EncodeOptions { add_special: true, parse_special: true };
        let tokenizer = open(&path);
        assert_eq!(tokenizer.encode("The capital of France is", options).unwrap(), want, "{name}");
        assert!(tokenizer.end_ids().count() > 0);
    }
}

#[test]
fn real_vocabularies_bring_text_back() {
    for (name, _) in MODELS {
        let Some(path) = support::peer_model(name) else { continue };
        let tokenizer = open(&path);
        for text in support::nasty_texts() {
            for options in [PLAIN, PARSED] {
                let ids = tokenizer.encode(&text, options).unwrap();
                assert_eq!(tokenizer.decode(&ids, false), text, "{name}");
            }
        }
    }
}

#[test]
fn nasty_texts_have_llama_cpps_ids() {
    let Some(program) = env::var_os("DEWDROP_LLAMA_TOKENIZE") else {
        eprintln!("skipped: DEWDROP_LLAMA_TOKENIZE is not set");
        return;
    };
    let mut different = Vec::new();
    for (name, _) in MODELS {
        let Some(path) = support::peer_model(name) else { continue };
        let tokenizer = open(&path);
        for text in support::nasty_texts() {
            // llama.cpp takes Gemma's HTML tag for an end token; its model's own tokenizer does not.
            let text = text.replace("</s>", "");
            for (options, flag) in [(PARSED, None), (PLAIN, Some("--no-parse-special"))] {
                let got = tokenizer.encode(&text, options).unwrap();
                let want = llama_cpp(&program, &path, &text, flag);
                if got != want {
                    different.push(format!(
                        "{name}: {text:?} {options:?}\n  ours      {got:?}\n  llama.cpp {want:?}"
                    ));
                }
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn llama_cpp(program: &OsString, model: &Path, text: &str, flag: Option<&str>) -> Vec<u32> {
    let input = env::temp_dir().join(format!("dewdrop-text-{}.txt", std::process::id()));
    fs::write(&input, text).unwrap();
    let mut command = Command::new(program);
    command.arg("-m").arg(model).arg("-f").arg(&input);
    let output =
        command.args(["--ids", "--no-bos", "--no-escape", "--log-disable"]).args(flag).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let list = printed.trim().trim_matches(['[', ']']).split(',').map(str::trim);
    list.filter(|id| !id.is_empty()).map(|id| id.parse().unwrap()).collect()
}
