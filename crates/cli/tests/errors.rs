//! Requests that cannot be carried out: one line that says why, and an exit code that says whose fault it is.

mod support;

use std::fs;

use support::{run, run_with, shown, shown_in};

/// Each command line with what it gives, in one text.
fn all(lines: &[&[&str]]) -> String {
    let show = |line: &&[&str]| format!("$ dewdrop {}\n{}\n", line.join(" "), shown(&run(line)));
    lines.iter().map(show).collect()
}

#[test]
fn flags_that_make_no_sense() {
    insta::assert_snapshot!(all(&[
        &["run", "--nonsense"],
        &["run", "hi", "--temp", "hot"],
        &["run", "hi", "--temp", "-1"],
        &["run", "hi", "--top-p", "1.5"],
        &["run", "hi", "--min-p", "-0.1"],
        &["run", "hi", "--repeat-penalty", "nan"],
        &["run", "hi", "--logit-bias", "5"],
        &["run", "hi", "--stop", ""],
        &["bench", "--synthetic", "gpt-9"],
        &["bench", "--synthetic", "qwen3-0.6b", "--type", "Q3_K_XXL"],
        &["bench", "--type", "Q8_0"],
        &["bench", "--synthetic", "qwen3-0.6b", "--type", "Q8_0,BF16", "--write", "x.gguf"],
        &["run", "hi", "-n", "-2"],
        &["run", "hi", "-s", "seven"],
        &["run", "hi", "-c", "0"],
        &["run", "hi", "-t", "0"],
        &["run", "hi", "-ctk", "int8"],
        &["run", "hi", "--backend", "gpu"],
        &["run", "hi", "--backend", "oracle", "--isa", "avx2"],
        &["run", "hi", "--logprobs", "3"],
        &["run", "hi", "-p", "ho"],
        &["run", "hi", "--system", "ho"],
        &["tokenize", "--decode", "--pieces", "1"],
        &["eval"],
        &["eval", "text", "--definition", "other"],
        &["eval", "text", "-c", "64", "--window", "128"],
        &["convert", "folder", "-o", "out.gguf", "--type", "Q9"],
        &["convert", "folder"],
        &["completions", "tcsh"],
        &["man", "nothing"],
    ]));
}

#[test]
fn flags_that_exclude_each_other_and_numbers_beyond_reason() {
    insta::assert_snapshot!(all(&[
        &["plan", "--sweep", "--memory", "1G"],
        &["plan", "a.gguf", "-m", "b.gguf"],
        &["run", "hi", "-t", "100000"],
        &["bench", "-t", "100000"],
    ]));
}

#[test]
fn files_that_are_not_there() {
    insta::assert_snapshot!(all(&[
        &["run", "hi", "-m", "missing.gguf"],
        &["chat", "-m", "missing.gguf"],
        &["inspect", "missing.gguf"],
        &["tokenize", "hi", "-m", "missing"],
        &["run", "-f", "missing.txt"],
        &["eval", "missing.txt"],
        &["convert", "missing", "-o", "out.gguf", "--type", "F16"],
    ]));
}

#[test]
fn files_of_another_kind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(path("text.gguf"), "Once upon a time").expect("a file");
    fs::write(path("short.gguf"), b"GGUF\x03\0\0\0").expect("a file");
    fs::write(path("empty"), "").expect("a file");
    fs::write(path("latin1.txt"), b"caf\xe9").expect("a file");
    fs::create_dir(path("folder")).expect("a folder");
    let mut text = String::new();
    for line in [
        ["inspect", "-m", &path("text.gguf")],
        ["inspect", "-m", &path("short.gguf")],
        ["inspect", "-m", &path("empty")],
        ["inspect", "-m", &path("folder")],
        ["run", "-m", &path("text.gguf")],
        ["run", "-m", &path("folder")],
        ["run", "-f", &path("latin1.txt")],
        ["run", "-f", &path("folder")],
    ] {
        let name = line[2].rsplit('/').next().expect("a name");
        text += &format!("$ dewdrop {} {} {name}\n", line[0], line[1]);
        text += &shown_in(folder.path(), &run(&line));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_output_that_is_there_is_not_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = folder.path().join("out.gguf");
    fs::write(&output, "precious").expect("a file");
    let path = output.to_str().expect("UTF-8");
    let refused = run(&["convert", "folder", "-o", path, "--type", "F16"]);
    insta::assert_snapshot!(shown_in(folder.path(), &refused));
    assert_eq!(fs::read(&output).expect("it is there"), b"precious");
}

#[test]
fn a_word_that_is_no_id_is_named() {
    insta::assert_snapshot!(shown(&run_with(&["tokenize", "--decode"], "1 two 3")));
}
