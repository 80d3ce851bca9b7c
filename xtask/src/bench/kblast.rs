//! Runs the load generator and keeps what it printed.
//!
//! Invariants: the load stays on processor 1; its answer is kept whole, figures are picked from it by JSON pointer.
//! Called by everything that measures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use super::contender::Running;
use crate::cache::{Cache, checkout};
use crate::console::Step;
use crate::process::Program;

/// Longer than any run.
const DEADLINE: Duration = Duration::from_secs(900);

pub fn build(cache: &Cache) -> anyhow::Result<PathBuf> {
    let step = Step::start("Building kblast", "a minute or two the first time");
    Program::cargo()
        .args(["build", "--locked", "--release", "--package", "logspine-bench"])
        .folder(checkout())
        .env("CARGO_TARGET_DIR", cache.target())
        .run(Some(&step))?;
    step.finish("");
    Ok(cache.target().join("release/kblast"))
}

/// The program, ready to be asked.
pub struct Kblast {
    pub program: PathBuf,
}

impl Kblast {
    /// A load against a broker; `words` are the subcommand and its options.
    pub fn load(&self, broker: &Running, words: &str, topic: &str) -> anyhow::Result<Value> {
        let program = Program::new(&self.program)
            .args(words.split_whitespace())
            .args(["--cpu", "1", "--bootstrap", &broker.bootstrap(), "--topic", topic])
            .args(["--pid", &broker.id().to_string()]);
        ask(program)
    }

    pub fn delete(&self, broker: &Running, topic: &str) -> anyhow::Result<()> {
        ask(Program::new(&self.program).args([
            "delete",
            "--bootstrap",
            &broker.bootstrap(),
            "--topic",
            topic,
        ]))
        .map(drop)
    }

    /// A probe of the machine.
    pub fn floor(&self, folder: &Path, words: &str, seconds: f64) -> anyhow::Result<Value> {
        let program = Program::new(&self.program).arg("floor").args(words.split_whitespace());
        ask(program.args(["--seconds", &seconds.to_string(), "--folder"]).arg(folder))
    }
}

fn ask(program: Program) -> anyhow::Result<Value> {
    let output = program.deadline(DEADLINE).run(None)?;
    serde_json::from_str(&output).with_context(|| format!("no JSON: {output}"))
}
