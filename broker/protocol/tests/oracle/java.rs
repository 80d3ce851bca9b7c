//! Kafka's own classes, behind `e2e/oracles/java` and a Java process.
//!
//! Needs `LOGSPINE_KAFKA_LIBS` (a folder with the jars of Kafka 4.3.1), `javac` and `java`. What is missing is
//! named; under `CI=true` that is a failure.

use super::codecs::Codec;
use super::frames::{self, Frame};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiled oracle.
pub struct Java {
    class_path: String,
    folder: PathBuf,
}

impl Java {
    /// Compiles the oracle into a folder of the test's own; `None` if something is missing.
    pub fn start(test: &str) -> Option<Java> {
        match Java::try_start(test) {
            Ok(java) => Some(java),
            Err(reason) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
                panic!("SKIPPED {test}: {reason}")
            }
            Err(reason) => {
                println!("SKIPPED {test}: {reason}");
                None
            }
        }
    }

    fn try_start(test: &str) -> Result<Java, String> {
        let libs =
            std::env::var("LOGSPINE_KAFKA_LIBS").map_err(|_| "LOGSPINE_KAFKA_LIBS is not set".to_owned())?;
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kafka_oracle").join(test);
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/oracles/java");
        let entries = std::fs::read_dir(&sources).map_err(|e| format!("{}: {e}", sources.display()))?;
        let sources =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some());
        let jars = format!("{libs}/*");
        let mut javac = Command::new("javac");
        javac.args(["-nowarn", "-cp", &jars, "-d"]).arg(&folder).args(sources);
        let output = javac.output().map_err(|e| format!("javac does not start: {e}"))?;
        if !output.status.success() {
            return Err(format!("javac refuses the oracle: {}", String::from_utf8_lossy(&output.stderr)));
        }
        Ok(Java { class_path: format!("{jars}:{}", folder.display()), folder })
    }

    fn run(&self, args: &[&str]) -> String {
        let mut java = Command::new("java");
        java.args(["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", &self.class_path, "CodecOracle"])
            .args(args);
        let output = java.output().expect("java starts where javac did");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "the oracle fails: {errors}");
        let complaints = errors.lines().filter(|line| line.starts_with("Kafka cannot"));
        complaints.take(10).for_each(|line| println!("{line}"));
        String::from_utf8(output.stdout).expect("the oracle prints UTF-8")
    }

    /// Kafka's tables, one row a line.
    pub fn tables(&self) -> Vec<Vec<String>> {
        let rows = self.run(&["tables"]);
        rows.lines().map(|row| row.split(' ').map(str::to_owned).collect()).collect()
    }

    /// `count` messages of every schema and version, written by Kafka.
    pub fn write(&self, codecs: &BTreeMap<String, Codec>, seed: u64, count: usize) -> Vec<Frame> {
        let (schemas, out) = (self.schemas(codecs), self.folder.join("written"));
        self.run(&["write", &schemas, &path(&out), &(seed as i64).to_string(), &count.to_string()]);
        frames::read(&std::fs::read(out).expect("the oracle wrote it"))
    }

    /// The same messages, read and written again by Kafka.
    pub fn recode(&self, codecs: &BTreeMap<String, Codec>, messages: &[Frame]) -> Vec<Frame> {
        let (input, out) = (self.folder.join("ours"), self.folder.join("recoded"));
        std::fs::write(&input, frames::write(messages)).expect("the folder is ours");
        self.run(&["recode", &self.schemas(codecs), &path(&input), &path(&out)]);
        frames::read(&std::fs::read(out).expect("the oracle wrote it"))
    }

    fn schemas(&self, codecs: &BTreeMap<String, Codec>) -> String {
        let file = self.folder.join("schemas");
        let lines: String = codecs.keys().map(|name| format!("{name} {}\n", class_of(name))).collect();
        std::fs::write(&file, lines).expect("the folder is ours");
        path(&file)
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Kafka's class for a schema.
fn class_of(name: &str) -> String {
    let (folder, schema) = name.split_once('/').expect("a name has a folder");
    let is_api = schema.ends_with("Request") || schema.ends_with("Response");
    match folder {
        "messages" if is_api => format!("org.apache.kafka.common.message.{schema}Data"),
        "messages" => format!("org.apache.kafka.common.message.{schema}"),
        "group" => format!("org.apache.kafka.coordinator.group.generated.{schema}"),
        "transaction" => format!("org.apache.kafka.coordinator.transaction.generated.{schema}"),
        "metadata" => format!("org.apache.kafka.common.metadata.{schema}"),
        "storage" => format!("org.apache.kafka.server.log.remote.metadata.storage.generated.{schema}"),
        other => panic!("no Java package is known for {other}"),
    }
}
