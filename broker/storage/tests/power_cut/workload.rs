//! A random life of one log on a recorded disk: appends, flushes, rolls, retention, truncation, checkpoints,
//! failed syncs and writes, clean and unclean restarts, driven as the broker drives them.

use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::BatchView;
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_storage::checkpoint::Offsets;
use logspine_storage::planted::Planted;
use logspine_storage::sim_disk::{Op, Rng, SimDisk};
use logspine_storage::{CleanShutdown, Disk, Log, LogConfig, LogDir, OpenLog};

use crate::model::{Batch, Event};
use crate::support::{self, DATA_DIR, NOW_MS};

/// Events with the number of operations after which they were known.
pub type History = Vec<(u64, Event)>;

const STEPS: usize = 18;

/// The config that workload and recovery share.
pub fn config(planted: Planted) -> LogConfig {
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 150,
        retention_bytes: 1_000,
        retention_ms: -1,
        file_delete_delay_ms: 0,
        planted,
        ..LogConfig::default()
    }
}

/// Opens the data directory as a starting broker does.
pub fn start(
    disk: &SimDisk,
    config: &LogConfig,
) -> Result<(LogDir, Log, logspine_storage::Recovered), String> {
    let words = |error: logspine_storage::StorageError| error.to_string();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = LogDir::open(disk.clone(), Path::new(DATA_DIR)).map_err(words)?;
    let clean = dir.take_clean_shutdown().map_err(words)?.is_some();
    let recovery_point = LogDir::offset_of(&dir.recovery_points().map_err(words)?, "topic", 0);
    let log_start = LogDir::offset_of(&dir.log_starts().map_err(words)?, "topic", 0);
    let args = OpenLog { recovery_point, log_start, clean, ..support::args(&disk, config) };
    let (log, recovered) = Log::open(args).map_err(words)?;
    Ok((dir, log, recovered))
}

struct Run {
    rng: Rng,
    disk: SimDisk,
    config: LogConfig,
    dir: LogDir,
    log: Log,
    history: History,
    epoch: i32,
    sequence: i32,
}

/// Runs a seed; returns the recording and what was known when.
pub fn run(seed: u64, planted: Planted) -> (Vec<Op>, History) {
    let disk = SimDisk::new();
    disk.record();
    let config = config(planted);
    let (dir, log, _) = start(&disk, &config).expect("an empty disk opens");
    let mut run =
        Run { rng: Rng::new(seed), disk, config, dir, log, history: Vec::new(), epoch: 0, sequence: 0 };
    for _ in 0..STEPS {
        run.step();
    }
    (run.disk.recorded(), run.history)
}

fn one(offset: Offset) -> Offsets {
    Offsets::from([(("topic".to_owned(), 0), offset)])
}

impl Run {
    fn know(&mut self, event: Event) {
        self.history.push((self.disk.operations(), event));
    }

    fn step(&mut self) {
        match self.rng.below(100) {
            0..35 => self.append(),
            35..60 => self.flush(false),
            60..66 => self.flush(true),
            66..74 => self.checkpoint(),
            74..80 => self.retain(),
            80..85 => self.delete_records(),
            85..90 => self.truncate(),
            90..92 => self.epoch += 1,
            92..94 => self.disk.fail_syncs(1),
            94..95 => self.disk.fail_writes(1),
            95..97 => self.restart(),
            _ => self.clean_restart(),
        }
    }

    fn append(&mut self) {
        for _ in 0..1 + self.rng.below(3) {
            let (records, value_len) = (1 + self.rng.below(3) as usize, self.rng.below(90) as usize);
            let numbered = self.rng.percent(50);
            let built = if numbered {
                support::produced(7, 0, self.sequence, records)
            } else {
                support::batch(self.rng.next_u64(), records, value_len)
            };
            let base = self.log.log_end();
            let mut bytes = built.clone();
            let header = (&mut bytes[..61]).try_into().expect("a header");
            logspine_protocol::batch::patch_offset_and_epoch(header, base, LeaderEpoch(self.epoch));
            let produced = numbered.then_some((7, 0, self.sequence));
            self.know(Event::Attempted(Batch {
                base: base.0,
                next: base.0 + records as i64,
                bytes,
                produced,
            }));
            match self.log.append_as_leader(&built, LeaderEpoch(self.epoch), NOW_MS) {
                Ok(info) => {
                    assert_eq!((info.first_offset, info.duplicate), (base, false));
                    self.sequence += if numbered { records as i32 } else { 0 };
                }
                Err(_) => return,
            }
        }
    }

    fn flush(&mut self, append_meanwhile: bool) {
        let Some(job) = self.log.begin_flush() else { return };
        self.acknowledge();
        if append_meanwhile {
            self.append();
        }
        let done = job.run();
        let ended = self.log.end_flush(done);
        self.acknowledge();
        if ended.is_err() {
            // A poisoned log is only good for a restart of the process; the page cache lives on.
            self.restart();
        }
    }

