//! One broker struck again and again under load, and what must be true afterwards.
//!
//! Three writers send numbered values idempotently with acks=all, a consumer reads along, a keeper creates topics
//! and commits offsets. Each strike (a kill, a power cut) falls at a random moment; after it the broker starts on
//! what is left and must still have every topic and offset that it confirmed. At the end the checker judges the
//! whole history, after it was shown planted faults. Used by `crash_kill.rs` and the `power_cut*` tests.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::broker::Broker;
use crate::checker::planted::prove_the_checker;
use crate::checker::{History, check};
use crate::foreign::{self, Tail};
use crate::keeper::Keeper;
use crate::load::Load;
use crate::random::SplitMix;

pub const TOPIC: &str = "crash";
const WRITERS: u32 = 3;
const RECORDS_PER_SECOND: u32 = 6000;

/// Small segments, so that strikes also fall on rolls; one partition of offsets, because one group commits.
pub const OVERRIDES: [&str; 3] =
    ["num.partitions=3", "log.segment.bytes=1048576", "offsets.topic.num.partitions=1"];

/// A broker under load.
pub struct Story {
    pub broker: Broker,
    load: Load,
    tail: Tail,
    keeper: Keeper,
    started: Instant,
    /// How many topics and offsets were confirmed.
    kept: u64,
}

impl Story {
    /// Starts everything; files of the story go to `dir`, the broker's data to `dir/data`.
    pub fn begin(dir: &Path) -> anyhow::Result<Story> {
        let broker = Broker::start(dir, &OVERRIDES)?;
        let bootstrap = broker.bootstrap();
        foreign::create_topic(&bootstrap, TOPIC, WRITERS)?;
        Ok(Story {
            load: Load::start(&bootstrap, TOPIC, WRITERS, RECORDS_PER_SECOND, dir)?,
            tail: Tail::start(&bootstrap, TOPIC, &dir.join("tail.out"))?,
            keeper: Keeper::start(&bootstrap)?,
            broker,
            started: Instant::now(),
            kept: 0,
        })
    }

    /// Has a topic, an offset and some records confirmed, strikes at a random moment, starts again, and asks for both.
    pub fn strike(
        &mut self,
        random: &mut SplitMix,
        strike: impl FnOnce(&mut Broker) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let before = self.load.written_bytes()?;
        self.confirm()?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.load.written_bytes()? == before {
            ensure!(Instant::now() < deadline, "nothing was acknowledged for 20 s");
            std::thread::sleep(Duration::from_millis(10)); // Polls the client's output.
        }
        // The load runs; the moment is random.
        std::thread::sleep(Duration::from_millis(100 + random.below(600)));
        strike(&mut self.broker)?;
        self.broker.spawn()?;
        self.ask_back()
    }

    /// A new topic and a new offset, both answered.
    pub fn confirm(&mut self) -> anyhow::Result<()> {
        self.kept += 1;
        let kept = self.kept;
        self.keeper.expect(&format!("topic kept-{kept}"), "ok")?;
        self.keeper.expect(&format!("commit kept {TOPIC} {kept}"), "ok")
    }

    /// What was confirmed last is there.
    pub fn ask_back(&mut self) -> anyhow::Result<()> {
        let kept = self.kept;
        self.keeper.expect(&format!("exists kept-{kept}"), "yes")?;
        self.keeper.expect(&format!("committed kept {TOPIC}"), &kept.to_string())
    }

    /// Waits until that many records are acknowledged.
    pub fn wait_acknowledged(&self, count: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.load.acknowledged()? < count {
            ensure!(Instant::now() < deadline, "fewer than {count} records were acknowledged in 20 s");
            std::thread::sleep(Duration::from_millis(20)); // Polls the client's output.
        }
        Ok(())
    }

    /// Waits until the consumer that reads along was given so many.
    pub fn wait_read_along(&self, count: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.tail.delivered()? < count {
            ensure!(Instant::now() < deadline, "fewer than {count} records were read along in 20 s");
            std::thread::sleep(Duration::from_millis(20)); // Polls the client's output.
        }
        Ok(())
    }

    /// How many records are acknowledged so far.
    pub fn acknowledged(&self) -> anyhow::Result<usize> {
        self.load.acknowledged()
    }

    /// Waits until the broker has refused a record because the disk is full.
    pub fn wait_refused(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let metrics = self.broker.admin_get("/metrics")?;
            if metrics.contains("logspine_disk_state{state=\"full\"} 1") {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the broker did not notice a full disk in 20 s");
            std::thread::sleep(Duration::from_millis(20)); // Polls the process outside.
        }
    }

    /// Ends the load; what was sent, acknowledged and read along. `read_back` adds what is in the log.
    pub fn stop_load(self) -> anyhow::Result<(Broker, History, Keeper)> {
        let mut history = self.load.stop()?;
        history.seen = self.tail.stop()?;
        let seconds = self.started.elapsed().as_secs_f32();
        let sent: u64 = history.sent.values().sum();
        let (acked, seen) = (history.acked.len(), history.seen.len());
        println!("{seconds:.1} s of load: {sent} sent, {acked} acknowledged, {seen} read along");
        Ok((self.broker, history, self.keeper))
    }

    /// Ends the story and judges it.
    pub fn end(self) -> anyhow::Result<()> {
        std::thread::sleep(Duration::from_millis(500)); // Lets the load run once without a strike behind it.
        let kept = self.kept;
        let (broker, mut history, mut keeper) = self.stop_load()?;
        for number in 1..=kept {
            keeper.expect(&format!("exists kept-{number}"), "yes")?;
        }
        history.read = foreign::read_all(&broker.bootstrap(), TOPIC)?;
        println!("{} in the log; {kept} topics and {kept} commits are there", history.read.len());
        ensure!(history.acked.len() > 1000, "too little was acknowledged to prove anything");
        ensure!(!history.seen.is_empty(), "nobody read along");
        prove_the_checker(&history).map_err(anyhow::Error::msg)?;
        let anomalies = check(&history);
        let shown: Vec<_> = anomalies.iter().take(10).collect();
        ensure!(anomalies.is_empty(), "{} anomalies, the first: {shown:#?}", anomalies.len());
        println!("FIGURE acknowledged records checked: {}", history.acked.len());
        Ok(())
    }
}

/// A number from the environment, to widen or replay a test.
pub fn setting<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    match std::env::var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text}")),
        Err(_) => Ok(default),
    }
}
