//! A random life of one log on a recorded disk: appends of plain, idempotent and transactional producers, flushes,
//! rolls, retention, DeleteRecords, truncation, compaction, checkpoints, a topic deleted and made again, a disk that
//! fails and fills up, clean and unclean restarts, driven as the broker drives them.

mod compaction;

use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, BatchView, ControlRecord, ControlRecordType};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TopicId};
use logspine_storage::checkpoint::Offsets;
use logspine_storage::config::CleanupPolicy;
use logspine_storage::planted::Planted;
use logspine_storage::sim_disk::{FaultCounts, Op, Rng, SimDisk};
use logspine_storage::{
    CleanShutdown, Disk, FlushDone, Log, LogConfig, LogDir, OpenLog, Reclaimed, Recovered, Unlink,
};

use crate::model::{Batch, Event};
use crate::reads;
use crate::support::{self, DATA_DIR, NOW_MS};

/// Events with the number of operations after which they were known.
pub type History = Vec<(u64, Event)>;

const STEPS: usize = 18;

/// Whether the log of this seed is compacted: every second 250 of them are.
pub fn is_compacted(seed: u64) -> bool {
    seed / 250 % 2 == 1
}

/// The config that workload and recovery share.
pub fn config(seed: u64, planted: Planted) -> LogConfig {
    let compact = is_compacted(seed);
    LogConfig {
        segment_bytes: 700,
        index_interval_bytes: 150,
        retention_bytes: if compact { 4_000 } else { 1_000 },
        retention_ms: -1,
        file_delete_delay_ms: 0,
        delete_retention_ms: compaction::DELETE_RETENTION_MS,
        cleanup_policy: CleanupPolicy { delete: true, compact },
        is_flushed_after_open: seed % 2 == 1,
        planted,
        ..LogConfig::default()
    }
}

/// The id of the topic after so many of its name were deleted.
pub fn topic_id(incarnation: u8) -> TopicId {
    TopicId([9 + incarnation; 16])
}

/// Opens the data directory as a starting broker does: what belongs to another topic of the name is set aside.
pub fn start(
    disk: &SimDisk,
    config: &LogConfig,
    incarnation: u8,
) -> Result<(LogDir, Log, Recovered), String> {
    let words = |error: logspine_storage::StorageError| error.to_string();
    let topic_id = topic_id(incarnation);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = LogDir::open(disk.clone(), Path::new(DATA_DIR)).map_err(words)?;
    let clean = dir.take_clean_shutdown().map_err(words)?.is_some();
    let recovery_point = LogDir::offset_of(&dir.recovery_points().map_err(words)?, "topic", 0);
    let log_start = LogDir::offset_of(&dir.log_starts().map_err(words)?, "topic", 0);
    let contents = dir.contents().map_err(words)?;
    for deleted in contents.deleted {
        free(&disk, deleted).map_err(words)?;
    }
    for other in contents.partitions.iter().filter(|found| found.topic_id.is_some_and(|id| id != topic_id)) {
        let stray = Path::new(DATA_DIR).join(format!("topic-0.{}-stray", disk_names(&*disk)));
        disk.rename(&other.path, &stray).map_err(|error| error.to_string())?;
        disk.sync_dir(Path::new(DATA_DIR)).map_err(|error| error.to_string())?;
    }
    let args = OpenLog { topic_id, recovery_point, log_start, clean, ..support::args(&disk, config) };
    let (log, recovered) = Log::open(args).map_err(words)?;
    Ok((dir, log, recovered))
}

/// The same with the flush that follows a start, which is what a checker may compare.
pub fn start_and_flush(
    disk: &SimDisk,
    config: &LogConfig,
    incarnation: u8,
) -> Result<(LogDir, Log, Recovered), String> {
    let (dir, mut log, recovered) = start(disk, config, incarnation)?;
    if config.is_flushed_after_open && !support::flush(&mut log) {
        return Err("the flush after a start failed".to_owned());
    }
    Ok((dir, log, recovered))
}

/// Frees a deleted partition, piece by piece.
fn free(disk: &Arc<dyn Disk>, dir: std::path::PathBuf) -> Result<(), logspine_storage::StorageError> {
    let mut unlink = Unlink::dir(disk, dir);
    while unlink.step()? == Reclaimed::Piece {}
    Ok(())
}

