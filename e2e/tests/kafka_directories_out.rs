//! Promise: `logspine export-kafka` gives Kafka its partitions back with all that was written meanwhile, and stock
//! clients go on there.
//!
//! Kafka writes, we take over, clients write more (all codecs, idempotent, several segments, headers, null keys) and
//! commit, over three starts of ours and a kill; then Kafka gets its directories back. Contents, offsets, ids, settings
//! and bookmarks are told by the same client before and after. A Java group that read half of a topic from us, leader
//! epochs and all, reads the other half from Kafka.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::foreign::{self, kafka_directories};
use logspine_e2e::kafka::{self, Kafka, differences, java, show_planted_faults};

fn logspine(arguments: &[&std::ffi::OsStr]) -> anyhow::Result<String> {
    let binary = std::env::var_os("LOGSPINE_BIN").context("LOGSPINE_BIN names no broker")?;
    let output = Command::new(binary).args(arguments).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// Kafka's own console consumer in a group; how many records it read.
fn read_in_java_group(bootstrap: &str, count: usize) -> anyhow::Result<usize> {
    let mut consumer = java()?;
    consumer.arg("org.apache.kafka.tools.consumer.ConsoleConsumer").args(["--bootstrap-server", bootstrap]);
    consumer.args(["--topic", "codec-lz4", "--group", "java-readers", "--timeout-ms", "20000"]);
    consumer.args(["--max-messages", &count.to_string()]);
    consumer.args([
        "--command-property",
        "auto.offset.reset=earliest",
        "--command-property",
        "max.poll.records=50",
    ]);
    let output = consumer.output()?;
    ensure!(output.status.success(), "console consumer: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().filter(|line| line.starts_with("codec-lz4 ")).count())
}

#[test]
fn kafka_serves_what_we_wrote_behind_its_own_records() -> anyhow::Result<()> {
    if foreign::skip_without("kafka_directories_out", &[foreign::KAFKA_JARS, foreign::PYTHON_WITH_LIBRDKAFKA])
    {
        return Ok(());
    }
    let began = Instant::now();
    let dir = tempfile::tempdir()?;
    let mut kafka = Kafka::format(&dir.path().join("kafka"))?;
    kafka.start()?;
    kafka_directories(&kafka.bootstrap(), &["write"])?;
    kafka.stop()?;
    let [first, second] = kafka.log_dirs();
    let data = dir.path().join("data");
    let both = |task: &'static str| {
        [task.as_ref(), first.as_os_str(), second.as_os_str(), "--data-dir".as_ref(), data.as_os_str()]
    };
    logspine(&both("import-kafka"))?;

    let mut broker = Broker::start(dir.path(), &[&format!("node.id={}", kafka::NODE_ID)])?;
    kafka_directories(&broker.bootstrap(), &["write-more"])?;
    broker.kill()?;
    broker.spawn()?;
    let half = read_in_java_group(&broker.bootstrap(), 400)?;
    ensure!(half == 400, "{half} of 400 records read from us");
    broker.stop()?;
    broker.spawn()?;
    let ours = kafka_directories(&broker.bootstrap(), &["tell"])?;
    show_planted_faults(&ours)?;
    broker.stop()?;

    let printed = logspine(&both("export-kafka"))?;
    ensure!(printed.contains("12 topics given back"), "{printed}");
    kafka.start()?;
    let theirs = kafka_directories(&kafka.bootstrap(), &["tell"])?;
    let seen = differences(&ours, &theirs);
    ensure!(seen.is_empty(), "{seen:#?}");
    let rest = read_in_java_group(&kafka.bootstrap(), 600)?;
    ensure!(rest == 600, "{rest} of the other 600 records read from Kafka");
    kafka_directories(&kafka.bootstrap(), &["commit", "readers", "codec-zstd", "1", "250"])?;
    let log = kafka.log();
    let complaint = log.lines().find(|line| line.contains(" ERROR ") || line.contains("orrupt"));
    ensure!(complaint.is_none(), "Kafka complains: {complaint:?}");
    kafka.stop()?;
    println!("FIGURE facts compared between us and Kafka: {}", theirs.len());
    println!("FIGURE seconds of an export test with two starts of Kafka: {}", began.elapsed().as_secs());
    Ok(())
}
