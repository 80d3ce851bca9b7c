//! Promise: Kafka's own `DumpLogSegments` reads every file that a working broker left behind, without complaint.
//!
//! Stock clients produce with every codec over rolls, an idempotent producer among them, and a group commits; the
//! broker is killed, started again and stopped. Then the tool reads every log, index, time index and producer
//! snapshot of the data directory, `__consumer_offsets` with its own decoder and `__cluster_metadata` with
//! its own, and what it prints must hold what the clients wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::foreign;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const LINES_PER_CODEC: usize = 20_000;
/// What the tool prints when it does not like a file; none of it may appear.
const COMPLAINTS: [&str; 8] = [
    "mismatch",
    "Mismatch",
    "out of order",
    "Exception",
    "isvalid: false",
    "corrupt",
    "invalid bytes",
    "Could not",
];

fn produce(bootstrap: &str, dir: &Path) -> anyhow::Result<()> {
    for codec in CODECS {
        let lines = dir.join(codec);
        let text: String =
            (0..LINES_PER_CODEC).map(|n| format!("{codec}-{n}-{}\n", "x".repeat(60))).collect();
        std::fs::write(&lines, text)?;
        let status = Command::new("kcat")
            .args([
                "-P",
                "-b",
                bootstrap,
                "-t",
                "dump",
                "-p",
                "0",
                "-z",
                codec,
                "-X",
                "enable.idempotence=true",
                "-l",
            ])
            .arg(&lines)
            .status()?;
        ensure!(status.success(), "kcat with {codec}: {status}");
    }
    Ok(())
}

/// A group reads everything and commits where it stands.
fn consume_in_group(bootstrap: &str) -> anyhow::Result<()> {
    let count = (CODECS.len() * LINES_PER_CODEC).to_string();
    let status = Command::new("kcat")
        .args([
            "-b",
            bootstrap,
            "-G",
            "readers",
            "-c",
            &count,
            "-q",
            "-X",
            "auto.offset.reset=earliest",
            "dump",
        ])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "kcat in a group: {status}");
    Ok(())
}

/// Files of the data directory whose names end so, grouped by nothing: the tool takes them all at once.
fn files(
    data_dir: &Path,
    partition: impl Fn(&str) -> bool,
    suffixes: &[&str],
) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(data_dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || !partition(&entry.file_name().to_string_lossy()) {
            continue;
        }
        for file in std::fs::read_dir(entry.path())? {
            let path = file?.path();
            let is_wanted = path.extension().is_some_and(|end| suffixes.iter().any(|suffix| end == *suffix));
            if is_wanted && path.metadata()?.len() > 0 {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn dump(libs: &Path, files: &[PathBuf], options: &[&str]) -> anyhow::Result<String> {
    ensure!(!files.is_empty(), "there is nothing to dump for {options:?}");
    let list: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let output = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", &format!("{}/*", libs.display())])
        .args(["org.apache.kafka.tools.DumpLogSegments", "--deep-iteration"])
        .args(options)
        .args(["--files", &list.join(",")])
        .output()
        .context("cannot run java")?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "DumpLogSegments {options:?}: {text}");
    for complaint in COMPLAINTS {
        let at = text.lines().position(|line| line.contains(complaint));
        let lines: Vec<_> = text.lines().skip(at.unwrap_or(0)).take(4).collect();
        ensure!(at.is_none(), "DumpLogSegments {options:?} complains: {lines:#?}");
    }
    // The tool holds -1 for the offset before any file, so it finds a gap at the start of each that is not the first.
    let gap =
        text.lines().find(|line| line.contains(" is followed by ") && !line.contains("-1 is followed by "));
    ensure!(gap.is_none(), "DumpLogSegments {options:?} found a gap: {gap:?}");
    Ok(text)
}

#[test]
fn dump_log_segments_finds_no_complaint_in_any_file() -> anyhow::Result<()> {
    if foreign::skip_without(
        "dump_broker_files",
        &[foreign::KCAT, foreign::KAFKA_JARS, foreign::PYTHON_WITH_LIBRDKAFKA],
    ) {
        return Ok(());
    }
    let libs = foreign::kafka_libs().context("the probe saw the jars")?;
    let dir = tempfile::tempdir()?;
    let mut broker =
        Broker::start(dir.path(), &["log.segment.bytes=1048576", "log.index.interval.bytes=1024"])?;
    foreign::create_topic(&broker.bootstrap(), "dump", 1)?;
    produce(&broker.bootstrap(), dir.path())?;
    consume_in_group(&broker.bootstrap())?;
    broker.kill()?;
    broker.spawn()?;
    produce(&broker.bootstrap(), dir.path())?;
    broker.stop()?;

    let data = broker.data_dir();
    let logs = files(&data, |name| name == "dump-0", &["log"])?;
    ensure!(logs.len() > 2, "the log never rolled: {logs:?}");
    let text = dump(&libs, &logs, &["--print-data-log"])?;
    let payloads: BTreeSet<_> =
        text.lines().filter_map(|line| line.split_once("payload: ")).map(|(_, p)| p).collect();
    ensure!(
        payloads.len() == CODECS.len() * LINES_PER_CODEC,
        "{} different payloads came back",
        payloads.len()
    );
    for codec in CODECS {
        ensure!(text.contains(&format!("compresscodec: {codec}")), "no batch with {codec}");
    }
    dump(&libs, &files(&data, |name| name == "dump-0", &["index", "timeindex"])?, &["--index-sanity-check"])?;
    dump(&libs, &files(&data, |name| name == "dump-0", &["index", "timeindex"])?, &[])?;
    let text = dump(&libs, &files(&data, |name| name == "dump-0", &["snapshot"])?, &[])?;
    ensure!(text.contains("producerId:"), "no producer in any snapshot: {text}");

    let offsets = files(&data, |name| name.starts_with("__consumer_offsets-"), &["log"])?;
    let text = dump(&libs, &offsets, &["--offsets-decoder"])?;
    ensure!(text.contains("\"group\":\"readers\""), "the group's commits are not in the log: {text}");
    ensure!(text.contains("\"offset\":100000"), "the last commit is not at the end: {text}");

    let metadata = files(&data, |name| name == "__cluster_metadata-0", &["log"])?;
    let text = dump(&libs, &metadata, &["--cluster-metadata-decoder"])?;
    ensure!(text.contains("TOPIC_RECORD") && text.contains("\"name\":\"dump\""), "no topic record: {text}");
    println!(
        "{} log files of the topic, {} of __consumer_offsets, {} of metadata",
        logs.len(),
        offsets.len(),
        metadata.len()
    );
    Ok(())
}
