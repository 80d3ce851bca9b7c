//! An Apache Kafka node of the jars that `LOGSPINE_KAFKA_LIBS` names: format, start, stop, start again.
//!
//! Combined mode, two log directories, metadata snapshots and checkpoints as often as it makes them, ports that stay the
//! same over restarts. It listens on loopback and ends with this value; processes are ended by the id that was started.
//! And the judge of what two clusters tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::foreign;

pub const NODE_ID: i32 = 1;
const CLUSTER_ID: &str = "bG9nc3BpbmUtdGVzdC0xMQ";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A formatted node, running or not.
pub struct Kafka {
    dir: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Kafka {
    /// Formats directories below `dir`. Settings are as small as the tests are, the replication of a single node.
    pub fn format(dir: &Path) -> anyhow::Result<Kafka> {
        let free = || Ok::<_, std::io::Error>(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let (port, controller) = (free()?, free()?);
        std::fs::create_dir_all(dir)?;
        let kafka = Kafka { dir: dir.to_path_buf(), port, child: None };
        let [first, second] = kafka.log_dirs();
        let properties = format!(
            "process.roles=broker,controller\nnode.id={NODE_ID}\ncontroller.quorum.voters={NODE_ID}@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             controller.listener.names=CONTROLLER\nlog.dirs={},{}\nauto.create.topics.enable=false\n\
             offsets.topic.replication.factor=1\noffsets.topic.num.partitions=7\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=3\ngroup.initial.rebalance.delay.ms=0\nlog.cleaner.backoff.ms=100\n\
             metadata.log.max.record.bytes.between.snapshots=4096\nlog.retention.ms=-1\nlog.initial.task.delay.ms=200\n\
             log.flush.offset.checkpoint.interval.ms=500\nlog.flush.start.offset.checkpoint.interval.ms=500\n",
            first.display(),
            second.display()
        );
        std::fs::write(kafka.properties(), properties)?;
        let mut format = java()?;
        format
            .arg("kafka.tools.StorageTool")
            .args(["format", "-t", CLUSTER_ID, "-c"])
            .arg(kafka.properties());
        let output = format.output()?;
        ensure!(output.status.success(), "format: {}", String::from_utf8_lossy(&output.stderr));
        Ok(kafka)
    }

    fn properties(&self) -> PathBuf {
        self.dir.join("server.properties")
    }

    /// `log.dirs`
    pub fn log_dirs(&self) -> [PathBuf; 2] {
        [self.dir.join("first"), self.dir.join("second")]
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts the process and waits until it has come up.
    pub fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "Kafka runs already");
        let log = std::fs::File::create(self.log_file())?;
        let mut command = java()?;
        command.arg("kafka.Kafka").arg(self.properties()).stdin(Stdio::null());
        self.child = Some(command.stdout(log.try_clone()?).stderr(log).spawn().context("cannot run java")?);
        let started = Instant::now();
        while started.elapsed() < READY_WITHIN {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("Kafka ended with {status}: {}", self.log_tail());
            }
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50)); // Polls the process outside; nothing inside waits on it.
        }
        bail!("Kafka did not listen within {READY_WITHIN:?}: {}", self.log_tail())
    }

    /// SIGTERM, and waits for the clean end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("Kafka does not run")?;
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        ensure!(sent.success(), "cannot signal Kafka");
        child.wait()?;
        let left = self.log_dirs().iter().all(|dir| dir.join(".kafka_cleanshutdown").exists());
        ensure!(left, "Kafka did not stop cleanly: {}", self.log_tail());
        Ok(())
    }

    /// SIGKILL: no warning, no flush.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("Kafka does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("kafka.log")
    }

    /// What Kafka logged since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        log.lines().rev().take(15).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A small JVM with Kafka's jars on its class path.
pub fn java() -> anyhow::Result<Command> {
    let libs = foreign::kafka_libs().context("LOGSPINE_KAFKA_LIBS names no jars")?;
    let mut java = Command::new("java");
    java.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]).arg(libs.join("*"));
    Ok(java)
}

/// Where two tellings of `kafka_directories.py` differ, a few lines of it. A compacted topic may have been cleaned
/// once more in between: then nothing may have appeared or moved, and each key must keep its last value.
pub fn differences(before: &[String], after: &[String]) -> Vec<String> {
    let is_compacted = |line: &&String| line.contains("\"compacted\"") && line.contains("\"offset\"");
    let exact =
        |lines: &[String]| lines.iter().filter(|line| !is_compacted(line)).cloned().collect::<Vec<_>>();
    let cleaned = |lines: &[String]| lines.iter().filter(is_compacted).cloned().collect::<BTreeSet<_>>();
    let (old, new) = (exact(before), exact(after));
    let mut found: Vec<String> =
        only(&old, &new, "only before").chain(only(&new, &old, "only after")).collect();
    if found.is_empty() && old != new {
        found.push("the same lines in another order".to_owned());
    }
    let (old, new) = (cleaned(before), cleaned(after));
    found.extend(new.difference(&old).take(4).map(|line| format!("appeared: {line}")));
    let lost = last_values(&old).into_iter().filter(|line| !new.contains(line));
    found.extend(lost.take(4).map(|line| format!("the last value of its key is gone: {line}")));
    found
}

fn only<'l>(these: &'l [String], those: &[String], who: &'l str) -> impl Iterator<Item = String> + 'l {
    let known: BTreeSet<String> = those.iter().cloned().collect();
    these.iter().filter(move |line| !known.contains(*line)).take(4).map(move |line| format!("{who}: {line}"))
}

/// The newest record of each key and isolation level that is no tombstone.
fn last_values(records: &BTreeSet<String>) -> Vec<String> {
    let mut last: BTreeMap<(String, String), (i64, &String, bool)> = BTreeMap::new();
    for line in records {
        let Ok(fact) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let key = (fact["isolation"].to_string(), fact["key"].to_string());
        let offset = fact["offset"].as_i64().unwrap_or(-1);
        if last.get(&key).is_none_or(|(known, ..)| *known < offset) {
            last.insert(key, (offset, line, fact["value"].is_null()));
        }
    }
    last.into_values().filter(|(.., is_tombstone)| !is_tombstone).map(|(_, line, _)| line.clone()).collect()
}

/// The judge is shown what it must find: a record lost, one changed, one that was aborted, a key's last value gone.
pub fn show_planted_faults(facts: &[String]) -> anyhow::Result<()> {
    let is_record = |line: &&String| line.contains("\"offset\"") && line.contains("read_committed");
    let record = facts.iter().find(is_record).context("no record was told")?;
    let change = |line: &String| if line == record { line.replace("key", "kex") } else { line.clone() };
    let aborted = facts.iter().find(|line| {
        line.contains("read_uncommitted")
            && !facts.contains(&line.replace("read_uncommitted", "read_committed"))
    });
    let aborted = aborted.context("no record was aborted")?.replace("read_uncommitted", "read_committed");
    let is_last = |line: &&String| line.contains("\"compacted\"") && line.contains("version ");
    let last = facts.iter().rev().find(is_last).context("nothing is compacted")?;
    let without = |gone: &String| facts.iter().filter(|line| *line != gone).cloned().collect::<Vec<_>>();
    let planted =
        [without(record), facts.iter().map(change).collect(), [facts, &[aborted]].concat(), without(last)];
    for planted in planted {
        ensure!(!differences(facts, &planted).is_empty(), "a planted fault was not found");
    }
    Ok(())
}
