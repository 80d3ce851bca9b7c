//! Foreign clients, as the tests use them: which are here, and the few things every test asks of them.
//!
//! A tool that is missing skips the test by name and reason; under `CI=true` that is a failure.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

use crate::checker::Placed;

/// A tool, how to see that it is here, and how to get it.
pub struct Tool {
    pub name: &'static str,
    pub probe: fn() -> bool,
    pub get: &'static str,
}

pub const KCAT: Tool =
    Tool { name: "kcat", probe: || runs(Command::new("kcat").arg("-V")), get: "apt-get install kcat" };

pub const PYTHON_WITH_LIBRDKAFKA: Tool = Tool {
    name: "Python with confluent-kafka",
    probe: || runs(Command::new(python()).args(["-c", "import confluent_kafka"])),
    get: "`cargo xtask test` installs it into its cache and sets LOGSPINE_PYTHON",
};

pub const KAFKA_JARS: Tool = Tool {
    name: "Java with the jars of Kafka 4.3.1",
    probe: || kafka_libs().is_some() && runs(Command::new("java").arg("-version")),
    get: "`cargo xtask test` fetches them by Maven and sets LOGSPINE_KAFKA_LIBS",
};

/// The folder of Apache Kafka's jars.
pub fn kafka_libs() -> Option<PathBuf> {
    std::env::var_os("LOGSPINE_KAFKA_LIBS").map(PathBuf::from).filter(|libs| libs.is_dir())
}

/// The interpreter that has the foreign clients' packages.
pub fn python() -> PathBuf {
    std::env::var_os("LOGSPINE_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Says `SKIPPED <test>: <reason>` and returns true if a tool is missing; panics instead under `CI=true`.
pub fn skip_without(test: &str, tools: &[Tool]) -> bool {
    let Some(missing) = tools.iter().find(|tool| !(tool.probe)()) else { return false };
    let words = format!("SKIPPED {test}: {} is missing ({})", missing.name, missing.get);
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
    println!("{words}");
    true
}

/// Runs `clients/python/kafka_directories.py` against a cluster; the lines it printed.
pub fn kafka_directories(bootstrap: &str, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/kafka_directories.py");
    let mut command = Command::new(python());
    let output = command.arg(program).arg(bootstrap).args(arguments).output().context("cannot run Python")?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Creates a topic by librdkafka's admin client.
pub fn create_topic(bootstrap: &str, topic: &str, partitions: u32) -> anyhow::Result<()> {
    let program = "import sys; from confluent_kafka.admin import AdminClient, NewTopic\n\
        b, t, n = sys.argv[1:4]\n\
        admin = AdminClient({'bootstrap.servers': b})\n\
        admin.create_topics([NewTopic(t, int(n), 1)])[t].result(30)";
    let output = Command::new(python())
        .args(["-c", program, bootstrap, topic, &partitions.to_string()])
        .output()
        .context("cannot run Python")?;
    ensure!(output.status.success(), "create {topic}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Deletes a topic by librdkafka's admin client.
pub fn delete_topic(bootstrap: &str, topic: &str) -> anyhow::Result<()> {
    let program = "import sys; from confluent_kafka.admin import AdminClient\n\
        b, t = sys.argv[1:3]\n\
        client = AdminClient({'bootstrap.servers': b})\n\
        client.delete_topics([t])[t].result(30)";
    let output = Command::new(python())
        .args(["-c", program, bootstrap, topic])
        .output()
        .context("cannot run Python")?;
    ensure!(output.status.success(), "delete {topic}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Every record of a topic whose values are numbered, read by kcat from the beginning.
pub fn read_all(bootstrap: &str, topic: &str) -> anyhow::Result<Vec<Placed>> {
    let output = Command::new("kcat")
        .args(["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %o %s\n"])
        .output()
        .context("cannot run kcat")?;
    ensure!(output.status.success(), "kcat: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)?.lines().map(parse_line).collect()
}

/// kcat that reads a topic along, through every failure, into a file.
pub struct Tail {
    client: Child,
    output: PathBuf,
}

impl Tail {
    pub fn start(bootstrap: &str, topic: &str, output: &Path) -> anyhow::Result<Tail> {
        let client = Command::new("kcat")
            .args([
                "-C",
                "-b",
                bootstrap,
                "-t",
                topic,
                "-o",
                "beginning",
                "-q",
                "-E",
                "-u",
                "-f",
                "%p %o %s\n",
            ])
            .args(["-X", "reconnect.backoff.max.ms=100", "-X", "log_level=0"])
            .stdout(std::fs::File::create(output)?)
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run kcat")?;
        Ok(Tail { client, output: output.to_path_buf() })
    }

    /// How many records it was given so far.
    pub fn delivered(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_to_string(&self.output)?.matches('\n').count())
    }

    /// Everything that it was given, in the order of delivery.
    pub fn stop(mut self) -> anyhow::Result<Vec<Placed>> {
        ensure!(self.client.try_wait()?.is_none(), "the consumer that reads along gave up");
        self.client.kill()?;
        self.client.wait()?;
        let text = std::fs::read_to_string(&self.output)?;
        // The last line may be cut off by the end.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(parse_line).collect()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn parse_line(line: &str) -> anyhow::Result<Placed> {
    let mut words = line.splitn(3, ' ');
    let mut word = || words.next().with_context(|| format!("kcat printed {line:?}"));
    Ok(Placed {
        partition: word()?.parse()?,
        offset: word()?.parse()?,
        value: word()?.parse().map_err(anyhow::Error::msg)?,
    })
}
