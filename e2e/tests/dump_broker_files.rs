//! Promise: Kafka's own `DumpLogSegments` reads every file that a working broker left behind, without complaint.
//!
//! Stock clients produce keyed records with every codec over rolls, idempotently, and a group per codec commits; one
//! group is deleted; the broker is killed, started again and stopped. Then the tool reads every log, index, time index
//! and producer snapshot, `__consumer_offsets` and `__cluster_metadata` with their own decoders, and what it prints
//! must hold what the clients wrote. `.txnindex` files: broker/storage/tests/dump_log_segments.rs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::dump::{dump, files, is_complaint};
use logspine_e2e::foreign;

const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const LINES_PER_CODEC: usize = 20_000;
/// How often each line is written: before the kill and after it.
const ROUNDS: usize = 2;
fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{program} {arguments:?}: {status}");
    Ok(())
}

fn produce(bootstrap: &str, dir: &Path) -> anyhow::Result<()> {
    for codec in CODECS {
        let lines = dir.join(codec);
        let text: String = (0..LINES_PER_CODEC)
            .map(|n| format!("key {}:{codec}-{n}-{}\n", n % 100, "x".repeat(60)))
            .collect();
        std::fs::write(&lines, text)?;
        let lines = lines.to_str().context("a name in UTF-8")?;
        let idempotent = ["-X", "enable.idempotence=true", "-K", ":", "-l", lines];
        run(
            "kcat",
            &[&["-P", "-b", bootstrap, "-t", "dump", "-p", "0", "-z", codec], &idempotent[..]].concat(),
        )?;
    }
    Ok(())
}

/// A group for each codec reads so many records and commits where it stands; one of them is deleted.
fn consume_in_groups(bootstrap: &str) -> anyhow::Result<()> {
    let everything = (CODECS.len() * LINES_PER_CODEC).to_string();
    for codec in CODECS {
        let (group, count) =
            (format!("readers-of-{codec}"), if codec == "zstd" { &*everything } else { "500" });
        let from_the_start = ["-q", "-X", "auto.offset.reset=earliest", "dump"];
        run("kcat", &[&["-b", bootstrap, "-G", &group, "-c", count], &from_the_start[..]].concat())?;
    }
    let logspine = std::env::var("LOGSPINE_BIN").context("LOGSPINE_BIN names no broker")?;
    run(&logspine, &["group", "delete", "readers-of-gzip", "-b", bootstrap])
}

fn check_topic(libs: &Path, data: &Path) -> anyhow::Result<()> {
    let of_topic = |suffixes: &[&str]| files(data, |name| name == "dump-0", suffixes);
    let logs = of_topic(&["log"])?;
    ensure!(logs.len() > 2, "the log never rolled: {logs:?}");
    let text = dump(libs, &logs, &["--print-data-log"])?;
    let payloads: Vec<_> =
        text.lines().filter_map(|line| line.split_once("payload: ")).map(|(_, payload)| payload).collect();
    let different: BTreeSet<_> = payloads.iter().collect();
    let lines = CODECS.len() * LINES_PER_CODEC;
    ensure!(different.len() == lines, "{} different payloads came back", different.len());
    ensure!(payloads.len() == ROUNDS * lines, "{} records came back", payloads.len());
    for codec in CODECS {
        ensure!(text.contains(&format!("compresscodec: {codec}")), "no batch with {codec}");
    }
    ensure!(text.contains("producerId: 0 producerEpoch: 0"), "no batch of an idempotent producer");
    for suffix in ["index", "timeindex"] {
        let indexes = of_topic(&[suffix])?;
        let (count, of) = (indexes.len(), logs.len());
        ensure!(count >= of, "{count} of {of} segments have a {suffix}");
        dump(libs, &indexes, &["--index-sanity-check"])?;
        dump(libs, &indexes, &["--verify-index-only"])?;
    }
    let text = dump(libs, &of_topic(&["snapshot"])?, &[])?;
    ensure!(text.contains("producerId: 0"), "no producer in any snapshot: {text}");
    Ok(())
}

fn check_internal_topics(libs: &Path, data: &Path) -> anyhow::Result<()> {
    let offsets = files(data, |name| name.starts_with("__consumer_offsets-"), &["log"])?;
    let text = dump(libs, &offsets, &["--offsets-decoder"])?;
    for codec in ["none", "snappy", "lz4", "zstd"] {
        let group = format!("\"group\":\"readers-of-{codec}\",\"topic\":\"dump\"");
        ensure!(text.contains(&group), "no bookmark of the readers of {codec}");
    }
    ensure!(text.contains("\"offset\":100000"), "the last commit is not at the end: {text}");
    let metadata = files(data, |name| name == "__cluster_metadata-0", &["log"])?;
    let text = dump(libs, &metadata, &["--cluster-metadata-decoder"])?;
    ensure!(text.contains("TOPIC_RECORD") && text.contains("\"name\":\"dump\""), "no topic record: {text}");
    Ok(())
}

#[test]
fn dump_log_segments_finds_no_complaint_in_any_file() -> anyhow::Result<()> {
    let tools = [foreign::KCAT, foreign::KAFKA_JARS, foreign::PYTHON_WITH_LIBRDKAFKA];
    if foreign::skip_without("dump_broker_files", &tools) {
        return Ok(());
    }
    let planted = "Found timestamp mismatch in :/data/dump-0/00000000000000000000.timeindex";
    ensure!(is_complaint(planted) && !is_complaint("  -1 is followed by 112"), "the judge of lines is wrong");
    let libs = foreign::kafka_libs().context("the probe saw the jars")?;
    let dir = tempfile::tempdir()?;
    let settings =
        ["log.segment.bytes=1048576", "log.index.interval.bytes=1024", "group.initial.rebalance.delay.ms=0"];
    let mut broker = Broker::start(dir.path(), &settings)?;
    foreign::create_topic(&broker.bootstrap(), "dump", 1)?;
    produce(&broker.bootstrap(), dir.path())?;
    consume_in_groups(&broker.bootstrap())?;
    broker.kill()?;
    broker.spawn()?;
    produce(&broker.bootstrap(), dir.path())?;
    broker.stop()?;
    check_topic(&libs, &broker.data_dir())?;
    check_internal_topics(&libs, &broker.data_dir())
}
