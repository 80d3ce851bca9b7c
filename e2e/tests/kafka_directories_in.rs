//! Promise: `logspine import-kafka` serves what a stopped Apache Kafka wrote, record by record, and refuses the rest.
//!
//! Kafka's directories hold every codec, a compacted topic with gaps, idempotent and transactional producers with
//! commits, aborts and one transaction left open, a trimmed log, and groups. What both clusters serve is told by the
//! same stock client under both isolation levels, with ids, settings and committed offsets, and compared line by line.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::foreign::{self, kafka_directories};
use logspine_e2e::kafka::{self, Kafka, differences, show_planted_faults};
use logspine_e2e::untouched::Untouched;
use serde_json::Value;

fn import(dirs: &[PathBuf], target: &Path, options: &[&str]) -> anyhow::Result<Output> {
    let binary = std::env::var_os("LOGSPINE_BIN").context("LOGSPINE_BIN names no broker")?;
    let mut command = Command::new(binary);
    command.arg("import-kafka").args(dirs).arg("--data-dir").arg(target).args(options);
    Ok(command.output()?)
}

/// Runs an import that must be refused; its sentence.
fn refused(dirs: &[PathBuf], target: &Path, options: &[&str]) -> anyhow::Result<String> {
    let output = import(dirs, target, options)?;
    let sentence = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1), "not refused: {sentence}");
    ensure!(sentence.starts_with("error: ") && sentence.trim_end().lines().count() == 1, "{sentence}");
    Ok(sentence)
}

fn imported(dirs: &[PathBuf], target: &Path, options: &[&str]) -> anyhow::Result<Value> {
    let output = import(dirs, target, &[options, &["-o", "json"]].concat())?;
    ensure!(output.status.success(), "import: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn serve(dir: &Path) -> anyhow::Result<Broker> {
    Broker::start(dir, &[&format!("node.id={}", kafka::NODE_ID)])
}

#[test]
fn what_kafka_wrote_is_served_as_kafka_served_it() -> anyhow::Result<()> {
    if foreign::skip_without("kafka_directories_in", &[foreign::KAFKA_JARS, foreign::PYTHON_WITH_LIBRDKAFKA])
    {
        return Ok(());
    }
    let began = Instant::now();
    let dir = tempfile::tempdir()?;
    let mut kafka = Kafka::format(&dir.path().join("kafka"))?;
    kafka.start()?;
    kafka_directories(&kafka.bootstrap(), &["write"])?;
    let theirs = kafka_directories(&kafka.bootstrap(), &["tell"])?;
    show_planted_faults(&theirs)?;
    let dirs = kafka.log_dirs();

    let target = dir.path().join("linked/data");
    let sentence = refused(&dirs, &target, &[])?;
    ensure!(sentence.contains("a Kafka broker runs on it"), "{sentence}");
    kafka.stop()?;
    let sentence = refused(&dirs[..1], &target, &[])?;
    ensure!(sentence.contains("a log directory") && sentence.contains("was not named"), "{sentence}");
    let sentence = refused(&dirs, &target, &["--exclude-topic", "nowhere"])?;
    ensure!(sentence.contains("no topic nowhere"), "{sentence}");
    let sentence = refused(&dirs, &dirs[0].join("inside"), &[])?;
    ensure!(sentence.contains("lies within"), "{sentence}");

    let theirs_before = Untouched::note(&dirs)?;
    let report = imported(&dirs, &target, &[])?;
    ensure!(report["groups"] == 2 && report["committedOffsets"] == 3, "{report}");
    let hangs = report["notes"].to_string();
    ensure!(hangs.contains("hanging-0: a transaction of producer") && hangs.contains("offset 10"), "{hangs}");
    let sentence = refused(&dirs, &target, &[])?;
    ensure!(sentence.contains("is not empty"), "{sentence}");
    let mut broker = serve(&dir.path().join("linked"))?;
    let ours = kafka_directories(&broker.bootstrap(), &["tell"])?;
    let seen = differences(&theirs, &ours);
    ensure!(seen.is_empty(), "{seen:#?}");
    kafka_directories(&broker.bootstrap(), &["write-more"])?;
    broker.kill()?;
    broker.spawn()?;
    broker.stop()?;
    theirs_before.check().context("after the import, and after writing behind it")?;

    let target = dir.path().join("aborted/data");
    std::fs::create_dir_all(&target)?;
    std::fs::write(target.join("import-kafka.unfinished"), "copy")?;
    std::fs::create_dir(target.join("orders-0"))?;
    let start = serve(&dir.path().join("aborted")).map(|_| ()).expect_err("the import did not finish");
    ensure!(start.to_string().contains("did not finish"), "{start}");
    let report = imported(&dirs, &target, &["--copy", "--abort-open-transactions"])?;
    ensure!(report["notes"].to_string().contains("was aborted"), "{report}");
    ensure!(!target.join("orders-0").exists(), "what the unfinished import left is still there");
    let mut broker = serve(&dir.path().join("aborted"))?;
    let ours = kafka_directories(&broker.bootstrap(), &["tell"])?;
    let seen = differences(&theirs, &ours);
    let committed =
        ours.iter().filter(|line| line.contains("\"hanging\"") && line.contains("read_committed"));
    // Twenty records of no transaction, and where the log begins and ends.
    ensure!(
        committed.count() == 21,
        "read_committed does not go on behind the aborted transaction: {seen:#?}"
    );
    ensure!(seen.iter().all(|line| line.contains("\"hanging\"")), "{seen:#?}");
    broker.stop()?;
    println!("FIGURE facts compared between Kafka and us: {}", theirs.len());
    println!("FIGURE seconds of an import test with one Kafka: {}", began.elapsed().as_secs());
    Ok(())
}
