//! Runs other programs: output into a log file, the latest line behind the progress bar, a deadline.
//!
//! Invariants: a program that fails is reported with its command line and the end of its output; a program that
//! overruns its deadline is ended with all its descendants, each by its id; standard input is always empty.
//! Called by every command that builds or starts something.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::console::Step;
use crate::interrupt;

/// Lines of output repeated in the error when a program fails.
const TAIL_LINES: usize = 40;

/// A program to run, with its arguments, folder, environment, log file and deadline.
#[derive(Clone)]
pub struct Program {
    program: OsString,
    arguments: Vec<OsString>,
    folder: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    log: Option<PathBuf>,
    deadline: Option<Duration>,
}

/// What a program did: how it ended and what it wrote, both streams in the order they arrived.
pub struct Finished {
    pub status: ExitStatus,
    pub output: String,
    pub overran: bool,
}

impl Program {
    pub fn new(program: impl AsRef<OsStr>) -> Program {
        Program {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            folder: None,
            environment: Vec::new(),
            log: None,
            deadline: None,
        }
    }

    /// `cargo` as it was called, else the one on PATH.
    pub fn cargo() -> Program {
        Program::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Program {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Program {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    pub fn folder(mut self, folder: impl AsRef<Path>) -> Program {
        self.folder = Some(folder.as_ref().to_owned());
        self
    }

    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Everything the program writes goes to this file too.
    pub fn log(mut self, path: impl AsRef<Path>) -> Program {
        self.log = Some(path.as_ref().to_owned());
        self
    }

    pub fn deadline(mut self, deadline: Duration) -> Program {
        self.deadline = Some(deadline);
        self
    }

    /// As a person would type it.
    pub fn command_line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        words.join(" ")
    }

    /// Runs to the end; a failure is an error that carries the last lines of the output.
    pub fn run(&self, step: Option<&Step>) -> anyhow::Result<String> {
        let finished = self.finish(step)?;
        if finished.overran {
            let limit_s = self.deadline.unwrap_or_default().as_secs();
            bail!(
                "`{}` took more than {limit_s} s and was ended\n{}",
                self.command_line(),
                tail(&finished.output)
            );
        }
        if !finished.status.success() {
            bail!("`{}` failed ({})\n{}", self.command_line(), finished.status, tail(&finished.output));
        }
        Ok(finished.output)
    }

    /// Runs to the end and reports how it ended; an error only when it could not be started.
    pub fn finish(&self, step: Option<&Step>) -> anyhow::Result<Finished> {
        let mut child = self.spawn()?;
        let log = self.log.as_ref().map(File::create).transpose().context("cannot create the log file")?;
        let collected = Arc::new(Mutex::new(Collected { output: String::new(), log }));
        let started = Instant::now();
        let mut overran = false;
        let status = std::thread::scope(|scope| {
            let streams: [Option<Box<dyn Read + Send>>; 2] = [
                child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
                child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>),
            ];
            for stream in streams.into_iter().flatten() {
                let collected = Arc::clone(&collected);
                scope.spawn(move || collect(stream, &collected, step));
            }
            loop {
                if let Some(status) = child.try_wait()? {
                    return anyhow::Ok(status);
                }
                if !overran && self.deadline.is_some_and(|deadline| started.elapsed() > deadline) {
                    overran = true;
                    end_tree(child.id());
                }
                if interrupt::check().is_err() {
                    end_tree(child.id());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        })?;
        interrupt::check()?;
        let output = std::mem::take(&mut collected.lock().expect("a reader never panics").output);
        Ok(Finished { status, output, overran })
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        interrupt::check()?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().with_context(|| format!("cannot start `{}`", self.command_line()))
    }

    /// A background program: its output goes to the log file only; the caller ends it.
    pub fn start(&self) -> anyhow::Result<Child> {
        interrupt::check()?;
        let mut command = self.command();
        command.stdin(Stdio::null());
        match &self.log {
            Some(path) => {
                let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
                command.stdout(file.try_clone()?).stderr(file);
            }
            None => {
                command.stdout(Stdio::null()).stderr(Stdio::null());
            }
        }
        command.spawn().with_context(|| format!("cannot start `{}`", self.command_line()))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }
}

struct Collected {
    output: String,
    log: Option<File>,
}

fn collect(stream: Box<dyn Read + Send>, collected: &Mutex<Collected>, step: Option<&Step>) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    // The stream ends when the program and everything that inherited its output are gone.
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        let text = String::from_utf8_lossy(&line);
        if let Some(step) = step {
            step.progress(&text);
        }
        let mut collected = collected.lock().expect("a reader never panics");
        collected.output.push_str(&text);
        if let Some(log) = &mut collected.log {
            // A log that cannot be written (disk full) must not fail the work that it tells about.
            let _ = log.write_all(text.as_bytes());
        }
        drop(collected);
        line.clear();
    }
}

/// The last lines of an output, for an error message.
pub fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

/// Ends a process and everything it started, each by its id, children first.
pub fn end_tree(process_id: u32) {
    for id in descendants(process_id).into_iter().rev() {
        signal(id, "KILL");
    }
}

/// Sends a signal to one process. A process that is already gone is no error.
pub fn signal(process_id: u32, name: &str) {
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process_id.to_string())
        .stderr(Stdio::null())
        .status();
}

/// The process and its descendants, parents before children (Linux; elsewhere only the process itself).
fn descendants(process_id: u32) -> Vec<u32> {
    let mut found = vec![process_id];
    let parents = parents_by_process();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        next += 1;
    }
    found
}

fn parents_by_process() -> Vec<(u32, u32)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.flatten().filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    ids.filter_map(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name in brackets may hold spaces: the parent is the second field after the last bracket.
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()?;
        Some((id, parent))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_carries_the_command_and_the_end_of_its_output() {
        let error =
            Program::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]).run(None).expect_err("exit 3");
        let text = error.to_string();
        assert!(text.contains("sh -c 'echo one; echo two >&2; exit 3'"), "{text}");
        assert!(text.contains("one") && text.contains("two") && text.contains("exit status: 3"), "{text}");
    }

    #[test]
    fn a_program_that_overruns_is_ended_with_its_children() {
        let started = Instant::now();
        let program =
            Program::new("sh").args(["-c", "sleep 60 & sleep 60"]).deadline(Duration::from_millis(200));
        let finished = program.finish(None).expect("sh starts");
        assert!(finished.overran);
        assert!(started.elapsed() < Duration::from_secs(20), "the children held the output open");
    }

    #[test]
    fn standard_input_is_empty() {
        assert_eq!(Program::new("cat").run(None).expect("cat ends at once"), "");
    }
}
