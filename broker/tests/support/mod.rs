//! A whole broker process on loopback for one test: start, wait until ready, talk, stop or kill by id, start again.
//!
//! Every test has its own data directory and its own free ports, so tests run side by side. What a machine
//! cannot run is reported as skipped by name and reason; under CI=true a skip is a failure. Output of a broker
//! goes to a file in its directory, which is printed when a test fails.

#![allow(dead_code, reason = "each test uses its part of this")]

pub mod calls;
pub mod forge;
pub mod page_cache;
pub mod raw;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than any start in these tests; a broker that is not ready by then hangs.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// Prints the words that the runner counts, or fails under CI.
pub fn skip(test: &str, reason: &str) {
    let words = format!("SKIPPED {test}: {reason}");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
    println!("{words}");
}

/// True if a program can be started; otherwise the test is skipped.
pub fn needs(test: &str, program: &str) -> bool {
    let found = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skip(test, &format!("{program} is not installed (Debian: apt-get install {program})"));
    }
    found
}

/// A port that nobody listens on now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A data directory and the broker that may run on it.
pub struct Broker {
    pub dir: tempfile::TempDir,
    pub port: u16,
    pub admin_port: u16,
    overrides: Vec<String>,
    process: Option<Child>,
}

impl Broker {
    /// Starts a broker on an empty directory; `overrides` are `key=value`.
    pub fn start(overrides: &[&str]) -> Broker {
        let mut broker = Broker::prepared(overrides);
        broker.start_again();
        broker
    }

    /// Ports and a directory, and no process yet.
    pub fn prepared(overrides: &[&str]) -> Broker {
        Broker {
            dir: tempfile::tempdir().unwrap(),
            port: free_port(),
            admin_port: free_port(),
            overrides: overrides.iter().map(|text| text.to_string()).collect(),
            process: None,
        }
    }

    /// Other overrides from the next start on.
    pub fn reconfigure(&mut self, overrides: &[&str]) {
        self.overrides = overrides.iter().map(|text| text.to_string()).collect();
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn log_file(&self) -> PathBuf {
        self.dir.path().join("broker.log")
    }

    /// What the broker has logged so far, all starts together.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The command line of this broker.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logspine"));
        command.arg("broker").arg("--data-dir").arg(self.data_dir());
        command.args(["--override", &format!("listeners=PLAINTEXT://127.0.0.1:{}", self.port)]);
        command.args(["--override", &format!("admin.listeners=http://127.0.0.1:{}", self.admin_port)]);
        for pair in &self.overrides {
            command.args(["--override", pair]);
        }
        command
    }

    /// Starts the process and waits until it serves.
    pub fn start_again(&mut self) {
        let command = self.command();
        self.spawn(command);
        self.wait_ready();
    }

    /// Starts any command as this broker's process, without waiting.
    pub fn spawn(&mut self, mut command: Command) {
        assert!(self.process.is_none(), "one process at a time");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        self.process = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    pub fn wait_ready(&mut self) {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.http("/readyz").is_some_and(|(code, _)| code == 200) {
                return;
            }
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().unwrap()) {
                panic!("the broker ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < deadline, "not ready after {READY_WITHIN:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("a running broker").id()
    }

    /// GET on the admin port: status and body; nothing if it does not answer.
    pub fn http(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.admin_port, path)
    }

    /// SIGTERM, and the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// SIGKILL: what a crash looks like.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running broker");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.process.take().expect("a running broker").wait().unwrap()
    }

    /// Resident memory in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Runs the broker to its end, which is expected to come soon: exit status and everything it said.
    pub fn run_to_end(&self, mut command: Command) -> (ExitStatus, String) {
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the broker's log ---\n{}", self.log());
        }
    }
}

pub fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let code = answer.split_whitespace().nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    assert!(!is_chunked, "the admin answers are of known length");
    Some((code, body.to_owned()))
}

/// kcat against a broker, `-q`, with its output.
pub fn kcat(broker: &Broker, arguments: &[&str]) -> Vec<u8> {
    kcat_with_input(broker, arguments, None)
}

/// kcat with a file as its standard input.
pub fn kcat_with_input(broker: &Broker, arguments: &[&str], input: Option<&Path>) -> Vec<u8> {
    let stdin = match input {
        Some(path) => Stdio::from(std::fs::File::open(path).unwrap()),
        None => Stdio::null(),
    };
    let output = Command::new("kcat")
        .args(["-b", &broker.address(), "-q"])
        .args(arguments)
        .stdin(stdin)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat {arguments:?}: {complaint}");
    output.stdout
}
