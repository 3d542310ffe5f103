//! `dewdrop batch`.

mod support;

use std::fs;
use std::path::Path;

use serde_json::Value;
use support::{run, stderr};

const INPUT: &str = r#"{"prompt": "Once upon a time", "id": "a"}
"The dog"

{"prompt": "In the morning", "seed": 9, "max_tokens": 5, "id": 3}
{"prompt": "The river"}
"#;

/// Runs it in a folder; results by line.
fn batch(folder: &Path, more: &[&str]) -> Vec<Value> {
    let path = |name: &str| folder.join(name).display().to_string();
    let arguments = ["batch", &path("in.jsonl"), "-o", &path("out.jsonl"), "-n", "12", "-c", "128"];
    let output = run(&[&arguments[..], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.jsonl"), INPUT).unwrap();
    folder
}

#[test]
fn results_depend_on_their_line_alone() {
    let (one, many) = (folder(), folder());
    let one = batch(one.path(), &["--parallel", "1", "--in-order"]);
    let many = batch(many.path(), &["--parallel", "4", "--in-order"]);
    assert_eq!(one, many);
    let field = |key: &str| one.iter().map(|record| record[key].clone()).collect::<Vec<_>>();
    assert_eq!(field("line"), [1, 2, 4, 5]);
    assert_eq!(field("id"), [Value::from("a"), Value::Null, 3.into(), Value::Null]);
    assert_eq!(one[2]["generated_tokens"], 5);
}

#[test]
fn a_run_that_was_ended_goes_on() {
    let folder = folder();
    let whole = batch(folder.path(), &["--in-order"]);
    let out = folder.path().join("out.jsonl");
    let text = fs::read_to_string(&out).unwrap();
    // Two results, and a third half written.
    let second = text.match_indices('\n').nth(1).unwrap().0;
    fs::write(&out, &text[..second + 20]).unwrap();
    assert_eq!(batch(folder.path(), &["--in-order"]), whole);
    assert_eq!(batch(folder.path(), &["--in-order"]), whole, "nothing is left to do");
}

#[test]
fn lines_that_are_wrong_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
    let message = |text: &str| {
        fs::write(&input, text).unwrap();
        stderr(&run(&["batch", input.to_str().unwrap(), "-o", out.to_str().unwrap()]))
    };
    assert!(message("\"ok\"\n{\"text\": 1}\n").contains("line 2: no text `prompt`"));
    assert!(message("{\"prompt\": \"a\", \"seed\": -1}\n").contains("`seed` is -1, expected a whole number"));
    assert!(message("\"ok\"\n\"\"\n").contains("line 2: the prompt has no tokens"));
}

#[test]
fn files_that_hold_something_else_stay_as_they_are() {
    let folder = folder();
    let out = folder.path().join("out.jsonl");
    let refused = |output: &Path| {
        let before = fs::read(output).unwrap();
        let input = folder.path().join("in.jsonl");
        let arguments = ["batch", input.to_str().unwrap(), "-o", output.to_str().unwrap(), "-n", "1"];
        let message = stderr(&run(&arguments));
        assert!(message.contains(": line ") && message.contains("(give another file)"), "{message}");
        assert_eq!(fs::read(output).unwrap(), before);
    };
    for text in ["{\"other\": 1}\n", "{\"minified\":[1,2]}", "a note", "\n\n", "{\"line\": 1}\n"] {
        fs::write(&out, text).unwrap();
        refused(&out);
    }
    fs::write(folder.path().join("in.jsonl"), "\"no newline at the end\"").unwrap();
    refused(&folder.path().join("in.jsonl"));
}

#[test]
#[cfg(unix)]
fn results_may_go_nowhere() {
    let folder = folder();
    let input = folder.path().join("in.jsonl");
    let output = run(&["batch", input.to_str().unwrap(), "-o", "/dev/null", "-n", "1"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn results_of_something_else_are_not_taken_for_those_of_a_line() {
    let folder = folder();
    batch(folder.path(), &["--in-order"]);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let message = |more: &[&str]| {
        let common = ["batch", &path("in.jsonl"), "-o", &path("out.jsonl"), "-n", "12", "-c", "128"];
        stderr(&run(&[&common[..], more].concat()))
    };
    let other = "line 1 is the result of another prompt, model or sampling than line 1 of the input has";
    assert!(message(&["--temp", "0"]).contains(other), "{}", message(&["--temp", "0"]));
    assert!(message(&["-ctk", "q8_0"]).contains(other));
    fs::write(path("in.jsonl"), INPUT.replace("The dog", "The cat")).unwrap();
    assert!(message(&[]).contains("line 2 is the result of another prompt"));
    fs::write(path("in.jsonl"), INPUT.replace("{\"prompt\": \"The river\"}\n", "")).unwrap();
    assert!(message(&[]).contains("holds 4 results, but 3 of them are of lines of"), "{}", message(&[]));
}

#[test]
fn a_budget_changes_no_result_and_prompts_without_room_are_named() {
    let folder = folder();
    let long = format!("\"{}\"\n", "The dog sat. ".repeat(150));
    let longer = format!("\"{}\"\n", "The dog sat. ".repeat(3000));
    fs::write(folder.path().join("in.jsonl"), format!("{INPUT}{long}{longer}")).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let results = |out: &str, more: &[&str]| {
        let common = ["batch", &path("in.jsonl"), "-o", &path(out), "-n", "8", "--in-order"];
        let output = run(&[&common[..], more].concat());
        let message = stderr(&output);
        assert!(output.status.success(), "{message}");
        assert!(message.contains("warning: 1 prompt too long for the context of"), "{message}");
        assert!(message.contains("(of line 7)"), "{message}");
        assert!(message.contains("6 prompts of "), "{message}");
        fs::read_to_string(path(out)).unwrap()
    };
    let wanted = results("plain.jsonl", &[]);
    let last: Value = serde_json::from_str(wanted.lines().last().unwrap()).unwrap();
    assert_eq!((&last["finish_reason"], &last["generated_tokens"]), (&"context".into(), &0.into()));
    let records: Vec<Value> = wanted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records[..5].iter().all(|record| record["generated_tokens"] != 0), "{wanted}");
    let output = stderr(&run(&["batch", &path("in.jsonl"), "-o", &path("x"), "-n", "8", "--memory", "1M"]));
    let least = output.split(" MiB is the least").next().unwrap().rsplit(' ').next().unwrap();
    let tight = results("tight.jsonl", &["--memory", &format!("{least}M")]);
    assert_eq!(tight, wanted);
}