fn disk_names(disk: &dyn Disk) -> usize {
    disk.list(Path::new(DATA_DIR)).map_or(0, |entries| entries.len())
}

struct Run {
    rng: Rng,
    disk: SimDisk,
    config: LogConfig,
    dir: LogDir,
    log: Log,
    history: History,
    epoch: i32,
    incarnation: u8,
    underway: Option<compaction::Underway>,
}

/// What a truncation came to.
enum Cut {
    Nothing,
    Failed,
    To(i64),
}

/// What a seed's life came to.
#[derive(Debug)]
pub struct Life {
    pub recording: Vec<Op>,
    /// What was known when.
    pub history: History,
    pub faults: FaultCounts,
}

/// Runs a seed.
pub fn run(seed: u64, planted: Planted) -> Result<Life, String> {
    let disk = SimDisk::new();
    disk.record();
    let config = config(seed, planted);
    let (dir, log, _) = start(&disk, &config, 0).expect("an empty disk opens");
    let mut run = Run {
        rng: Rng::new(seed),
        disk,
        config,
        dir,
        log,
        history: Vec::new(),
        epoch: 0,
        incarnation: 0,
        underway: None,
    };
    for _ in 0..STEPS {
        run.step()?;
    }
    Ok(Life { recording: run.disk.recorded(), history: run.history, faults: run.disk.fault_counts() })
}

fn one(offset: Offset) -> Offsets {
    Offsets::from([(("topic".to_owned(), 0), offset)])
}

impl Run {
    fn know(&mut self, event: Event) {
        self.history.push((self.disk.operations(), event));
    }

    fn step(&mut self) -> Result<(), String> {
        if self.config.cleanup_policy.compact && self.rng.percent(30) {
            return self.compact();
        }
        match self.rng.below(100) {
            0..34 => self.append(),
            34..54 => self.flush(false)?,
            54..60 => self.flush(true)?,
            60..68 => self.checkpoint(),
            68..74 => self.retain(),
            74..79 => self.delete_records(),
            79..84 => self.truncate()?,
            84..86 => self.epoch += 1,
            86..92 => self.break_the_disk(),
            92..94 => self.reopen()?,
            94..96 => self.delete_topic()?,
            _ => self.clean_restart()?,
        }
        Ok(())
    }

    fn break_the_disk(&mut self) {
        let skip = self.rng.below(12);
        match self.rng.below(6) {
            0 | 1 => self.disk.fail_syncs(1),
            2 => self.disk.fail_writes(1),
            3 => self.disk.set_free_bytes(Some(self.rng.below(400))),
            4 => self.disk.fail_operation(skip, std::io::ErrorKind::StorageFull),
            _ => self.disk.fail_operation(skip, std::io::ErrorKind::Other),
        }
    }

    fn append(&mut self) {
        for _ in 0..1 + self.rng.below(3) {
            let (records, value_len) = (1 + self.rng.below(3) as usize, self.rng.below(90) as usize);
            let timestamp_ms = NOW_MS + self.rng.below(1_000) as i64;
            let (built, produced) = match self.rng.below(10) {
                0..4 if self.config.cleanup_policy.compact => (self.keyed(timestamp_ms, records), None),
                0..4 => (support::batch_at(timestamp_ms, self.rng.next_u64(), records, value_len), None),
                4..8 => self.numbered(records),
                _ => (self.transactional(timestamp_ms), None),
            };
            let base = self.log.log_end();
            let mut bytes = built.clone();
            let header = (&mut bytes[..61]).try_into().expect("a header");
            logspine_protocol::batch::patch_offset_and_epoch(header, base, LeaderEpoch(self.epoch));
            let records = BatchView::parse(&built).expect("a batch").0.record_count();
            let next = base.0 + i64::from(records);
            self.know(Event::Attempted(Batch { base: base.0, next, bytes, produced }));
            match self.log.append_as_leader(&built, LeaderEpoch(self.epoch), NOW_MS) {
                Ok(info) => assert_eq!((info.first_offset, info.duplicate), (base, false)),
                Err(_) => return,
            }
        }
    }

