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
    fs::write(&out, "{\"other\": 1}\n").unwrap();
    assert!(message("\"ok\"\n").contains("holds something else than results of a batch"));
}