    /// Whatever the log calls durable is acknowledged to somebody.
    fn acknowledge(&mut self) {
        let end = self.log.durable_end();
        self.know(Event::Acknowledged(end.0));
    }

    fn checkpoint(&mut self) {
        let point = self.log.recovery_point();
        let _ = self.dir.write_recovery_points(|| one(point));
    }

    fn checkpoint_log_start(&mut self) {
        let log_start = self.log.log_start();
        if self.dir.write_log_starts(&one(log_start)).is_ok() {
            self.know(Event::LogStartCheckpointed(log_start.0));
        }
    }

    fn retain(&mut self) {
        // Whatever it deletes lies below the durable end.
        let before = self.log.durable_end();
        self.know(Event::LogStartRaised(before.0));
        let _ = self.log.enforce_retention(NOW_MS, before);
        if self.rng.percent(50) {
            self.checkpoint_log_start();
        }
        if self.rng.percent(50) {
            self.log.take_unlinks(i64::MAX).into_iter().for_each(|unlink| drop(unlink.run()));
        }
    }

    fn delete_records(&mut self) {
        let span = (self.log.durable_end() - self.log.log_start()) as u64;
        let to = self.log.log_start() + self.rng.below(span + 1) as i64;
        self.know(Event::LogStartRaised(to.0));
        let _ = self.log.advance_log_start(to);
        self.checkpoint_log_start();
    }

    fn truncate(&mut self) {
        let span = (self.log.log_end() - self.log.log_start()) as u64;
        let to = self.log.log_start() + self.rng.below(span + 1) as i64;
        if self.log.check_poison().is_err() || to >= self.log.log_end() {
            return;
        }
        // The log may end lower, where the batch that spans the offset starts.
        let ends: Vec<i64> = self.batch_starts();
        let end = ends.into_iter().filter(|start| *start <= to.0).max().unwrap_or(to.0);
        self.know(Event::TruncationBegan(end));
        self.sequence = -1;
        if self.log.truncate_to(to).is_err() {
            return self.restart();
        }
        assert_eq!(self.log.log_end().0, end.max(self.log.log_start().0));
        // A producer that was cut off starts anew.
        self.sequence = self.next_sequence();
        self.epoch += 1;
        if let Some(job) = self.log.begin_flush() {
            let done = job.run();
            let ok = done.is_ok();
            if self.log.end_flush(done).is_err() {
                return self.restart();
            }
            if ok {
                self.know(Event::TruncationDone(end));
            }
            self.acknowledge();
        }
    }

    fn batch_starts(&self) -> Vec<i64> {
        let bytes = support::read_all(&self.log.reader(), self.log.log_end(), 1 << 20);
        let mut rest = &bytes[..];
        let mut starts = Vec::new();
        while let Ok((batch, after)) = BatchView::parse(rest) {
            starts.push(batch.base_offset().0);
            rest = after;
        }
        starts
    }

    fn next_sequence(&self) -> i32 {
        self.log.producers().iter().next().map_or(0, |(_, state)| state.last_sequence() + 1)
    }

    /// The process dies, the machine does not.
    fn restart(&mut self) {
        self.reopen();
    }

    fn clean_restart(&mut self) {
        self.disk.fail_syncs(0);
        self.disk.fail_writes(0);
        if self.log.check_poison().is_err() {
            return self.reopen();
        }
        let placeholder = self.reopen_args();
        let log = std::mem::replace(&mut self.log, placeholder);
        let log_start = log.log_start();
        let closed = log.close(true).expect("a clean close on a healthy disk");
        self.know(Event::Acknowledged(closed.0));
        self.dir.write_recovery_points(|| one(closed)).expect("a healthy disk");
        self.dir.write_log_starts(&one(log_start)).expect("a healthy disk");
        self.know(Event::LogStartCheckpointed(log_start.0));
        self.dir.write_clean_shutdown(CleanShutdown { broker_epoch: 1 }).expect("a healthy disk");
        self.reopen();
    }

    /// A log elsewhere, to stand in while the real one is closed; leaves no trace in the recording's directory.
    fn reopen_args(&self) -> Log {
        let elsewhere: Arc<dyn Disk> = Arc::new(SimDisk::new());
        support::fresh(&elsewhere, &self.config)
    }

    fn reopen(&mut self) {
        self.disk.fail_syncs(0);
        self.disk.fail_writes(0);
        let elsewhere: Arc<dyn Disk> = Arc::new(SimDisk::new());
        self.dir = LogDir::open(elsewhere, Path::new(DATA_DIR)).expect("an empty disk");
        self.log = self.reopen_args();
        let (dir, log, recovered) = start(&self.disk, &self.config).expect("a live disk opens");
        assert_eq!(recovered.damage, None, "nothing is damaged on a live disk");
        self.dir = dir;
        self.log = log;
        self.sequence = self.next_sequence();
        self.acknowledge();
    }
}
