//! Memory budgets, by the kernel's account of a process of its own.
#![cfg(target_os = "linux")]

mod support;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{command, run, stderr, stdout};
use tempfile::TempDir;

const PROMPT: &str = "The morning dew lay on the grass when the first of them came out of the house and";

fn model() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/dew-10m.gguf").display().to_string()
}

/// What `run --json` tells with a budget of so many bytes.
fn record(memory: u64, threads: &str) -> Value {
    let (model, memory) = (model(), memory.to_string());
    let arguments = ["run", "-m", &model, "--memory", &memory, "-c", "512", "-n", "100", "--seed", "7"];
    let output = run(&[&arguments[..], &["-t", threads, "--ignore-eos", "--json", PROMPT]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("JSON")
}

/// The least budget that `plan --sweep` names, and one that everything fits in.
fn ends(threads: &str) -> (u64, u64) {
    let cache = tempfile::tempdir().expect("a folder");
    let picture = cache.path().join("sweep.svg");
    let svg = picture.to_str().expect("UTF-8");
    let arguments = ["plan", &model(), "-c", "512", "-t", threads, "--sweep", "--json", "--svg", svg];
    let output = command(&arguments).env("XDG_CACHE_HOME", cache.path()).output().expect("the binary starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let plans: Vec<Value> = serde_json::from_str(&stdout(&output)).expect("JSON");
    let circles = std::fs::read_to_string(&picture).expect("a picture").matches("<circle").count();
    assert_eq!(circles, plans.len());
    let budget =
        |plan: Option<&Value>| plan.and_then(|plan| plan["budget_bytes"].as_u64()).expect("a number");
    (budget(plans.first()), budget(plans.last()))
}

#[test]
fn the_kernel_counts_no_more_than_the_budget_and_the_text_is_the_same() {
    let whole = record(u64::from(u32::MAX), "2");
    assert_eq!(whole["streaming"]["streamed_bytes_per_pass"], 0);
    // Each thread has memory of its own.
    for (threads, n_steps) in [("2", 4), ("40", 1)] {
        let (least, most) = ends(threads);
        for step in 0..n_steps {
            let budget = least + (most - least) * step / n_steps;
            let record = record(budget, threads);
            let peak = record["peak_memory_bytes"].as_u64().expect("a number");
            assert!(peak <= budget, "{peak} of {budget}, {threads} threads: {}", record["streaming"]);
            assert_eq!(record["ids"], whole["ids"], "{budget}, {threads} threads");
        }
    }
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_the_least() {
    let output = run(&["run", "-m", &model(), "--memory", "1M", "hi"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("a memory budget of 1 MiB is too small for this model: "), "{message}");
    assert!(message.contains(" MiB is the least, and each token then reads "), "{message}");
}

/// Turning a text into tokens takes some thirty times its length, if it is done at once.
#[test]
fn a_long_text_is_evaluated_within_the_budget() {
    let folder = tempfile::tempdir().expect("a folder");
    let evaluate = |n_bytes: usize, memory: u64| {
        let file = folder.path().join("text");
        std::fs::write(&file, PROMPT.repeat(n_bytes / PROMPT.len() + 1)).expect("it can be written");
        let (file, memory) = (file.display().to_string(), memory.to_string());
        run(&[
            "eval",
            "-m",
            &model(),
            "--window",
            "16",
            "--windows",
            "1",
            "--memory",
            &memory,
            "--json",
            &file,
        ])
    };
    let refusal = stderr(&evaluate(1 << 10, 1 << 20));
    let least = refusal.split(" MiB is the least").next().and_then(|text| text.rsplit(' ').next());
    let least: u64 = least.and_then(|least| least.parse().ok()).expect("the least budget of a short text");
    let budget = (least + 16) << 20;
    let output = evaluate(2 << 20, budget);
    assert!(output.status.success(), "{}", stderr(&output));
    let record: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    let peak = record["peak_memory_bytes"].as_u64().expect("a number");
    assert!(peak <= budget, "{peak} of {budget}");
}

#[test]
fn a_model_of_which_only_the_header_is_here_has_the_same_plan() {
    let folder = tempfile::tempdir().expect("a folder");
    let part = folder.path().join("part.gguf");
    let bytes = std::fs::read(model()).expect("the model");
    std::fs::write(&part, &bytes[..1 << 20]).expect("it can be written");
    let plan = |model: &str| {
        let cache = folder.path().to_str().expect("UTF-8");
        let arguments = ["plan", model, "--memory", "64M", "--json"];
        command(&arguments).env("XDG_CACHE_HOME", cache).output().expect("the binary starts")
    };
    let of_part = plan(part.to_str().expect("UTF-8"));
    let message = stderr(&of_part);
    assert!(message.contains(" of the model are not here; its headers are"), "{message}");
    let json = |output| serde_json::from_str::<Value>(&stdout(output)).expect("JSON");
    let (of_part, of_whole) = (json(&of_part), json(&plan(&model())));
    assert!(of_part["missing_bytes"].as_u64().expect("a number") > 1 << 20);
    assert_eq!(of_whole["missing_bytes"], 0);
    for key in ["resident_bytes", "streamed_bytes_per_pass", "context", "chunk"] {
        assert_eq!(of_part[key], of_whole[key], "{key}");
    }
}

/// What the kernel says a process holds, in bytes; none if it has ended.
fn held(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Waits until what a process holds is as `wanted`; says what it was at last.
fn wait_for(process: u32, wanted: impl Fn(u64) -> bool) -> Result<(), Option<u64>> {
    let start = Instant::now();
    loop {
        let held = held(process);
        if held.is_some_and(&wanted) {
            return Ok(());
        }
        if held.is_none() || start.elapsed() > Duration::from_secs(20) {
            return Err(held);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An answer under way, with its budget in a file. Slow instructions and many tokens, so that it takes its time, also where other
/// tests take a processor's.
struct Answer {
    child: Child,
    folder: TempDir,
}

const ANSWER: [&str; 9] = ["run", "-c", "512", "--seed", "7", "-n", "240", "--ignore-eos", "--json"];

impl Answer {
    fn begin(budget: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let memory = format!("@{}", folder.path().join("budget").display());
        std::fs::write(&memory[1..], budget.to_string()).expect("it can be written");
        let options = ["-m", &model(), "-t", "1", "--isa", "portable", "--memory", &memory, PROMPT];
        let mut command = command(&[&ANSWER[..], &options].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        Answer { child, folder }
    }

    fn process(&self) -> u32 {
        self.child.id()
    }

    fn set_budget(&self, budget: u64) {
        std::fs::write(self.folder.path().join("budget"), budget.to_string()).expect("it can be written");
        let signalled = Command::new("kill").args(["-HUP", &self.process().to_string()]).status();
        assert!(signalled.expect("kill is there").success());
    }

    /// What it tells, and its messages. Its ids are those of an answer to which nothing happened.
    fn end(self) -> (Value, String) {
        let output = self.child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", stderr(&output));
        let json = |output| serde_json::from_str::<Value>(&stdout(output)).expect("JSON");
        let record = json(&output);
        let plain = run(&[&ANSWER[..], &["-m", &model(), PROMPT]].concat());
        assert_eq!(record["ids"], json(&plain)["ids"]);
        (record, stderr(&output))
    }
}

#[test]
fn signals_change_the_budget_and_bring_it_back_while_the_answer_goes_on() {
    let (least, most) = ends("1");
    let answer = Answer::begin(most);
    assert_eq!(
        wait_for(answer.process(), |held| held > least),
        Ok(()),
        "more than {least} with all weights in memory"
    );
    for budget in [least, most, least + (1 << 20)] {
        answer.set_budget(budget);
        let is_there = |held| if budget == most { held > least } else { held <= budget };
        assert_eq!(wait_for(answer.process(), is_there), Ok(()), "{budget} of {least} to {most}");
    }
    answer.set_budget(1 << 20);
    let (_, message) = answer.end();
    assert!(message.contains("memory: budget ") && message.contains(" per pass from disk"), "{message}");
    assert!(message.contains("all stays as it is: ") && message.contains("1 MiB is too small"), "{message}");
}

#[test]
fn once_the_budget_is_cut_by_half_the_kernel_counts_no_more_than_half() {
    let (least, most) = ends("1");
    let half = least.max(most / 2) + (1 << 20);
    let answer = Answer::begin(2 * half);
    assert_eq!(wait_for(answer.process(), |held| held > half), Ok(()), "more than {half} at first");
    answer.set_budget(half);
    assert_eq!(wait_for(answer.process(), |held| held <= half), Ok(()), "{half}");
    // The peak of what comes from now on.
    std::fs::write(format!("/proc/{}/clear_refs", answer.process()), "5").expect("peaks can be reset");
    let (record, _) = answer.end();
    let peak = record["peak_memory_bytes"].as_u64().expect("a number");
    assert!(peak <= half, "{peak} of {half}");
    assert_eq!(record["streaming"]["budget_bytes"], half);
}

/// Whether a process that generates takes SIGHUP itself.
fn takes_hangups(memory: &str) -> bool {
    let model = model();
    // Slow instructions, so that it is still there.
    let common = ["run", "-m", &model, "--memory", memory, "-n", "500", "--ignore-eos"];
    let line = [&common[..], &["-t", "1", "--isa", "portable", PROMPT]].concat();
    let mut child = command(&line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut first = [0];
    child.stdout.as_mut().expect("it is piped").read_exact(&mut first).expect("a token");
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    // SIGHUP is the first of all signals.
    u64::from_str_radix(caught.trim(), 16).expect("a number") & 1 == 1
}

#[test]
fn only_a_budget_in_a_file_takes_the_signal_of_a_terminal_that_closes() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "1G").expect("it can be written");
    assert!(takes_hangups(&format!("@{}", file.path().display())));
    assert!(!takes_hangups("1G"));
}

#[test]
fn what_is_streamed_is_told() {
    let (model, least) = (model(), ends("1").0.to_string());
    let line = ["run", "-m", &model, "-t", "1", "-c", "512", "--memory", &least, "-n", "1", "hi"];
    let message = stderr(&run(&line));
    assert!(
        message.contains(" of weights do not fit into memory and are read from disk for each token"),
        "{message}"
    );
    let message = stderr(&run(&["run", "-m", &model, "--memory", "1G", "-n", "1", "hi"]));
    assert!(!message.contains("do not fit"), "{message}");
}

#[test]
fn the_environment_sets_the_budget_and_verbose_tells_what_it_did() {
    let output =
        command(&["run", "-m", &model(), "-n", "3", "--verbose", "hi"]).env("DEWDROP_MEMORY", "64M").output();
    let message = stderr(&output.expect("the binary starts"));
    assert!(message.contains("budget 64.0 MiB") && message.contains(" per pass from disk ("), "{message}");
}
