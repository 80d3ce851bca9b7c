//! A person at a terminal: runs `logspine` commands against a broker and looks at what they print.

#![allow(dead_code, reason = "each test uses its part of this")]

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use super::support::Broker;

/// A command that talks to this broker. `line` is split at blanks.
pub fn logspine(broker: &Broker, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logspine"));
    command.args(line.split_whitespace()).env("LOGSPINE_BOOTSTRAP", broker.address()).stdin(Stdio::null());
    command
}

/// Runs it; it must succeed. What it printed.
pub fn run(broker: &Broker, line: &str) -> String {
    let output = logspine(broker, line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it with `--output json`.
pub fn json(broker: &Broker, line: &str) -> Value {
    serde_json::from_str(&run(broker, &format!("{line} --output json"))).expect("one JSON document")
}

/// Runs it; it must fail. Exit code and what it said.
pub fn fails(broker: &Broker, line: &str) -> (i32, String) {
    let output = logspine(broker, line).output().unwrap();
    assert!(!output.status.success(), "{line} succeeded: {}", String::from_utf8_lossy(&output.stdout));
    (output.status.code().expect("an exit code"), String::from_utf8(output.stderr).unwrap())
}

/// Runs it with this on its standard input.
pub fn run_with_input(broker: &Broker, line: &str, input: &[u8]) -> Output {
    let mut child: Child = logspine(broker, line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A thread of its own, or both sides might wait for the other to read.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Writes these lines to a topic.
pub fn produce(broker: &Broker, line: &str, input: &str) {
    let output = run_with_input(broker, line, input.as_bytes());
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}
