//! Clients that know nothing of this broker, run as their users run them: where they are and how they start.
//!
//! Their programs live in `e2e/clients/`; what they print is judged by `story.rs`. A client that cannot run here
//! skips its test by name and reason; under CI=true that is a failure.

#![allow(dead_code, reason = "each test uses its part of this")]

pub mod story;
pub mod toolbox;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::{Broker, skip};

/// The folder of foreign programs.
pub fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../e2e/clients")
}

/// A JVM with Kafka's jars on its class path, small and quick to start. None skips the test.
pub fn java(test: &str) -> Option<Command> {
    let Some(libs) = std::env::var_os("LOGSPINE_KAFKA_LIBS") else {
        skip(test, "LOGSPINE_KAFKA_LIBS names no folder of Kafka's jars (`cargo xtask test` fetches them)");
        return None;
    };
    if !starts("java", &["-version"]) {
        skip(test, "java is not installed (Debian: apt-get install default-jdk-headless)");
        return None;
    }
    let mut java = Command::new("java");
    java.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"])
        .arg(Path::new(&libs).join("*"));
    Some(java)
}

/// A Python that has confluent-kafka. None skips the test.
pub fn python(test: &str) -> Option<Command> {
    let python = std::env::var("LOGSPINE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    if !starts(&python, &["-c", "import confluent_kafka"]) {
        let remedy = "`cargo xtask test` installs it into its cache and sets LOGSPINE_PYTHON";
        skip(test, &format!("{python} has no confluent-kafka ({remedy})"));
        return None;
    }
    Some(Command::new(python))
}

/// Builds a Go program of `e2e/clients/go` into cargo's own folder for tests. None skips the test.
pub fn go_program(test: &str, name: &str) -> Option<Command> {
    if !starts("go", &["version"]) {
        skip(test, "go is not installed (https://go.dev/dl)");
        return None;
    }
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let folder = clients().join("go").join(name);
    let built =
        Command::new("go").args(["build", "-o"]).arg(&binary).arg(".").current_dir(&folder).output().unwrap();
    assert!(built.status.success(), "go build {name}: {}", String::from_utf8_lossy(&built.stderr));
    Some(Command::new(binary))
}

fn starts(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs a program against this broker, with its address first; what it printed.
pub fn run(program: &mut Command, broker: &Broker, arguments: &[&str]) -> String {
    let output = program.arg(broker.address()).args(arguments).stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    if !output.status.success() {
        let last: Vec<_> = printed.lines().rev().take(10).collect();
        panic!(
            "{program:?} failed: {}\nlast facts, newest first: {last:#?}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    printed
}
