//! Promise: twenty `kill -9` under idempotent acks=all load lose, duplicate and reorder nothing.
//!
//! librdkafka sends numbered values at its default settings while the broker is killed at random moments and
//! started again on the same data. Afterwards every partition is read from the beginning and the checker judges
//! the history; before that it must see three faults planted into that same history.
//! `LOGSPINE_KILLS` and `LOGSPINE_SEED` widen and replay it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use logspine_e2e::broker::Broker;
use logspine_e2e::checker::check;
use logspine_e2e::checker::planted::prove_the_checker;
use logspine_e2e::foreign;
use logspine_e2e::load::Load;
use logspine_e2e::random::{SplitMix, seed_of_the_clock};

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

    let load = Load::start(&broker.bootstrap(), "crash", WRITERS, RECORDS_PER_SECOND, dir.path())?;
    let started = Instant::now();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(150 + random.below(700))); // The load runs; the moment is random.
        broker.kill()?;
        broker.spawn()?;
    }
    std::thread::sleep(Duration::from_millis(500)); // Lets the load run once without a kill behind it.
    let mut history = load.stop()?;
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

fn env_or<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}
