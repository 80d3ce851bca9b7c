//! Promise: twenty `kill -9` under idempotent acks=all load lose, duplicate and reorder nothing.
//!
//! librdkafka sends numbered values at its default settings while the broker is killed at random moments and
//! started again on the same data. Afterwards every partition is read from the beginning and the checker judges
//! the history; before that it must see three faults planted into that same history.
//! `LOGSPINE_KILLS` and `LOGSPINE_SEED` widen and replay it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::checker::planted::prove_the_checker;
use logspine_e2e::checker::{History, Placed, check};
use logspine_e2e::foreign;

const WRITERS: u32 = 3;
const RECORDS_PER_SECOND: u32 = 6000;

#[test]
fn twenty_kills_under_load_lose_duplicate_and_reorder_nothing() -> anyhow::Result<()> {
    if foreign::skip_without("crash_kill", &[foreign::PYTHON_WITH_LIBRDKAFKA, foreign::KCAT]) {
        return Ok(());
    }
    let kills: u32 = env_or("LOGSPINE_KILLS", 20)?;
    let mut random = SplitMix(env_or("LOGSPINE_SEED", seed_of_the_clock())?);
    println!("LOGSPINE_SEED={} LOGSPINE_KILLS={kills}", random.0);
    let dir = tempfile::tempdir()?;
    // Small segments, so that kills also fall on rolls.
    let mut broker = Broker::start(dir.path(), &["num.partitions=3", "log.segment.bytes=1048576"])?;
    foreign::create_topic(&broker.bootstrap(), "crash", WRITERS)?;

    let load = start_load(&broker.bootstrap(), dir.path())?;
    let started = Instant::now();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(150 + random.next() % 700)); // The load runs; the moment is random.
        broker.kill()?;
        broker.spawn()?;
    }
    std::thread::sleep(Duration::from_millis(500)); // Lets the load run once without a kill behind it.
    let mut history = stop_load(load, dir.path())?;
    history.read = foreign::read_all(&broker.bootstrap(), "crash")?;

    println!(
        "{kills} kills in {:.1} s: {} sent, {} acknowledged, {} in the log",
        started.elapsed().as_secs_f32(),
        history.sent.values().sum::<u64>(),
        history.acked.len(),
        history.read.len(),
    );
    ensure!(history.acked.len() > 1000 * WRITERS as usize, "too little was acknowledged to prove anything");
    prove_the_checker(&history).map_err(anyhow::Error::msg)?;
    let anomalies = check(&history);
    let shown: Vec<_> = anomalies.iter().take(10).collect();
    ensure!(anomalies.is_empty(), "{} anomalies, the first: {shown:#?}", anomalies.len());
    Ok(())
}

fn start_load(bootstrap: &str, dir: &Path) -> anyhow::Result<Child> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/python/idempotent_load.py");
    let out = std::fs::File::create(dir.join("load.out"))?;
    Command::new(foreign::python())
        .arg(script)
        .args([bootstrap, "crash", &WRITERS.to_string(), &RECORDS_PER_SECOND.to_string()])
        .stdin(Stdio::piped())
        .stdout(out)
        .spawn()
        .context("cannot start the load")
}

/// Closes the load's input, waits for its end, and reads what it wrote.
fn stop_load(mut load: Child, dir: &Path) -> anyhow::Result<History> {
    drop(load.stdin.take());
    let status = load.wait()?;
    ensure!(status.success(), "the load ended with {status}");
    let mut text = String::new();
    std::fs::File::open(dir.join("load.out"))?.read_to_string(&mut text)?;
    parse_load(&text)
}

fn parse_load(text: &str) -> anyhow::Result<History> {
    let (mut sent, mut acked) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["ack", partition, offset, value] => acked.push(Placed {
                partition: partition.parse()?,
                offset: offset.parse()?,
                value: value.parse().map_err(anyhow::Error::msg)?,
            }),
            ["sent", writer, count] => {
                sent.insert(writer.parse()?, count.parse()?);
            }
            ["unflushed", left] => ensure!(left == "0", "{left} records were never answered"),
            _ => anyhow::bail!("the client gave up a record at default settings: {line}"),
        }
    }
    Ok(History { sent, acked, read: Vec::new() })
}

fn env_or<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}

fn seed_of_the_clock() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(1, |since| u64::from(since.subsec_nanos()))
}

/// SplitMix64: the moments of the kills replay from one number.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
