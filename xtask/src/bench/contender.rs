//! A broker to be measured: ours, or Apache Kafka from its released jars, each alone with a fresh directory.
//!
//! Invariants: both keep their own defaults but for the listener and the directory; a process is ended by its id
//! when its value ends. Called by the benchmark.

use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::demo::{Background, free_port};
use crate::process::Program;
use crate::{image, kafka};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// One of the two.
pub enum Contender {
    Logspine { binary: PathBuf },
    Kafka { class_path: String },
}

/// A contender that runs.
pub struct Running {
    process: Background,
    port: u16,
}

impl Contender {
    pub fn logspine(cache: &Cache) -> anyhow::Result<Contender> {
        Ok(Contender::Logspine { binary: image::broker_program(cache)? })
    }

    pub fn kafka(cache: &Cache) -> anyhow::Result<Contender> {
        Ok(Contender::Kafka { class_path: format!("{}/*", kafka::libs(cache)?.display()) })
    }

    pub fn name(&self) -> String {
        match self {
            Contender::Logspine { .. } => "Logspine".to_owned(),
            Contender::Kafka { .. } => format!("Kafka {}", kafka::VERSION),
        }
    }

    /// Starts it on a free port with an empty directory, and waits until it accepts connections.
    pub fn start(&self, cache: &Cache) -> anyhow::Result<Running> {
        let folder = cache.folder("bench/data")?;
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir_all(&folder)?;
        let (port, controller_port) = (free_port()?, free_port()?);
        let log = cache.path("bench/broker.log")?;
        let config = cache.path("bench/server.properties")?;
        std::fs::write(&config, properties(&folder.display().to_string(), port, controller_port))?;
        let process = match self {
            Contender::Logspine { binary } => Program::new(binary).args(["broker", "--config"]).arg(&config),
            Contender::Kafka { class_path } => {
                let java = || Program::new("java").args(["-cp", class_path]);
                java()
                    .args([
                        "kafka.tools.StorageTool",
                        "format",
                        "--cluster-id",
                        "4L6g3nShT-eMCtK--X86sw",
                        "--config",
                    ])
                    .arg(&config)
                    .run(None)?;
                // The heap that kafka-server-start gives by default.
                java().args(["-Xmx1G", "-Xms1G", "-XX:+UseG1GC", "kafka.Kafka"]).arg(&config)
            }
        };
        let running = Running { process: Background(process.log(&log).start()?), port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if started.elapsed() > READY_WITHIN {
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("{} does not accept connections:\n{}", self.name(), crate::process::tail(&text));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(running)
    }
}

impl Running {
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Processor seconds that the broker has used, in user and kernel mode together.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        // Linux counts in hundredths of a second on every architecture that we run on.
        const TICKS_PER_S: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.0.id()))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("the kernel's stat line is too short")?;
        Ok((user + system) / TICKS_PER_S)
    }
}

/// A combined-mode node, as both understand it.
fn properties(folder: &str, port: u16, controller_port: u16) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=0\nlisteners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         controller.quorum.voters=0@127.0.0.1:{controller_port}\nlog.dirs={folder}\n\
         offsets.topic.replication.factor=1\ntransaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n"
    )
}
