//! A broker whose data lies on a disk that fails on command, and a client that asks it things.
//!
//! The setting of the `disk_*` tests: topics `bad` and `good` of one partition each, `bad` being the one whose files
//! fail where a test fails one partition's.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::broker::Broker;
use crate::faultfs::{FUSE, FaultFs};
use crate::foreign::{PYTHON_WITH_LIBRDKAFKA, skip_without};
use crate::keeper::Keeper;

/// What a client is told when the disk refuses.
pub const REFUSED: &str = "KAFKA_STORAGE_ERROR";

/// How long the broker may take to notice that the disk is well again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fields are dropped in this order: nothing may hold the file system when it goes.
pub struct DiskStory {
    pub keeper: Keeper,
    pub broker: Broker,
    pub disk: FaultFs,
    _dir: tempfile::TempDir,
}

impl DiskStory {
    /// Starts everything, or says why this machine cannot and returns `None`.
    pub fn begin(test: &str) -> anyhow::Result<Option<DiskStory>> {
        if skip_without(test, &[PYTHON_WITH_LIBRDKAFKA, FUSE]) {
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        std::fs::create_dir(&data)?;
        let disk = FaultFs::mount(&data)?;
        let broker = Broker::start(dir.path(), &["offsets.topic.num.partitions=1"])?;
        let mut keeper = Keeper::start(&broker.bootstrap())?;
        keeper.expect("topic bad", "ok")?;
        keeper.expect("topic good", "ok")?;
        keeper.expect("send all bad 0 b1", "ok")?;
        keeper.expect("send all good 0 g1", "ok")?;
        keeper.expect("commit group good 1", "ok")?;
        Ok(Some(DiskStory { keeper, broker, disk, _dir: dir }))
    }

    /// kill -9, and a start on what is on the disk.
    pub fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.broker.kill()?;
        self.broker.spawn()
    }

    /// Asks until the answer is this one: the disk is well again, and the broker has to notice.
    pub fn until(&mut self, question: &str, answer: &str) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let found = self.keeper.ask(question)?;
            if found == answer {
                return Ok(());
            }
            ensure!(started.elapsed() < PATIENCE, "{question}: after {PATIENCE:?} still: {found}");
            std::thread::sleep(Duration::from_millis(50)); // A client's back-off.
        }
    }

    /// One member of `/status`, as JSON text.
    pub fn status(&self, member: &str) -> anyhow::Result<String> {
        let answer = self.broker.admin_get("/status")?;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let status: serde_json::Value = serde_json::from_str(body)?;
        Ok(status[member].to_string())
    }

    /// One sample of `/metrics`.
    pub fn metric(&self, series: &str) -> anyhow::Result<f64> {
        let answer = self.broker.admin_get("/metrics")?;
        let sample = answer.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        Ok(sample.ok_or_else(|| anyhow::anyhow!("{series} is not exported"))?.trim().parse()?)
    }

    /// Waits until a sample has this value.
    pub fn wait_metric(&self, series: &str, value: f64) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.metric(series)? != value {
            ensure!(started.elapsed() < PATIENCE, "{series} is not {value} after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(10)); // Polls the process outside.
        }
        Ok(())
    }

    /// Waits until a counter that appears with its first error is there.
    pub fn wait_told(&self, series: &str, within: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.metric(series).is_err() {
            ensure!(started.elapsed() < within, "nobody was told within {within:?}: {series}");
            std::thread::sleep(Duration::from_millis(10)); // Polls the process outside.
        }
        Ok(())
    }

    /// How many lines of the broker's log contain this.
    pub fn logged(&self, words: &str) -> anyhow::Result<usize> {
        Ok(self.broker.log()?.lines().filter(|line| line.contains(words)).count())
    }
}
