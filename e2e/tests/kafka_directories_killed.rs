//! Promise: the directories of an Apache Kafka that was killed are taken over whole, however often the import itself is
//! killed, and an idempotent producer that wrote to Kafka goes on with us: nothing is lost, nothing comes twice.
//!
//! Kafka is killed under load, and its logs get the torn tails that a power cut would leave. Imports are killed at
//! several points; each leaves Kafka's directories as they were and a target on which no broker starts. What Kafka
//! served is served; then more is written, compacted, killed and stopped, and Kafka's own `DumpLogSegments` reads every
//! file of it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::dump::{dump, files};
use logspine_e2e::foreign::{self, kafka_directories};
use logspine_e2e::kafka::{self, Kafka, differences};
use logspine_e2e::untouched::Untouched;
use serde_json::Value;

/// The topic of the producer that goes on, and how many records it writes in all.
const TOPIC: &str = "go-on";
const RECORDS: usize = 6_000;
/// Acknowledged by Kafka before it is killed.
const BEFORE_THE_KILL: usize = 300;
/// An import is killed when so many partitions have begun to come over.
const KILLED_AT: [usize; 3] = [1, 8, 20];
const PATIENCE: Duration = Duration::from_secs(30);

fn importing(dirs: &[PathBuf], target: &Path, options: &[&str]) -> anyhow::Result<Child> {
    let binary = std::env::var_os("LOGSPINE_BIN").context("LOGSPINE_BIN names no broker")?;
    let mut command = Command::new(binary);
    command.arg("import-kafka").args(dirs).arg("--data-dir").arg(target).args(options);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Lets an import come to its end; its report.
fn imported(dirs: &[PathBuf], target: &Path, options: &[&str]) -> anyhow::Result<Value> {
    let output = importing(dirs, target, &[options, &["-o", "json"]].concat())?.wait_with_output()?;
    ensure!(output.status.success(), "import: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Kills an import when `partitions` have begun to come over; an error if it was faster.
fn killed_import(dirs: &[PathBuf], target: &Path, options: &[&str], partitions: usize) -> anyhow::Result<()> {
    let (before, left) = (directories(target), target.join("left-by-the-last-import"));
    if target.exists() {
        std::fs::write(&left, "")?;
    }
    let mut import = importing(dirs, target, options)?;
    let began = Instant::now();
    // What an earlier import left is cleared away first, unless it was moved.
    let kept = if options.contains(&"--move") { before } else { 0 };
    while left.exists() || directories(target) < kept + partitions {
        ensure!(
            import.try_wait()?.is_none(),
            "the import was over before {partitions} partitions were begun"
        );
        ensure!(began.elapsed() < PATIENCE, "the import stands still");
        std::thread::yield_now(); // Polls the process outside; nothing inside waits on it.
    }
    import.kill()?;
    import.wait()?;
    ensure!(target.join("import-kafka.unfinished").exists(), "the import finished before it was killed");
    Ok(())
}

fn directories(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().is_dir()).count()
}

/// The last segment of a partition, wherever it lies.
fn active_segment(dirs: &[PathBuf], partition: &str) -> anyhow::Result<PathBuf> {
    let logs: Vec<_> = dirs
        .iter()
        .map(|dir| files(dir, |name| name == partition, &["log"]))
        .collect::<anyhow::Result<Vec<_>>>()?
        .concat();
    logs.last().cloned().with_context(|| format!("no segment of {partition}"))
}

/// What a power cut may leave: the head of a batch whose rest never reached the disk. Returns its size.
fn tear(dirs: &[PathBuf], partition: &str) -> anyhow::Result<u64> {
    let path = active_segment(dirs, partition)?;
    let whole = std::fs::read(&path)?;
    let torn = &whole[..whole.len().min(70)];
    std::fs::OpenOptions::new().append(true).open(&path)?.write_all(torn)?;
    Ok(torn.len() as u64)
}

fn copy_all(from: &[PathBuf], to: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(to)?;
    let copied = Command::new("cp").arg("-a").args(from).arg(to).status()?;
    ensure!(copied.success(), "cp: {copied}");
    Ok(from.iter().map(|dir| to.join(dir.file_name().unwrap_or_default())).collect())
}

/// The producer that lives longer than Kafka.
struct GoesOn {
    process: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl GoesOn {
    fn start(bootstrap: &str) -> anyhow::Result<GoesOn> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/kafka_directories.py");
        let mut command = Command::new(foreign::python());
        command.arg(program).args([bootstrap, "go-on", TOPIC, &RECORDS.to_string()]);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let lines = BufReader::new(process.stdout.take().context("a pipe")?).lines();
        Ok(GoesOn { process, lines })
    }

    /// Reads along until so many are acknowledged.
    fn until(&mut self, acknowledged: usize) -> anyhow::Result<usize> {
        for line in self.lines.by_ref() {
            let line = line?;
            let count = line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
            if count >= acknowledged {
                return Ok(count);
            }
        }
        bail!("the producer ended before {acknowledged} were acknowledged")
    }
}

impl Drop for GoesOn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is told of all topics but the one that is still written.
fn tell(bootstrap: &str) -> anyhow::Result<Vec<String>> {
    let mut facts = kafka_directories(bootstrap, &["tell"])?;
    facts.retain(|fact| !fact.contains(&format!("\"{TOPIC}\"")));
    Ok(facts)
}

/// Waits until a checkpoint of one of the directories names a partition.
fn await_checkpoint(dirs: &[PathBuf], name: &str, entry: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    let has_it = |dir: &PathBuf| {
        std::fs::read_to_string(dir.join(name)).unwrap_or_default().contains(&format!("\n{entry} "))
    };
    while !dirs.iter().any(has_it) {
        ensure!(began.elapsed() < PATIENCE, "no {name} names {entry}");
        std::thread::sleep(Duration::from_millis(50)); // Polls the process outside; nothing inside waits on it.
    }
    Ok(())
}

/// Kafka's tool reads every file that we have written, or written on.
fn dump_everything(data_dir: &Path) -> anyhow::Result<()> {
    let libs = foreign::kafka_libs().context("the probe saw the jars")?;
    let is_topic = |name: &str| !name.starts_with("__") && !name.contains(".unreadable-");
    for (suffixes, options) in [
        (&["log"][..], &[][..]),
        (&["index", "timeindex"], &["--index-sanity-check"]),
        (&["txnindex", "snapshot"], &[]),
    ] {
        dump(&libs, &files(data_dir, is_topic, suffixes)?, options)?;
    }
    let text = dump(
        &libs,
        &files(data_dir, |name| name.starts_with("__consumer_offsets-"), &["log"])?,
        &["--offsets-decoder"],
    )?;
    ensure!(text.contains("\"group\":\"later-readers\""), "the bookmark that was set here is not there");
    Ok(())
}

/// What Kafka served is served; then more is written, compacted, killed, stopped, and read by Kafka's tool.
fn serve_and_write(
    dir: &Path,
    settings: &[&str],
    bootstrap: &str,
    theirs: &[String],
    producer: &mut GoesOn,
) -> anyhow::Result<()> {
    let mut broker = Broker::start(dir, settings)?;
    let seen = differences(theirs, &tell(bootstrap)?);
    ensure!(seen.is_empty(), "{seen:#?}");
    producer.until(RECORDS)?;
    kafka_directories(bootstrap, &["once", TOPIC, &RECORDS.to_string()])?;
    kafka_directories(bootstrap, &["write-more"])?;
    await_checkpoint(&[dir.join("data")], "cleaner-offset-checkpoint", "compacted 0")?;
    broker.kill()?;
    broker.spawn()?;
    kafka_directories(bootstrap, &["once", TOPIC, &RECORDS.to_string()])?;
    broker.stop()?;
    dump_everything(&dir.join("data"))
}

#[test]
fn a_killed_kafka_is_taken_over_and_its_producer_goes_on() -> anyhow::Result<()> {
    let tools = [foreign::KAFKA_JARS, foreign::PYTHON_WITH_LIBRDKAFKA];
    if foreign::skip_without("kafka_directories_killed", &tools) {
        return Ok(());
    }
    let began = Instant::now();
    let dir = tempfile::tempdir()?;
    let mut kafka = Kafka::format(&dir.path().join("kafka"))?;
    kafka.start()?;
    kafka_directories(&kafka.bootstrap(), &["write"])?;
    let theirs = tell(&kafka.bootstrap())?;
    foreign::create_topic(&kafka.bootstrap(), TOPIC, 2)?;
    await_checkpoint(&kafka.log_dirs(), "log-start-offset-checkpoint", "trimmed 0")?;
    let mut producer = GoesOn::start(&kafka.bootstrap())?;
    let by_kafka = producer.until(BEFORE_THE_KILL)?;
    kafka.kill()?;
    let dirs = kafka.log_dirs();
    let snapshots: Vec<_> = dirs
        .iter()
        .map(|dir| files(dir, |name| name == "__cluster_metadata-0", &["checkpoint"]))
        .collect::<anyhow::Result<Vec<_>>>()?
        .concat();
    let is_late = |path: &PathBuf| !path.ends_with("00000000000000000000-0000000000.checkpoint");
    ensure!(snapshots.iter().any(is_late), "Kafka made no metadata snapshot: {snapshots:?}");
    let torn = tear(&dirs, "codec-none-0")?;
    tear(&dirs, "__cluster_metadata-0")?;

    let untouched = Untouched::note(&dirs)?;
    let target = dir.path().join("ours/data");
    for partitions in KILLED_AT {
        killed_import(&dirs, &target, &[], partitions)?;
        untouched.check()?;
    }
    let start = Broker::start(&dir.path().join("ours"), &[]).map(|_| ()).expect_err("nothing is whole");
    ensure!(start.to_string().contains("did not finish"), "{start}");
    let report = imported(&dirs, &target, &[])?;
    let notes = report["notes"].to_string();
    ensure!(notes.contains("Kafka was not stopped cleanly"), "{notes}");
    ensure!(notes.contains(&format!("codec-none-0: {torn} bytes behind the last whole batch")), "{notes}");
    ensure!(notes.contains("metadata: 70 bytes behind the last whole batch"), "{notes}");

    let settings = [
        format!("node.id={}", kafka::NODE_ID),
        format!("listeners=PLAINTEXT://{}", kafka.bootstrap()),
        "log.cleaner.backoff.ms=100".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    serve_and_write(&dir.path().join("ours"), &settings, &kafka.bootstrap(), &theirs, &mut producer)?;
    untouched.check()?;

    // Moved, in two goes: the second takes what the first left.
    let copies = copy_all(&dirs, &dir.path().join("copies"))?;
    let target = dir.path().join("moved/data");
    killed_import(&copies, &target, &["--move"], 8)?;
    imported(&copies, &target, &["--move"])?;
    let mut broker = Broker::start(&dir.path().join("moved"), &settings)?;
    let seen = differences(&theirs, &tell(&kafka.bootstrap())?);
    ensure!(seen.is_empty(), "after a move in two goes: {seen:#?}");
    broker.stop()?;
    println!("FIGURE records acknowledged by Kafka, then by us: {by_kafka} of {RECORDS}");
    println!("FIGURE facts compared after an import from a killed Kafka: {}", theirs.len());
    println!("FIGURE seconds of an import test with a killed Kafka: {}", began.elapsed().as_secs());
    Ok(())
}
