//! Runs the built binary and shows what it did.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

pub mod alphabet;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The binary, in an environment that does not depend on who runs the tests.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dewdrop"));
    command.args(arguments).env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// What the binary does with these arguments and an empty standard input.
pub fn run(arguments: &[&str]) -> Output {
    command(arguments).output().expect("the binary starts")
}

/// What the binary does with these arguments and this standard input.
pub fn run_with(arguments: &[&str], input: &str) -> Output {
    let mut command = command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    // A child that does not read its input to the end closes the pipe.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the binary ends")
}

/// Exit code, standard output and standard error as one text.
pub fn shown(output: &Output) -> String {
    let mut text = String::new();
    let code = output.status.code().map_or("signal".into(), |code| code.to_string());
    writeln!(text, "exit {code}").expect("strings take all");
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            write!(text, "--- {name}\n{}", String::from_utf8_lossy(bytes)).expect("strings take all");
        }
    }
    text
}

/// As [`shown`], with a folder's name replaced by `DIR`.
pub fn shown_in(folder: &Path, output: &Output) -> String {
    shown(output).replace(&folder.display().to_string(), "DIR")
}

/// What the binary wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output of a command that must succeed.
pub fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", shown(output));
    String::from_utf8(output.stdout.clone()).expect("output is UTF-8")
}

/// The JSON document on standard output, with what differs from run to run replaced.
pub fn json(output: &Output) -> Value {
    let mut value = serde_json::from_str(&stdout(output)).expect("output is JSON");
    redact(&mut value);
    value
}

/// Members whose values are measured or depend on the machine.
const MEASURED: [&str; 4] = ["seconds", "per_second", "peak_memory_bytes", "backend"];

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                if MEASURED.iter().any(|measured| key.ends_with(measured)) {
                    *value = Value::String(format!("[{}]", kind(value)));
                } else {
                    redact(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Number(_) => "number",
        Value::String(_) => "string",
        _ => "null or other",
    }
}
