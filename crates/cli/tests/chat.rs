//! `dewdrop chat` with lines from a pipe, and a model whose answers are known: the alphabet.

mod support;

use std::path::Path;

use support::alphabet::{self, Template};
use support::{run_with, shown, shown_in};
use tempfile::TempDir;

fn chat(folder: &Path, arguments: &[&str], lines: &str) -> std::process::Output {
    let path = alphabet::write(folder, Template::Chat);
    let start = ["chat", "-m", path.to_str().expect("UTF-8"), "--temp", "0", "--stop", "f"];
    run_with(&[&start[..], arguments].concat(), lines)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn saved(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("JSON")
}

#[test]
fn each_line_gets_an_answer() {
    let folder = folder();
    let output = chat(folder.path(), &[], "hello\n\nand\\\nagain\n/quit\nnot asked\n");
    assert_eq!(shown(&output), "exit 0\n--- stdout\nabcde\nabcde\n");
}

#[test]
fn conversations_are_saved_and_loaded() {
    let folder = folder();
    let path = folder.path().join("talk.json");
    let file = path.display();
    chat(folder.path(), &["--system", "be brief"], &format!("one\ntwo\n/undo\n/save {file}\n"));
    let first = saved(&path);
    insta::assert_snapshot!(format!("{first:#}"));
    let output = chat(folder.path(), &[], &format!("/load {file}\n/system\nthree\\\nfour\n/save {file}\n"));
    assert!(output.status.success(), "{}", shown(&output));
    insta::assert_snapshot!(format!("{:#}", saved(&path)));
}

#[test]
fn reset_leaves_the_system_message() {
    let folder = folder();
    let path = folder.path().join("talk.json");
    let lines = format!("one\n/system brief\n/reset\n/save {}\n", path.display());
    assert!(chat(folder.path(), &[], &lines).status.success());
    assert_eq!(saved(&path)["messages"].to_string(), r#"[{"role":"system","content":"brief"}]"#);
}

#[test]
fn what_is_computed_is_kept() {
    let folder = folder();
    let output = chat(folder.path(), &["-s", "7"], "one\n/stats\ntwo\n/stats\n");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let kept = text.lines().find(|line| line.ends_with("computed before")).expect("a line about it");
    // All of the first prompt but its end, and more: the answer's tokens stand where they stood.
    let n: usize = kept.split(' ').next().expect("a word").parse().expect("a number");
    assert!(n >= 26, "{text}");
}

#[test]
fn a_line_that_makes_no_sense_ends_a_script() {
    let folder = folder();
    let mut text = String::new();
    for line in ["/nonsense", "/load missing.json", "/undo it", "/save"] {
        text +=
            &format!("{line}\n{}", shown_in(folder.path(), &chat(folder.path(), &[], &format!("{line}\n"))));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn help_lists_the_commands() {
    let folder = folder();
    insta::assert_snapshot!(shown(&chat(folder.path(), &[], "/help\n")));
}

#[test]
fn a_model_without_a_template_says_what_to_do() {
    let folder = folder();
    let path = alphabet::write(folder.path(), Template::None);
    let output = run_with(&["chat", "-m", path.to_str().expect("UTF-8")], "hello\n");
    insta::assert_snapshot!(shown_in(folder.path(), &output));
}

#[test]
fn a_question_beyond_the_context_is_an_error() {
    let folder = folder();
    let output = chat(folder.path(), &["-c", "40"], "a question that does not fit\n");
    insta::assert_snapshot!(shown_in(folder.path(), &output));
}
