//! Promise: Kafka's DumpLogSegments finds nothing to complain about in any file this broker wrote.
//!
//! Logs of every codec over several segments, with idempotent producers, deleted records, a kill and a restart;
//! their offset and time indexes and producer snapshots; the offsets topic through Kafka's own decoder.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;
mod terminal;

use std::path::{Path, PathBuf};

use foreign::toolbox::Toolbox;
use support::Broker;
use terminal::{produce, run};

const DUMP: &str = "org.apache.kafka.tools.DumpLogSegments";

/// What DumpLogSegments says when something is wrong (`DumpLogSegments.java`).
const COMPLAINTS: [&str; 9] = [
    "isvalid: false",
    "Mismatches in",
    " is followed by ",
    "Found timestamp mismatch",
    "out of order timestamp",
    "Index sanity check failed",
    "not properly closed",
    "Exception",
    "Found invalid messages",
];

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("__cluster_metadata-0") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(",")
}

/// The tool of 4.3.1 takes the first offset of every file but the first for a gap after offset -1, whoever wrote
/// it: `dumpBatchRecords` compares with an initial -1. That line alone is no complaint.
fn is_complaint(line: &str) -> bool {
    COMPLAINTS.iter().any(|complaint| line.contains(complaint))
        && !line.trim_start().starts_with("-1 is followed by ")
}

fn without_complaint(what: &str, printed: &str) {
    let mut from_complaint = printed.lines().skip_while(|line| !is_complaint(line)).peekable();
    if from_complaint.peek().is_some() {
        panic!("{what}:\n{}", from_complaint.take(8).collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn dump_log_segments_has_nothing_to_complain_about() {
    let mut broker = Broker::start(&["group.initial.rebalance.delay.ms=0", "log.segment.bytes=1048576"]);
    let Some(mut tools) = Toolbox::open("dump_log_segments_has_nothing_to_complain_about", &broker) else {
        return;
    };
    let lines: String =
        (0..30_000).map(|n| format!("key {}:value {n} {}\n", n % 100, "x".repeat(n % 150))).collect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        run(&broker, &format!("topic create {codec} -p 2"));
        produce(&broker, &format!("produce {codec} -k : -z {codec}"), &lines);
        run(&broker, &format!("consume {codec} -g readers-of-{codec} -e"));
    }
    broker.kill();
    broker.start_again();
    produce(&broker, "produce none -k :", &lines);
    run(&broker, "group delete readers-of-gzip");
    assert!(broker.stop().success());

    let data = broker.data_dir();
    let (offsets, logs): (Vec<_>, Vec<_>) = files(&data, "log")
        .into_iter()
        .partition(|file| file.to_string_lossy().contains("__consumer_offsets"));
    assert!(logs.len() > 12, "too few segments to prove anything: {logs:?}");
    let dumped = tools.ok(&format!("{DUMP} --deep-iteration --print-data-log --files {}", list(&logs)));
    without_complaint("logs", &dumped);
    let records = dumped.lines().filter(|line| line.contains("payload: value ")).count();
    assert_eq!(records, 6 * 30_000, "records that Kafka reads");
    assert!(dumped.contains("producerId: 0 producerEpoch: 0"), "no batch of an idempotent producer");

    for (extension, what) in [("index", "offset indexes"), ("timeindex", "time indexes")] {
        let indexes = files(&data, extension);
        assert!(indexes.len() >= logs.len(), "{what}: {} of {} segments have one", indexes.len(), logs.len());
        without_complaint(
            what,
            &tools.ok(&format!("{DUMP} --index-sanity-check --files {}", list(&indexes))),
        );
        without_complaint(what, &tools.ok(&format!("{DUMP} --verify-index-only --files {}", list(&indexes))));
    }

    let snapshots = files(&data, "snapshot");
    assert!(!snapshots.is_empty(), "no producer snapshot was written");
    let dumped = tools.ok(&format!("{DUMP} --files {}", list(&snapshots)));
    without_complaint("snapshots", &dumped);
    assert!(dumped.contains("producerId: 0"), "{dumped}");

    let dumped = tools.ok(&format!("{DUMP} --deep-iteration --offsets-decoder --files {}", list(&offsets)));
    without_complaint("offsets topic", &dumped);
    for codec in ["none", "snappy", "lz4", "zstd"] {
        assert!(
            dumped.contains(&format!("\"group\":\"readers-of-{codec}\",\"topic\":\"{codec}\"")),
            "no bookmark for {codec}"
        );
    }
    println!(
        "{} segments, {} snapshots, {records} records: no complaint",
        logs.len() + offsets.len(),
        snapshots.len()
    );
}
