//! `dewdrop run` with a model whose answers are known.

mod support;

use std::io::Read;
use std::process::Stdio;

use support::alphabet::{self, Template};
use support::{command, json, run, run_with, shown, stdout};
use tempfile::TempDir;

struct Model {
    _folder: TempDir,
    path: String,
}

fn model(template: Template) -> Model {
    let folder = tempfile::tempdir().expect("a folder");
    let path = alphabet::write(folder.path(), template).to_str().expect("UTF-8").to_owned();
    Model { _folder: folder, path }
}

impl Model {
    fn line<'a>(&'a self, rest: &[&'a str]) -> Vec<&'a str> {
        [&["run", "-m", &self.path], rest].concat()
    }

    fn says(&self, rest: &[&str]) -> String {
        stdout(&run(&self.line(rest)))
    }
}

#[test]
fn a_prompt_may_come_from_anywhere() {
    let model = model(Template::None);
    let file = format!("{}.txt", model.path);
    std::fs::write(&file, "v\n").expect("a file");
    assert_eq!(model.says(&["v"]), "wxyz\n");
    assert_eq!(model.says(&["-p", "v"]), "wxyz\n");
    assert_eq!(model.says(&["-f", &file]), "wxyz\n");
    assert_eq!(stdout(&run_with(&model.line(&[]), "v\n")), "wxyz\n");
    assert_eq!(stdout(&run_with(&model.line(&["-f", "-"]), "v\n")), "wxyz\n");
}

#[test]
fn generation_ends_where_it_is_told_to() {
    let model = model(Template::None);
    assert_eq!(model.says(&["a", "-n", "3"]), "bcd\n");
    assert_eq!(model.says(&["a", "-n", "0"]), "\n");
    assert_eq!(model.says(&["a", "--stop", "ef"]), "bcd\n");
    assert_eq!(model.says(&["w", "--ignore-eos", "-n", "6", "--temp", "0"]), "xyzab\n");
    assert_eq!(model.says(&["w", "-c", "3"]), "xy\n");
}

#[test]
fn biases_and_penalties_reach_the_sampler() {
    let model = model(Template::None);
    assert_eq!(model.says(&["a", "--temp", "0", "-n", "3", "--logit-bias", "33=100"]), "!!!\n");
    assert_eq!(model.says(&["a", "--temp", "0", "-n", "1", "--logit-bias", "98=-9"]), "\0\n");
}

#[test]
fn a_seed_repeats_an_answer() {
    let model = model(Template::None);
    let wild =
        ["a", "-n", "20", "--temp", "9", "--top-k", "0", "--top-p", "1", "--min-p", "0", "--json", "-s"];
    let ids = |seed| json(&run(&model.line(&[&wild[..], &[seed]].concat())))["ids"].clone();
    assert_eq!(ids("1"), ids("1"));
    assert_ne!(ids("1"), ids("2"));
}

#[test]
fn every_backend_and_arithmetic_says_the_same() {
    let model = model(Template::None);
    for rest in [
        &["--backend", "oracle"][..],
        &["--exact-math"],
        &["-ctk", "f32"],
        &["-ctv", "bf16"],
        &["-ctk", "q8_0", "-ctv", "q8_0"],
        &["-t", "1"],
        &["--chunk", "1"],
    ] {
        assert_eq!(model.says(&[&["hello stu"][..], rest].concat()), "vwxyz\n", "{rest:?}");
    }
}

#[test]
fn the_record_holds_everything() {
    let model = model(Template::None);
    let output = run(&model.line(&["xw", "--json", "-s", "7", "--logprobs", "2"]));
    let record = format!("{:#}", json(&output)).replace(&model.path, "MODEL");
    insta::assert_snapshot!(record);
    assert!(output.stderr.is_empty(), "{}", shown(&output));
}

#[test]
fn statistics_are_for_people_and_can_be_left_out() {
    let model = model(Template::None);
    let statistics = String::from_utf8(run(&model.line(&["w", "-s", "7"])).stderr).expect("UTF-8");
    for part in ["prompt", "generation", "tokens/s", "first token after", "seed 7"] {
        assert!(statistics.contains(part), "{part}: {statistics}");
    }
    assert!(run(&model.line(&["w", "-q"])).stderr.is_empty());
}

#[test]
fn a_chat_template_is_used_where_asked_for() {
    let chat = model(Template::Chat);
    assert_eq!(chat.says(&["v", "--chat", "--stop", "d"]), "abc\n");
    assert_eq!(chat.says(&["v"]), "wxyz\n");
    let none = model(Template::None);
    let refused = run(&none.line(&["v", "--chat"]));
    insta::assert_snapshot!(shown(&refused));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let model = model(Template::None);
    let line = model.line(&["a", "--ignore-eos", "-q"]);
    let mut child = command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut out = child.stdout.take().expect("it is piped");
    out.read_exact(&mut [0; 2]).expect("two letters");
    drop(out);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(shown(&output), "exit 0\n");
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_no_more_is_named() {
    let model = model(Template::None);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = command(&model.line(&["v", "-q"])).stdout(full).output().expect("it ends");
    let expected = "exit 1\n--- stderr\nerror: standard output: cannot be written: No space left on device (os error 28)\n";
    assert_eq!(shown(&output), expected);
}

#[test]
fn verbose_lists_the_tensors() {
    let model = model(Template::None);
    let output = run(&model.line(&["v", "--verbose", "-q"]));
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    let tensors: String =
        text.lines().filter(|line| !line.starts_with("backend")).map(|line| format!("{line}\n")).collect();
    insta::assert_snapshot!(tensors);
}

#[cfg(unix)]
#[test]
fn signals_end_a_run_in_order() {
    ["-INT", "-TERM"].into_iter().for_each(a_signal_ends_a_run);
}

/// On the oracle, without an end and in a context that takes it a while.
#[cfg(unix)]
fn a_signal_ends_a_run(signal: &str) {
    let model = model(Template::None);
    let line = model.line(&["a", "--ignore-eos", "--backend", "oracle", "--stop", "no such text"]);
    let mut child = command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut out = child.stdout.take().expect("it is piped");
    out.read_exact(&mut [0; 1]).expect("a letter");
    let id = child.id().to_string();
    std::process::Command::new("kill").args([signal, &id]).status().expect("kill runs");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let code = child.wait().expect("it ends").code();
    // It may have come to the end of its context before the signal came.
    assert!(code == Some(130) || (code == Some(0) && rest.len() > 200), "{signal} {code:?} {rest}");
}
