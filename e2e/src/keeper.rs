//! A client that asks a broker to remember things, and asks later whether it does: topics and committed offsets.
//!
//! The program is `clients/python/keeper.py` (librdkafka); it lives as long as this value. Used by the crash tests.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

use crate::foreign;

pub struct Keeper {
    client: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Keeper {
    pub fn start(bootstrap: &str) -> anyhow::Result<Keeper> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/keeper.py");
        let mut client = Command::new(foreign::python())
            .arg(script)
            .arg(bootstrap)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the keeper")?;
        let questions = client.stdin.take().context("it was asked for")?;
        let answers = BufReader::new(client.stdout.take().context("it was asked for")?);
        Ok(Keeper { client, questions, answers })
    }

    /// One command; see the program for what there is.
    pub fn ask(&mut self, question: &str) -> anyhow::Result<String> {
        self.post(question)?;
        self.answer()
    }

    /// Asks without waiting; `answer` comes later.
    pub fn post(&mut self, question: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.questions, "{question}")?)
    }

    /// The answer to the oldest question that has none.
    pub fn answer(&mut self) -> anyhow::Result<String> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let answer = answer.trim_end();
        ensure!(!answer.is_empty(), "the keeper is gone");
        Ok(answer.to_owned())
    }

    /// A command that must be answered in these words.
    pub fn expect(&mut self, question: &str, answer: &str) -> anyhow::Result<()> {
        let found = self.ask(question)?;
        ensure!(found == answer, "{question}: expected {answer}, the answer is: {found}");
        Ok(())
    }
}

impl Keeper {
    /// A command that must be refused with this code of Kafka's.
    pub fn refused(&mut self, question: &str, code: &str) -> anyhow::Result<()> {
        let found = self.ask(question)?;
        let words: Vec<&str> = found.split(' ').collect();
        ensure!(words.starts_with(&["error", code]), "{question}: expected {code}, the answer is: {found}");
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