    /// Records of few keys, some without a value.
    fn keyed(&mut self, timestamp_ms: i64, records: usize) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Codec::None);
        for _ in 0..records {
            let key = [b'a' + self.rng.below(6) as u8];
            let (tag, len) = (self.rng.next_u64(), self.rng.below(60) as usize);
            let value = (!self.rng.percent(25)).then(|| support::value(tag, len));
            builder.append(timestamp_ms, Some(&key), value.as_deref(), &[]);
        }
        builder.build()
    }

    /// The next batch of one of two idempotent producers, now and then of a new epoch.
    fn numbered(&mut self, records: usize) -> (Vec<u8>, Option<(i64, i16, i32)>) {
        let id = 7 + self.rng.below(2) as i64;
        let known = self.log.producers().iter().find(|(known, _)| known.0 == id);
        let (epoch, sequence) = known.map_or((0, 0), |(_, state)| (state.epoch.0, state.last_sequence() + 1));
        let (epoch, sequence) = if self.rng.percent(10) { (epoch + 1, 0) } else { (epoch, sequence) };
        (support::produced(id, epoch, sequence, records), Some((id, epoch, sequence)))
    }

    /// A record of a transaction, or the marker that ends it.
    fn transactional(&mut self, timestamp_ms: i64) -> Vec<u8> {
        let known = self.log.producers().iter().find(|(known, _)| known.0 == 9);
        let open = known.is_some_and(|(_, state)| state.current_txn_first_offset.is_some());
        let sequence = known.map_or(0, |(_, state)| state.last_sequence() + 1);
        let builder = BatchBuilder::new(Codec::None);
        let (id, epoch) = (ProducerId(9), ProducerEpoch(0));
        if open && self.rng.percent(60) {
            let kind =
                if self.rng.percent(50) { ControlRecordType::Abort } else { ControlRecordType::Commit };
            let (key, value) = ControlRecord { kind, coordinator_epoch: 3 }.encode();
            let mut marker = builder.producer(id, epoch, -1).transactional().control();
            marker.append(timestamp_ms, Some(&key), Some(&value), &[]);
            return marker.build();
        }
        let mut batch = builder.producer(id, epoch, sequence).transactional();
        batch.append(timestamp_ms, Some(b"key"), Some(b"value"), &[]);
        batch.build()
    }

    fn flush(&mut self, append_meanwhile: bool) -> Result<(), String> {
        // Now and then one for which nobody waits: of what is sealed, if there is something.
        let is_by_the_way = self.history.len().is_multiple_of(3);
        let sealed = if is_by_the_way { self.log.begin_flush_of_sealed() } else { None };
        let leaves_the_end = sealed.is_some();
        let Some(job) = sealed.or_else(|| self.log.begin_flush()) else { return Ok(()) };
        self.acknowledge();
        if append_meanwhile && self.rng.percent(70) {
            self.append();
        } else if append_meanwhile && !matches!(self.cut_the_end()?, Cut::To(_)) {
            return self.reopen();
        }
        let done = job.run();
        let is_whole = done.is_ok() && !append_meanwhile && !leaves_the_end;
        self.end_flush(done, is_whole.then_some(Event::Flushed))
    }

    /// Tells what came of a flush. A poisoned log is only good for a restart of the process; the page cache lives on.
    fn end_flush(&mut self, done: FlushDone, success: Option<Event>) -> Result<(), String> {
        let ended = self.log.end_flush(done);
        self.acknowledge();
        match (ended, success) {
            (Ok(_), Some(event)) => self.know(event),
            (Ok(_), None) => {}
            (Err(_), _) => {
                self.know(Event::HalfDone);
                return self.reopen();
            }
        }
        Ok(())
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

    /// Truncates somewhere, or to where an epoch ends as a follower does.
    fn cut_the_end(&mut self) -> Result<Cut, String> {
        let (start, log_end) = (self.log.log_start(), self.log.log_end());
        let span = (log_end - start) as u64;
        let mut to = start + self.rng.below(span + 1) as i64;
        if self.rng.percent(30) {
            let epoch = LeaderEpoch(self.rng.below(self.epoch as u64 + 1) as i32);
            to = self.log.reader().end_offset_for_epoch(epoch).map_or(to, |end| end.end_offset.max(start));
        }
        if self.log.check_poison().is_err() || to >= log_end {
            return Ok(Cut::Nothing);
        }
        // The log may end lower: where the batch that spans the offset starts, or where the last one before it ends.
        let batches = self.batches()?;
        let kept = batches.iter().take_while(|batch| batch.next <= to.0).last();
        let end = kept.map_or(start.0, |batch| batch.next);
        self.know(Event::TruncationBegan(end));
        if let Err(error) = self.log.truncate_to(to) {
            if self.log.log_end() != log_end && self.log.check_poison().is_ok() {
                return Err(format!("reused: half of a truncation, and the log goes on: {error}"));
            }
            self.know(Event::HalfDone);
            return Ok(Cut::Failed);
        }
        if self.log.log_end().0 != end {
            return Err(format!(
                "reused: truncated to {to}, ends at {} instead of {end}",
                self.log.log_end()
            ));
        }
        self.epoch += 1;
        Ok(Cut::To(end))
    }

    fn truncate(&mut self) -> Result<(), String> {
        let end = match self.cut_the_end()? {
            Cut::Nothing => return Ok(()),
            Cut::Failed => return self.reopen(),
            Cut::To(end) => end,
        };
        let Some(job) = self.log.begin_flush() else {
            self.know(Event::TruncationDone(end));
            return Ok(());
        };
        let done = job.run();
        let success = done.is_ok().then_some(Event::TruncationDone(end));
        self.end_flush(done, success)
    }

    /// The metadata forgets the topic, then its directory goes, then there is a new one of the name.
    fn delete_topic(&mut self) -> Result<(), String> {
        self.know(Event::TopicDeleted);
        self.incarnation += 1;
        self.epoch = 0;
        let placeholder = self.elsewhere();
        let log = std::mem::replace(&mut self.log, placeholder);
        if let Ok(deleted) = log.delete()
            && self.rng.percent(50)
        {
            let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
            let _ = free(&disk, deleted.dir);
        }
        self.reopen()
    }

    fn batches(&self) -> Result<Vec<Batch>, String> {
        let reader = self.log.reader();
        reads::read_from(&reader, reader.log_start(), reader.log_end(), || 1 << 20)
    }

    fn clean_restart(&mut self) -> Result<(), String> {
        self.disk.clear_faults();
        if self.log.check_poison().is_err() {
            return self.reopen();
        }
        let placeholder = self.elsewhere();
        let log = std::mem::replace(&mut self.log, placeholder);
        let log_start = log.log_start();
        let closed = log.close(true).expect("a clean close on a healthy disk");
        self.know(Event::Acknowledged(closed.0));
        self.dir.write_recovery_points(|| one(closed)).expect("a healthy disk");
        self.dir.write_log_starts(&one(log_start)).expect("a healthy disk");
        self.know(Event::LogStartCheckpointed(log_start.0));
        self.dir.write_clean_shutdown(CleanShutdown { broker_epoch: 1 }).expect("a healthy disk");
        self.reopen()
    }

    /// A log elsewhere, to stand in while the real one is closed; leaves no trace in the recording's directory.
    fn elsewhere(&self) -> Log {
        let elsewhere: Arc<dyn Disk> = Arc::new(SimDisk::new());
        support::fresh(&elsewhere, &self.config)
    }

    /// The process dies and the disk is healthy again, the machine goes on and with it its page cache.
    fn reopen(&mut self) -> Result<(), String> {
        self.disk.clear_faults();
        self.disk.shorten_reads(self.disk.operations());
        self.underway = None;
        let elsewhere: Arc<dyn Disk> = Arc::new(SimDisk::new());
        self.dir = LogDir::open(elsewhere, Path::new(DATA_DIR)).expect("an empty disk");
        self.log = self.elsewhere();
        let (dir, log, recovered) = start(&self.disk, &self.config, self.incarnation)?;
        if let Some(damage) = recovered.damage {
            return Err(format!("damage: a live disk is called damaged: {damage}"));
        }
        (self.dir, self.log) = (dir, log);
        let (start, end) = (self.log.log_start().0, self.log.log_end().0);
        let batches = self.batches()?;
        self.know(Event::Recovered { start, end, batches });
        self.acknowledge();
        Ok(())
    }
}
