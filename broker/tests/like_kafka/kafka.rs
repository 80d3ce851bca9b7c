//! Apache Kafka from its own jars (`LOGSPINE_KAFKA_LIBS`), for tests that put the same question to both.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::free_port;

/// A JVM on a busy machine of two cores.
const KAFKA_READY_WITHIN: Duration = Duration::from_secs(90);

/// A combined-mode Kafka on a free port; ended by its id.
pub struct Kafka {
    process: Child,
    port: u16,
}

impl Kafka {
    pub fn start(libs: &Path, dir: &Path) -> Kafka {
        let (port, controller_port) = (free_port(), free_port());
        let config = dir.join("server.properties");
        std::fs::write(&config, properties(&dir.join("kafka"), port, controller_port)).unwrap();
        let java = || {
            let mut java = Command::new("java");
            java.args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                .arg("-cp")
                .arg(format!("{}/*", libs.display()))
                .stdin(Stdio::null());
            java
        };
        let format =
            ["kafka.tools.StorageTool", "format", "--standalone", "-t", "4L6g3nShT-eMCtK--X86sw", "-c"];
        let formatted = java().args(format).arg(&config).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        let log = std::fs::File::create(dir.join("kafka.log")).unwrap();
        let mut server = java();
        server.arg("kafka.Kafka").arg(&config).stdout(log.try_clone().unwrap()).stderr(log);
        let mut kafka = Kafka { process: server.spawn().unwrap(), port };
        kafka.wait_ready(&dir.join("kafka.log"));
        kafka
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn wait_ready(&mut self, log: &Path) {
        let deadline = Instant::now() + KAFKA_READY_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            let is_late = Instant::now() > deadline;
            assert!(ended.is_none() && !is_late, "Kafka: {}", std::fs::read_to_string(log).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn properties(dir: &Path, port: u16, controller_port: u16) -> String {
    format!(
        "process.roles=broker,controller\nnode.id=0\nlog.dirs={}\noffsets.topic.replication.factor=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\ncontroller.listener.names=CONTROLLER\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n\
         offsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n",
        dir.display()
    )
}
