//! Apache's own command-line tools, several in one JVM: `e2e/clients/java/Toolbox.java` runs one tool per line.
//!
//! A tool's `main` is what `bin/kafka-*.sh` starts; its exit code is caught, its output given back.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::super::support::Broker;

/// What one run of a tool ended with.
#[derive(Debug)]
pub struct Ran {
    pub exit_code: i32,
    /// Standard output and error, in the order they were written.
    pub printed: String,
}

/// A JVM that runs tools against one broker.
pub struct Toolbox {
    jvm: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    address: String,
}

impl Toolbox {
    /// None skips the test.
    pub fn open(test: &str, broker: &Broker) -> Option<Toolbox> {
        let mut java = super::java(test)?;
        java.arg(super::clients().join("java/Toolbox.java"));
        let mut jvm =
            java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (commands, answers) = (jvm.stdin.take().unwrap(), BufReader::new(jvm.stdout.take().unwrap()));
        Some(Toolbox { jvm, commands, answers, address: broker.address() })
    }

    /// Runs `class arguments...`; `BROKER` stands for the broker's address. Arguments are split at blanks.
    pub fn run(&mut self, line: &str) -> Ran {
        let line = line.replace("BROKER", &self.address);
        writeln!(self.commands, "{}", line.split_whitespace().collect::<Vec<_>>().join("\t")).unwrap();
        let mut head = String::new();
        self.answers.read_line(&mut head).unwrap();
        let mut numbers = head.split_whitespace().map(|word| word.parse::<i64>().unwrap());
        let (Some(exit_code), Some(length)) = (numbers.next(), numbers.next()) else {
            panic!("the JVM ended during {line}");
        };
        let mut printed = vec![0; length as usize];
        self.answers.read_exact(&mut printed).unwrap();
        Ran { exit_code: exit_code as i32, printed: String::from_utf8(printed).unwrap() }
    }

    /// Runs it; it must succeed. What it printed.
    pub fn ok(&mut self, line: &str) -> String {
        let Ran { exit_code, printed } = self.run(line);
        assert_eq!(exit_code, 0, "{line}:\n{printed}");
        printed
    }
}

impl Drop for Toolbox {
    fn drop(&mut self) {
        let _ = self.jvm.kill();
        let _ = self.jvm.wait();
    }
}

/// The words of every line, for tables that tools print.
pub fn table(printed: &str) -> Vec<Vec<&str>> {
    printed.lines().map(|line| line.split_whitespace().collect()).collect()
}
