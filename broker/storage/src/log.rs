//! One partition's log: append, read, roll, truncate, retain. One owner, `&mut self`; readers use `LogReader`.
//!
//! `log_start <= durable_end <= log_end`. The log end moves by append and truncation (`log/append.rs`,
//! `log/truncate.rs`), the durable end by a finished flush alone (`log/flush.rs`), the log start by retention and
//! DeleteRecords (`log/retention.rs`). Nothing here syncs on the append path: whatever becomes dirty, names of
//! files included, stays in the dirty set until a flush has it, and open. Opening, and what is believed: `recovery.rs`.

mod allocate;
mod append;
mod compaction;
mod flush;
mod retention;
mod roll;
mod transactions;
mod truncate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::aside::SetAside;
use crate::config::LogConfig;
use crate::disk::{Disk, DiskFile};
use crate::error::{Damage, Poisoned, StorageError, io_at};
use crate::poison::Poison;
use crate::producers::Producers;
use crate::reader::LogReader;
use crate::reclaim::Unlink;
use crate::segment::{Segment, SliceError};
use crate::{checkpoint, names, recovery};

pub use append::AppendInfo;
pub(crate) use append::marker_of;
pub use compaction::CompactionScope;
pub use flush::{FlushDone, FlushJob, FlushMark};
pub use retention::Retained;
pub use transactions::EndedTxn;

/// What a log is opened with.
#[derive(Debug, Clone)]
pub struct OpenLog {
    /// Where the bytes are.
    pub disk: Arc<dyn Disk>,
    /// The partition's directory, created if absent, inside of an existing data directory.
    pub dir: PathBuf,
    /// Topic name.
    pub topic: String,
    /// Compared with `partition.metadata`, or written to it.
    pub topic_id: TopicId,
    /// Partition index.
    pub partition: PartitionIndex,
    /// Topic configs.
    pub config: LogConfig,
    /// From `recovery-point-offset-checkpoint`: below it everything was on stable storage.
    pub recovery_point: Offset,
    /// From `log-start-offset-checkpoint`.
    pub log_start: Offset,
    /// Whether the clean marker was found.
    pub clean: bool,
    /// Wall clock, milliseconds since the epoch.
    pub now_ms: i64,
}

/// What opening a log found out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes whose every checksum was verified.
    pub scanned_bytes: u64,
    /// Bytes behind the recovery point that were no whole batch, or followed one; they were moved aside.
    pub truncated_bytes: u64,
    /// Where the truncated bytes are kept.
    pub cut_files: Vec<PathBuf>,
    /// Files that told what the log itself tells too, and could not be read; they were kept and rebuilt.
    pub set_aside: Vec<SetAside>,
    /// Bytes below the recovery point that do not read back. The log serves up to there and refuses writes.
    pub damage: Option<Damage>,
}

/// A log that was taken out of service for good.
#[derive(Debug)]
pub struct DeletedLog {
    /// The renamed directory.
    pub dir: PathBuf,
    /// Frees its bytes.
    pub unlink: Unlink,
}

/// What became dirty since the last flush began.
#[derive(Debug, Default)]
struct Dirty {
    /// Files that are complete: sealed segments, their indexes, snapshots.
    files: Vec<Arc<dyn DiskFile>>,
    /// The active segment's `.log`: held, so that it stays open until it is synced.
    active: Option<Arc<dyn DiskFile>>,
    /// Names in the partition's directory.
    dir: bool,
    /// The directory's own name and the topic id: the partition is new and was never flushed.
    created: bool,
    /// Leader epochs that `leader-epoch-checkpoint` does not have.
    epochs: bool,
}

impl Dirty {
    /// What a flush could not do is to be done by the next.
    fn add(&mut self, again: Dirty) {
        self.files.extend(again.files);
        self.active = self.active.take().or(again.active);
        self.dir |= again.dir;
        self.epochs |= again.epochs;
        self.created |= again.created;
    }
}

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    topic: String,
    topic_id: TopicId,
    partition: PartitionIndex,
    config: LogConfig,
    reader: Arc<LogReader>,
    active: Arc<Segment>,
    producers: Producers,
    /// Transactions whose markers are not below the high watermark yet: first offset, marker's offset.
    undecided: BTreeMap<Offset, Offset>,
    dirty: Dirty,
    poison: Poison,
    /// The file may hold bytes behind the last whole batch: a failed write left them and cutting them off failed, too; or
    /// an earlier process cut them off, and a failed sync took that with it.
    uncut: bool,
    /// Set while a flush runs: the end it may make durable at most, lowered by truncations meanwhile.
    flush_cap: Option<Offset>,
    unlinks: Vec<Unlink>,
    /// Indexes and producers on disk are not those of a clean close.
    unclosed: bool,
    /// A compacted segment on its way into the log.
    swapping: Option<compaction::Swapping>,
    swaps_begun: u64,
    /// Up to where the active segment's file has its room.
    allocated_bytes: u64,
}

