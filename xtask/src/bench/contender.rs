//! A broker to be measured: ours, or Apache Kafka from its released jars, each with a directory of its own.
//!
//! Invariants: the same properties for both, page-cache durability unless a cell says otherwise; the broker stays on
//! processor 0; a process is ended by its id when its value ends. Called by the benchmark.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Programs;
use crate::cache::Cache;
use crate::demo::{Background, free_port};
use crate::process::{Program, signal, tail};

const READY_WITHIN: Duration = Duration::from_secs(180);
const STOPPED_WITHIN: Duration = Duration::from_secs(180);

/// What `bin/kafka-server-start.sh` and `bin/kafka-run-class.sh` start the JVM with.
const JVM: &[&str] = &[
    "-Xms1g",
    "-Xmx1g",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    Logspine,
    Kafka,
}

impl Contender {
    pub const BOTH: [Contender; 2] = [Contender::Logspine, Contender::Kafka];

    pub fn name(self) -> &'static str {
        match self {
            Contender::Logspine => "Logspine",
            Contender::Kafka => "Apache Kafka",
        }
    }
}

/// Where a contender's files are, and how it is started.
pub struct Home {
    contender: Contender,
    command: Vec<std::ffi::OsString>,
    format: Vec<std::ffi::OsString>,
    pub data: PathBuf,
    config: PathBuf,
    log: PathBuf,
    port: u16,
}

/// A contender that runs.
pub struct Running {
    process: Background,
    port: u16,
}

impl Home {
    /// An empty directory. `name` tells several homes apart.
    pub fn new(
        cache: &Cache,
        programs: &Programs,
        contender: Contender,
        name: &str,
        extra_properties: &str,
    ) -> anyhow::Result<Home> {
        let data = cache.folder(&format!("bench/{name}/data"))?;
        std::fs::remove_dir_all(&data)?;
        std::fs::create_dir_all(&data)?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let config = cache.path(&format!("bench/{name}/server.properties"))?;
        std::fs::write(&config, properties(&data, port, controller_port) + extra_properties)?;
        let java = |class: &[&str]| {
            let class_path = format!("{}/*", programs.kafka_libs.display());
            let words =
                ["java"].iter().chain(JVM).copied().chain(["-cp", &class_path]).chain(class.iter().copied());
            words.map(Into::into).chain([config.clone().into_os_string()]).collect::<Vec<_>>()
        };
        let (command, format) = match contender {
            Contender::Logspine => {
                let words = [programs.logspine.clone().into(), "broker".into(), "--config".into()];
                (words.into_iter().chain([config.clone().into_os_string()]).collect(), Vec::new())
            }
            Contender::Kafka => {
                let id = "4L6g3nShT-eMCtK--X86sw";
                (
                    java(&["kafka.Kafka"]),
                    java(&["kafka.tools.StorageTool", "format", "--cluster-id", id, "--config"]),
                )
            }
        };
        let log = cache.path(&format!("bench/{name}/broker.log"))?;
        let home = Home { contender, command, format, data, config, log, port };
        home.format()?;
        Ok(home)
    }

    fn format(&self) -> anyhow::Result<()> {
        match self.format.split_first() {
            Some((program, arguments)) => Program::new(program).args(arguments).run(None).map(drop),
            None => Ok(()),
        }
    }

    /// Starts it on processor 0 and waits until it accepts connections; `before` comes first in the command line.
    pub fn start_with(&self, before: &[&str]) -> anyhow::Result<Running> {
        let pinned = Program::new("taskset").args(["-c", "0"]).args(before).args(&self.command);
        let mut running = Running { process: Background(pinned.log(&self.log).start()?), port: self.port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let is_dead = running.process.0.try_wait()?.is_some();
            if is_dead || started.elapsed() > READY_WITHIN {
                let text = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("{} does not accept connections:\n{}", self.contender.name(), tail(&text));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(running)
    }

    pub fn start(&self) -> anyhow::Result<Running> {
        self.start_with(&[])
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Gigabytes that nobody needs any more; the next run would remove them as well.
        let _ = std::fs::remove_dir_all(&self.data);
        let _ = std::fs::remove_file(&self.config);
    }
}

impl Running {
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// Processor seconds that the broker has used, in user and kernel mode together.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        // Linux counts in hundredths of a second on every architecture that we run on.
        const TICKS_PER_S: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("the kernel's stat line is too short")?;
        Ok((user + system) / TICKS_PER_S)
    }

    /// SIGTERM, and the end.
    pub fn stop(self) -> anyhow::Result<()> {
        let broker = self.id();
        self.stop_process(broker)
    }

    /// The same where the broker is a child of what was started.
    pub fn stop_process(mut self, broker: u32) -> anyhow::Result<()> {
        signal(broker, "TERM");
        let asked = Instant::now();
        while self.process.0.try_wait()?.is_none() {
            ensure!(asked.elapsed() < STOPPED_WITHIN, "the broker does not stop");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A combined-mode node, as both understand it. Deleted files go at once, so that runs do not see each other's.
fn properties(folder: &Path, port: u16, controller_port: u16) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.quorum.voters=0@127.0.0.1:{controller_port}\nlog.dirs={}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         log.segment.delete.delay.ms=1000\n",
        folder.display()
    )
}
