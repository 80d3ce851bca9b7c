//! One real broker process on loopback: start, wait until ready, kill -9, start again on the same data.
//!
//! The binary is the one `LOGSPINE_BIN` names, as any user would run it. Ports are taken free from the kernel
//! once and kept over restarts, as a client would find them. Processes are ended by the id that was started.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// How long a start may take until `/readyz` says yes.
const READY_WITHIN: Duration = Duration::from_secs(20);

/// A broker that ends with this value.
pub struct Broker {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
    admin_port: u16,
    overrides: Vec<String>,
    child: Option<Child>,
}

impl Broker {
    /// Starts on an own directory under `dir`; `overrides` are `key=value` of server.properties.
    pub fn start(dir: &Path, overrides: &[&str]) -> anyhow::Result<Broker> {
        let binary = std::env::var_os("LOGSPINE_BIN").context(
            "LOGSPINE_BIN names no broker: run this through `cargo xtask test`, or set it to the binary",
        )?;
        let mut broker = Broker {
            binary: binary.into(),
            dir: dir.to_path_buf(),
            port: free_port()?,
            admin_port: free_port()?,
            overrides: overrides.iter().map(|&text| text.to_owned()).collect(),
            child: None,
        };
        broker.spawn()?;
        Ok(broker)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The process id of the running broker.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts the process on the same ports and data, and waits until it is ready.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "the broker runs already");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("broker.log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("broker").arg("--data-dir").arg(self.data_dir());
        command.arg("--override").arg(format!("listeners=PLAINTEXT://127.0.0.1:{}", self.port));
        command.arg("--override").arg(format!("admin.listeners=http://127.0.0.1:{}", self.admin_port));
        for line in &self.overrides {
            command.arg("--override").arg(line);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child =
            Some(command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?);
        self.wait_ready()
    }

    fn wait_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                self.child = None;
                bail!("the broker ended with {status} at its start: {}", self.log_tail());
            }
            if self.admin_get("/readyz").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20)); // Polls the process outside; nothing inside waits on it.
        }
        bail!("the broker was not ready within {READY_WITHIN:?}: {}", self.log_tail())
    }

    /// One GET to the admin listener; the whole answer, head and body.
    pub fn admin_get(&self, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// SIGKILL: no warning, no flush.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("no broker runs")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// SIGTERM: the broker stops cleanly, within its grace period.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("no broker runs")?;
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        ensure!(sent.success(), "cannot signal the broker");
        let status = child.wait()?;
        ensure!(status.success(), "the broker stopped with {status}: {}", self.log_tail());
        Ok(())
    }

    /// Everything that the broker logged.
    pub fn log(&self) -> std::io::Result<String> {
        std::fs::read_to_string(self.dir.join("broker.log"))
    }

    /// The end of what the broker logged, for messages of failure.
    pub fn log_tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
