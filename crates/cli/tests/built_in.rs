//! The model that answers where none is named.

#![cfg(feature = "built-in")]

mod support;

use support::{json, run, run_with, shown, stdout};

#[test]
fn it_tells_a_story() {
    let text = stdout(&run(&["run", "Once upon a time", "--temp", "0", "-n", "11"]));
    assert_eq!(text, ", there was a little girl named Lily. She loved\n");
}

#[test]
fn it_answers() {
    let output = run_with(&["chat", "--temp", "0", "-n", "8"], "Who are you?\n");
    assert!(stdout(&output).starts_with("I am Dewdrop"), "{}", shown(&output));
}

#[test]
fn it_can_be_inspected() {
    let record = json(&run(&["inspect", "--json"]));
    assert_eq!(
        (&record["model"], &record["summary"]["model"]["family"]),
        (&"built-in".into(), &"qwen3".into())
    );
}

#[test]
fn its_tokenizer_serves() {
    let ids = stdout(&run(&["tokenize", "Once upon a time", "--json"]));
    let ids: serde_json::Value = serde_json::from_str(&ids).expect("JSON");
    let spoken = ids["ids"].to_string();
    assert_eq!(stdout(&run(&["tokenize", "--decode", &spoken])), "Once upon a time\n");
}

#[test]
fn an_empty_prompt_is_no_prompt() {
    let output = run(&["run"]);
    assert_eq!(
        shown(&output),
        "exit 1\n--- stderr\nerror: no tokens to continue from: give a prompt first\n"
    );
}