impl Log {
    /// Opens or creates a partition's log and recovers it if the last shutdown was not clean.
    pub fn open(args: OpenLog) -> Result<(Log, Recovered), StorageError> {
        let opened = recovery::open(&args)?;
        let dir: Arc<Path> = opened.dir;
        let active = opened.segments.last().expect("recovery leaves at least one segment").clone();
        let reader = Arc::new(LogReader::new(
            dir.clone(),
            opened.segments,
            opened.log_start,
            opened.epochs,
            opened.txn_index,
            args.config.planted,
        ));
        if let Some(damage) = &opened.recovered.damage {
            // Offsets that were once acknowledged are never given away again.
            let log_end = damage.offset.max(args.recovery_point);
            reader.publish_log_end(log_end);
            reader.publish_durable_end(log_end);
            reader.set_damage(damage.clone());
        }
        let mut dirty = Dirty { dir: opened.dir_dirty, created: opened.is_new, ..Dirty::default() };
        if opened.is_unsynced {
            reader.publish_durable_end(args.recovery_point);
            dirty.active = Some(active.file()?);
            // A truncation of the process before may have taken names away that a power cut would bring back.
            dirty.dir = true;
            // Without a recovery point not even its own name is known to be there.
            dirty.created |= args.recovery_point == Offset(0);
        }
        let log = Log {
            disk: args.disk,
            dir,
            topic: args.topic,
            topic_id: args.topic_id,
            partition: args.partition,
            config: args.config,
            reader,
            active,
            producers: opened.producers,
            undecided: BTreeMap::new(),
            dirty,
            poison: Poison::default(),
            uncut: true,
            flush_cap: None,
            unlinks: opened.unlinks,
            unclosed: !opened.is_closed,
            swapping: None,
            swaps_begun: 0,
            allocated_bytes: 0,
        };
        Ok((log, opened.recovered))
    }

    /// For everyone else.
    pub fn reader(&self) -> Arc<LogReader> {
        self.reader.clone()
    }

    /// Topic name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Topic id.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// Partition index.
    pub fn partition(&self) -> PartitionIndex {
        self.partition
    }

    /// Where the files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configs in force.
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Takes effect from the next append, roll or retention run.
    pub fn update_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// The first offset that is served.
    pub fn log_start(&self) -> Offset {
        self.reader.log_start()
    }

    /// The offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        self.reader.log_end()
    }

    /// Size of the segment that takes appends.
    pub fn active_bytes(&self) -> u64 {
        self.active.size_bytes()
    }

    /// Everything below is on stable storage.
    pub fn durable_end(&self) -> Offset {
        self.reader.durable_end()
    }

    /// What `recovery-point-offset-checkpoint` may say about this log.
    pub fn recovery_point(&self) -> Offset {
        if self.config.planted.has(crate::planted::Bug::CheckpointBeforeData) {
            return self.log_end();
        }
        self.durable_end()
    }

    /// The newest leader epoch.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.reader.leader_epoch()
    }

    /// What is known about idempotent producers.
    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    /// Forgets producers that were silent too long.
    pub fn expire_producers(&mut self, now_ms: i64) {
        self.producers.expire(now_ms, self.config.producer_id_expiration_ms);
    }

    /// Fails once a sync has failed.
    pub fn check_poison(&self) -> Result<(), Poisoned> {
        self.poison.check()
    }

    /// Closes the log. With `clean`, everything is made durable, indexes and producer state included, so that the
    /// next start need not read the log; then the recovery point is the log end. Without, nothing is written, and
    /// neither is for a log that is as it was opened: thousands of idle ones close at once.
    pub fn close(mut self, clean: bool) -> Result<Offset, StorageError> {
        if clean && self.reader.damage().is_none() {
            self.poison.check()?;
            self.settle_swap()?;
            if self.unclosed {
                self.trim_active()?;
                self.dirty.files.extend(self.active.write_indexes(true)?);
                self.write_snapshot()?;
            }
            let is_empty_and_new = self.dirty.created && !self.unclosed;
            if let Some(job) = self.begin_flush().filter(|_| !is_empty_and_new) {
                let done = job.run();
                self.end_flush(done)?;
            }
        }
        Ok(self.recovery_point())
    }

    /// Takes the partition out of service: its directory is renamed, so that the name is free at once; the bytes
    /// go later. The checkpoints forget it; whoever writes them must not collect from it any more.
    pub fn delete(self) -> Result<DeletedLog, StorageError> {
        let data_dir = self.dir.parent().unwrap_or(Path::new("."));
        if !self.config.planted.has(crate::planted::Bug::DeletedTopicRemembered) {
            checkpoint::forget(&*self.disk, data_dir, &self.topic, self.partition.0)?;
        }
        let name = names::deleted_partition_dir(&self.topic, self.partition.0, self.topic_id);
        let dir = data_dir.join(name);
        self.disk.rename(&self.dir, &dir).map_err(io_at("rename", &self.dir))?;
        self.disk.sync_dir(data_dir).map_err(io_at("sync", data_dir))?;
        let readers = self.reader.segments();
        let readers = readers.iter().filter_map(|segment| segment.retire());
        let unlink = Unlink::dir(&self.disk, dir.clone()).held_by(readers);
        Ok(DeletedLog { dir, unlink })
    }

    /// Poisoned and damaged logs are not written.
    fn check_writable(&self) -> Result<(), StorageError> {
        self.poison.check()?;
        match self.reader.damage() {
            Some(damage) => Err(damage.clone().into()),
            None => Ok(()),
        }
    }
}

/// A bad batch in a segment's own file, found by the owner.
pub(crate) fn walk_error(segment: &Segment, offset: Offset, error: SliceError) -> StorageError {
    match error {
        SliceError::Storage(error) => error,
        SliceError::Bad { position, reason } => {
            Damage { path: segment.path(names::LOG), position, offset, reason: reason.to_string() }.into()
        }
    }
}
