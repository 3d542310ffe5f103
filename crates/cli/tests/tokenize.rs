//! `dewdrop tokenize` with a model that has a token for each byte.

mod support;

use support::alphabet::{self, Template};
use support::{json, run, run_with, stdout};

fn with_model(check: impl Fn(&dyn Fn(&[&str]) -> Vec<String>)) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = alphabet::write(folder.path(), Template::None).to_str().expect("UTF-8").to_owned();
    check(&|rest| [&["tokenize", "-m", &path], rest].concat().into_iter().map(String::from).collect());
}

fn says(line: &[String]) -> String {
    stdout(&run(&line.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[test]
fn ids_and_pieces() {
    with_model(|line| {
        assert_eq!(says(&line(&["ab\n"])), "97\n98\n10\n");
        assert_eq!(says(&line(&["--pieces", "a\né"])).lines().count(), 4);
        insta::assert_snapshot!(says(&line(&["--pieces", "a \n"])));
    });
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    with_model(|line| {
        assert_eq!(says(&line(&["<|im_end|>"])).lines().count(), "<|im_end|>".len());
        assert_eq!(says(&line(&["--parse-special", "<|im_end|>"])), "258\n");
    });
}

#[test]
fn a_model_that_cannot_be_run_has_tokens_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = alphabet::write(folder.path(), Template::None);
    let bytes = std::fs::read(&path).expect("it is there");
    // The family is the only text that is just this word. The other one is as long, so that nothing moves.
    let at = bytes.windows(13).position(|window| window == b"\x05\0\0\0\0\0\0\0llama").expect("its family");
    let other = [&bytes[..at + 8], b"alien", &bytes[at + 13..]].concat();
    std::fs::write(&path, other).expect("it can be written");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(run(&["run", "-m", path, "hi"]).status.code(), Some(1));
    assert_eq!(stdout(&run(&["tokenize", "-m", path, "ab"])), "97\n98\n");
}

#[test]
fn ids_become_text_again() {
    with_model(|line| {
        assert_eq!(says(&line(&["--decode", "104 105,258"])), "hi<|im_end|>\n");
        let line = line(&["--decode"]);
        let line: Vec<_> = line.iter().map(String::as_str).collect();
        assert_eq!(stdout(&run_with(&line, "104\n105\n")), "hi\n");
    });
}

#[test]
fn json_for_programs() {
    with_model(|line| {
        let line = line(&["--json", "--pieces", "hi"]);
        let value = json(&run(&line.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(value.to_string(), r#"{"tokens":2,"ids":[104,105],"pieces":["h","i"]}"#);
    });
}
