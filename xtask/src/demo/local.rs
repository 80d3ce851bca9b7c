//! The story on this machine: one broker process on loopback, in a folder of the cache.
//!
//! Invariants: ports are free ones, so that a broker of the person's own is not disturbed; the process is ended by
//! its id and its data removed at the end. Called by the demo.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::demo::place::{Background, Place};
use crate::demo::prometheus::{free_port, get};
use crate::demo::story;
use crate::demo::transcript::Transcript;
use crate::process::{Program, signal};
use crate::{debian, image, interrupt, kafka};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// A broker process of our own.
struct Local {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    admin_port: u16,
    process: Mutex<Option<Background>>,
}

pub fn run(cache: &Cache) -> anyhow::Result<()> {
    debian::ensure(&["kcat"], "The demo's stock client")?;
    kafka::libs(cache)?;
    debian::unpack(cache, "prometheus")?;
    let binary = build(cache)?;
    let folder = cache.folder("demo/local")?;
    std::fs::remove_dir_all(&folder)?;
    std::fs::create_dir_all(&folder)?;
    let local =
        Local { binary, folder, port: free_port()?, admin_port: free_port()?, process: Mutex::new(None) };
    let mut transcript = Transcript::begin();
    interrupt::cleaning_up(|| local.tell(cache, &mut transcript), || local.remove())?;
    transcript.end("The end. The broker is ended and its data removed");
    Ok(())
}

/// The program as it is shipped, or the one that `LOGSPINE_BIN` names.
fn build(cache: &Cache) -> anyhow::Result<PathBuf> {
    if let Some(binary) = std::env::var_os("LOGSPINE_BIN") {
        return Ok(binary.into());
    }
    image::broker_program(cache)
}

impl Local {
    fn tell(&self, cache: &Cache, transcript: &mut Transcript) -> anyhow::Result<()> {
        transcript.chapter("A broker: one process, no configuration");
        transcript.command(&format!("logspine broker --data-dir {}", self.folder.join("data").display()));
        let started = Instant::now();
        self.start()?;
        transcript.fact(&format!("ready after {} ms", started.elapsed().as_millis()));
        transcript.command(&format!("logspine topic create {} --partitions 3", self.topic()));
        self.create_topic()?;
        story::tell(self, cache, transcript)
    }

    fn remove(&self) -> anyhow::Result<()> {
        *self.process.lock().expect("nobody panics with it") = None;
        std::fs::remove_dir_all(&self.folder).context("cannot remove the demo's data")
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn start(&self) -> anyhow::Result<()> {
        let child = Program::new(&self.binary)
            .args(["broker", "--data-dir"])
            .arg(self.folder.join("data"))
            .args(["--override", &format!("listeners=PLAINTEXT://{}", self.bootstrap())])
            .args(["--override", &format!("admin.listeners=http://127.0.0.1:{}", self.admin_port)])
            .log(self.folder.join("broker.log"))
            .start()?;
        *self.process.lock().expect("nobody panics with it") = Some(Background(child));
        self.await_ready()
    }

    fn await_ready(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        while get(&format!("127.0.0.1:{}", self.admin_port), "/readyz").is_err() {
            interrupt::check()?;
            if started.elapsed() > READY_WITHIN {
                let log = std::fs::read_to_string(self.folder.join("broker.log")).unwrap_or_default();
                bail!(
                    "the broker is not ready within {} s:\n{}",
                    READY_WITHIN.as_secs(),
                    crate::process::tail(&log)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn create_topic(&self) -> anyhow::Result<()> {
        Program::new(&self.binary)
            .args(["topic", "create", self.topic(), "--partitions", "3", "--bootstrap", &self.bootstrap()])
            .run(None)
            .map(|_| ())
    }
}

impl Place for Local {
    fn shell(&self, line: &str) -> anyhow::Result<String> {
        Program::new("sh").args(["-c", line]).env("BROKERS", self.bootstrap()).run(None)
    }

    fn address_for_tools(&self) -> Option<String> {
        Some(self.bootstrap())
    }

    fn kill_broker(&self) -> anyhow::Result<String> {
        let process = self.process.lock().expect("nobody panics with it").take().context("no broker runs")?;
        let id = process.0.id();
        signal(id, "KILL");
        Ok(format!("kill -KILL {id}"))
    }

    fn await_broker(&self) -> anyhow::Result<()> {
        self.start()
    }

    fn metrics(&self) -> anyhow::Result<(String, Option<Background>)> {
        Ok((format!("127.0.0.1:{}", self.admin_port), None))
    }
}
