//! One replica as the rest of the broker holds it: a short lock around `replica::Partition`, its readers' view,
//! its waiters.
//!
//! Nothing is awaited, synced, decompressed or sent under the lock. Reads go through `view` and take no lock.
//! An append queues the partition with the committer, which ends the flush here and wakes whoever waits; on a slow
//! disk appends queue in `slow_lane`. A
//! failed sync or a closed partition lets nobody wait: all are woken and told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use logspine_cluster::metadata::configs::TopicConfig;
use logspine_protocol::types::{Offset, TopicId};
use logspine_replica::{AppendError, Appended, Effects, LeaderAppend, LeaderWord, Partition, PartitionView};
use logspine_storage::{CompactionError, LogConfig, Replacement, Retained, StorageError, Unlink};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::oneshot;

use super::committer::Committer;
use super::disk_health::{DiskFull, DiskHealth, DiskState, disk_error};
use super::flight::Flight;
use super::moved::Moved;
use super::slow_lane::SlowLane;
use super::waiters::{FetchWaiter, Waiters};
use super::watch::Watch;

/// Why a partition cannot do what it is asked.
#[derive(Debug, Error)]
pub enum PartitionError {
    /// Deleted, or the broker stops.
    #[error("the partition is closed")]
    Closed,
    /// Nothing was tried.
    #[error(transparent)]
    DiskFull(#[from] DiskFull),
    #[error("the disk is slow: {queued_bytes} bytes wait to be appended to this partition")]
    TooSlow { queued_bytes: usize },
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why waiting for the watermark ended without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WaitError {
    #[error("the deadline passed")]
    TimedOut,
    #[error("a sync failed; the log takes no writes any more")]
    Failed,
    #[error("the disk refused to make it durable; it may be tried again")]
    Refused,
    #[error("the partition was closed")]
    Closed,
}

/// What became of a produced batch.
pub enum Produced {
    Now(Appended),
    /// The disk is slow: the answer comes when it has taken the batch.
    Later(oneshot::Receiver<Result<Appended, PartitionError>>),
}

const HEALTHY: u8 = 0;
const FAILED: u8 = 1;
const CLOSED: u8 = 2;

/// What went through a partition since it was opened; for the metrics.
#[derive(Debug, Default)]
pub struct Traffic {
    bytes_in: AtomicU64,
    records_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Traffic {
    pub fn appended(&self, bytes: u64, records: u64) {
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        self.records_in.fetch_add(records, Ordering::Relaxed);
    }

    pub fn fetched(&self, bytes: u64) {
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes in, records in, bytes out.
    pub fn read(&self) -> [u64; 3] {
        [&self.bytes_in, &self.records_in, &self.bytes_out].map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// What a partition tells about itself to those who come round: the committer and housekeeping.
pub(super) struct Rounds {
    pub committer: Committer,
    pub moved: Arc<Moved>,
    pub disk: Arc<DiskHealth>,
}

pub struct PartitionHandle {
    pub topic: Arc<str>,
    pub topic_id: TopicId,
    pub index: i32,
    pub traffic: Traffic,
    /// `None` once closed or deleted.
    partition: Mutex<Option<Partition>>,
    view: Arc<PartitionView>,
    config: ArcSwap<TopicConfig>,
    waiters: Waiters,
    rounds: Rounds,
    /// True while the partition stands in the committer's queue.
    is_queued: AtomicBool,
    /// The same for the queue of those that have time.
    is_queued_later: AtomicBool,
    /// A flush by time is to come.
    is_timed: AtomicBool,
    /// The next flush is one by time: of everything.
    takes_all: AtomicBool,
    health: AtomicU8,
    /// The last append was refused by the disk.
    is_refused: AtomicBool,
    /// Up to here a flush was refused since the last append: whoever waits for it is told.
    refused_below: AtomicI64,
    flight: Flight,
    lane: SlowLane,
}

impl PartitionHandle {
    pub(super) fn new(
        (topic, topic_id, index): (Arc<str>, TopicId, i32),
        partition: Partition,
        config: Arc<TopicConfig>,
        rounds: Rounds,
    ) -> PartitionHandle {
        PartitionHandle {
            topic,
            topic_id,
            index,
            traffic: Traffic::default(),
            view: partition.view(),
            partition: Mutex::new(Some(partition)),
            config: ArcSwap::new(config),
            waiters: Waiters::default(),
            rounds,
            is_queued: AtomicBool::new(false),
            is_queued_later: AtomicBool::new(false),
            is_timed: AtomicBool::new(false),
            takes_all: AtomicBool::new(false),
            health: AtomicU8::new(HEALTHY),
            is_refused: AtomicBool::new(false),
            refused_below: AtomicI64::new(0),
            flight: Flight::new(),
            lane: SlowLane::default(),
        }
    }

    /// Offsets and reads, without the lock.
    pub fn view(&self) -> &Arc<PartitionView> {
        &self.view
    }

    /// The topic's settings as they count now.
    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.load_full()
    }

    /// False once a sync failed or the partition was closed.
    pub fn is_healthy(&self) -> bool {
        self.health.load(Ordering::Acquire) == HEALTHY
    }

    /// False while the disk refuses writes, or for good after a failed sync.
    pub fn takes_writes(&self) -> bool {
        self.is_healthy() && !self.is_refused.load(Ordering::Relaxed)
    }

    /// Appends what a client produced, unless the disk is full. Does not block for long: on a slow disk the append is
    /// queued, behind those that came before.
    pub fn append_produced(
        self: &Arc<Self>,
        batches: &[u8],
        append: LeaderAppend,
    ) -> Result<Produced, PartitionError> {
        self.rounds.disk.admit()?;
        if self.lane.is_empty() && !self.flight.is_slow() {
            return Ok(Produced::Now(self.append(batches, append)?));
        }
        Ok(Produced::Later(self.lane.enter(self, batches, append)?))
    }

    pub(super) fn serve_slow_lane(self: &Arc<Self>) {
        self.lane.serve(|batches, append| self.append(batches, append));
    }

    /// Whether the disk takes long over a flush of this partition right now.
    pub fn is_slow(&self) -> bool {
        self.flight.is_slow()
    }

    /// Appends what `protocol::batch` has checked. Returns before anything is on disk: acks=all goes on to
    /// `wait_committed` with the end offset that is returned.
    pub fn append(
        self: &Arc<Self>,
        batches: &[u8],
        append: LeaderAppend,
    ) -> Result<Appended, PartitionError> {
        let mut guard = self.partition.lock();
        let partition = guard.as_mut().ok_or(PartitionError::Closed)?;
        let end_before = self.view.log_end_offset();
        self.refused_below.store(0, Ordering::Release);
        let appended = match partition.append(batches, append) {
            Ok(appended) => appended,
            Err(error) => {
                drop(guard);
                self.note_refusal(&error);
                return Err(error.into());
            }
        };
        // A duplicate appends nothing: its bytes must not count twice.
        if self.view.log_end_offset() > end_before {
            self.waiters.appended(appended.end_offset, batches.len() as u64);
            self.rounds.moved.note(batches.len() as u64);
        }
        drop(guard);
        if self.is_refused.load(Ordering::Relaxed) {
            self.note_success();
        }
        self.carry_out(&appended.effects);
        let flush_ms = self.config.load().flush_ms;
        if flush_ms < i64::MAX && !appended.effects.flush_wanted {
            self.flush_within(flush_ms);
        }
        Ok(appended)
    }

    /// The metadata made this replica the leader, or changed the sets of its reign.
    pub fn become_leader(self: &Arc<Self>, now_ms: i64, word: LeaderWord) -> Result<(), PartitionError> {
        let effects = self.with(|partition| partition.become_leader(now_ms, word))?;
        self.waiters.changed();
        self.carry_out(&effects);
        Ok(())
    }

    /// Takes changed settings of the topic.
    pub(super) fn configure(
        self: &Arc<Self>,
        topic: Arc<TopicConfig>,
        log: LogConfig,
    ) -> Result<(), PartitionError> {
        let min_insync_replicas = usize::try_from(topic.min_insync_replicas).unwrap_or(1);
        let effects = self.with(|partition| partition.update_config(log, min_insync_replicas))?;
        self.config.store(topic);
        self.carry_out(&effects);
        Ok(())
    }

    /// Moves the log's start; returns where it is now. Never past the watermark.
    pub fn delete_records(&self, before: Offset) -> Result<Offset, PartitionError> {
        let log_start = self.with(|partition| partition.delete_records(before))??;
        self.waiters.changed();
        self.rounds.moved.note(0);
        Ok(log_start)
    }

    /// Deletes what retention does not keep. The files are renamed; `take_unlinks` names them when they may go.
    pub(super) fn enforce_retention(&self, now_ms: i64, steady_ms: i64) -> Result<Retained, PartitionError> {
        let retained = self.with(|partition| partition.enforce_retention(now_ms, steady_ms))?;
        // Also after a failure: some may be renamed already.
        self.note_deleted();
        let retained = retained?;
        if retained.deleted_segments > 0 {
            self.waiters.changed();
            self.rounds.moved.note(0);
        }
        Ok(retained)
    }

    /// Tells housekeeping if there is something to free.
    pub(super) fn note_deleted(&self) {
        if self.with(|partition| partition.has_unlinks()).unwrap_or(false) {
            self.rounds.moved.note_deleted();
        }
    }

    /// Files whose time has come; unlinking them is slow and needs no lock.
    pub(super) fn take_unlinks(&self, now_ms: i64) -> Vec<Unlink> {
        let unlinks = self.with(|partition| partition.take_unlinks(now_ms)).unwrap_or_default();
        self.note_deleted();
        unlinks
    }

    /// Has what is only in the page cache flushed, though nobody waits for it: a start after a crash reads it again.
    /// Not if the active segment is larger than `active_bytes_max`.
    pub(super) fn flush_behind(self: &Arc<Self>, active_bytes_max: u64) {
        let is_behind = self.view.durable_end() < self.view.log_end_offset();
        let is_small =
            || self.with(|partition| partition.active_bytes() <= active_bytes_max).unwrap_or(false);
        if is_behind && is_small() && !self.is_queued_later.swap(true, Ordering::AcqRel) {
            self.rounds.committer.enqueue_later(Arc::clone(self));
        }
    }

    /// Puts a compacted segment in the place of those it was made of. Waits for syncs, without the lock. Closing the
    /// partition meanwhile is fine: whoever opens it next finishes or undoes the swap.
    pub(super) fn swap_in(&self, mut replacement: Replacement, now_ms: i64) -> Result<(), CompactionError> {
        let closed = |_: PartitionError| CompactionError::Overtaken;
        loop {
            let step =
                self.with(|partition| partition.swap_step(&mut replacement, now_ms)).map_err(closed)?;
            self.note_deleted();
            let stepped = match step {
                Ok(None) => return Ok(()),
                Ok(Some(sync)) => sync.run(),
                Err(error) => Err(error),
            };
            if let Err(error) = stepped {
                self.with(|partition| partition.abandon_swap(replacement, &error)).map_err(closed)?;
                return Err(error);
            }
        }
    }

    /// Waits until consumers may see everything below `end_offset`.
    pub async fn wait_committed(&self, end_offset: Offset, deadline: Instant) -> Result<(), WaitError> {
        let is_over = || {
            if self.view.high_watermark() >= end_offset {
                return Some(Ok(()));
            }
            match self.health.load(Ordering::Acquire) {
                HEALTHY if end_offset.0 <= self.refused_below.load(Ordering::Acquire) => {
                    Some(Err(WaitError::Refused))
                }
                HEALTHY => None,
                FAILED => Some(Err(WaitError::Failed)),
                _ => Some(Err(WaitError::Closed)),
            }
        };
        // The common case needs no timer: the watermark is there, or the wait is over before it is asked again.
        if let Some(over) = is_over() {
            return over;
        }
        let wait = self.waiters.wait(end_offset, is_over);
        tokio::time::timeout_at(deadline.into(), wait).await.unwrap_or(Err(WaitError::TimedOut))
    }

    /// Puts a fetch into this partition's list. Register first, then read.
    pub fn register_fetch(&self, waiter: &Arc<FetchWaiter>) {
        self.waiters.register_fetch(waiter);
        if !self.is_healthy() {
            self.waiters.wake_all();
        }
    }

    /// Has a fetch session told of every move of this partition. Register first, then read.
    pub fn watch(&self, watch: &Arc<Watch>, slot: u32) {
        self.waiters.watch(watch, slot);
    }

    pub fn unregister_fetch(&self, waiter: &Arc<FetchWaiter>) {
        self.waiters.unregister_fetch(waiter);
    }

    /// A flush from begin to end, unless one is under way, which then queues the partition again. Called by the committer.
    pub(super) fn flush(self: &Arc<Self>) {
        // From here on an append queues the partition again: this flush may not carry it any more.
        self.is_queued.store(false, Ordering::Release);
        self.is_queued_later.store(false, Ordering::Release);
        if !self.flight.begin() {
            return;
        }
        self.flush_now();
        if self.flight.end() {
            self.queue();
        }
    }

    /// The three steps: the durable end and perhaps the watermark move, and whoever waits is woken.
    fn flush_now(self: &Arc<Self>) {
        let takes_all = self.takes_all.swap(false, Ordering::AcqRel);
        let begin = if takes_all { Partition::begin_flush_of_all } else { Partition::begin_flush };
        let begun = self.partition.lock().as_mut().and_then(begin);
        let Some(flush) = begun else { return };
        if flush.holds_appends() {
            self.flight.holds_appends();
        }
        let flushed = flush.run();
        let refused = flushed.refused().map(|error| {
            self.note_refusal(error);
            self.view.log_end_offset()
        });
        let ended = self.partition.lock().as_mut().map(|partition| partition.end_flush(flushed));
        match (ended, refused) {
            (Some(Ok(_)), Some(log_end)) => {
                self.refused_below.store(log_end.0, Ordering::Release);
                self.waiters.wake_all();
            }
            (Some(Ok(effects)), None) => {
                self.rounds.moved.note(0);
                self.carry_out(&effects);
            }
            (Some(Err(poisoned)), _) => {
                tracing::error!(topic = %self.topic, partition = self.index, "{poisoned}");
                self.leave(FAILED);
            }
            (None, _) => {}
        }
    }

    /// Says once that the disk refuses this partition's writes; of a full or read-only disk it is said elsewhere.
    fn note_refusal(&self, error: &(dyn std::error::Error + 'static)) {
        let Some(disk_error) = disk_error(error) else { return };
        self.rounds.disk.failed(disk_error);
        let is_news = !self.is_refused.swap(true, Ordering::AcqRel);
        if is_news && self.rounds.disk.state() == DiskState::Writable {
            tracing::error!(
                topic = %self.topic,
                partition = self.index,
                "the disk refuses this partition's writes, reads go on: {error}"
            );
        }
    }

    /// Rare: the first append after one that was refused.
    fn note_success(&self) {
        let was_known = self.rounds.disk.state() != DiskState::Writable;
        self.rounds.disk.succeeded();
        self.is_refused.store(false, Ordering::Release);
        if !was_known {
            tracing::info!(topic = %self.topic, partition = self.index, "the disk takes writes again");
        }
    }

    /// Stops cleanly; returns the recovery point. Later calls find the partition closed.
    pub(super) fn close(&self) -> Result<Option<Offset>, StorageError> {
        let partition = self.partition.lock().take();
        self.leave(CLOSED);
        partition.map(Partition::close).transpose()
    }

    /// Takes the replica out, for its data to be deleted.
    pub(super) fn take_for_deletion(&self) -> Option<Partition> {
        let partition = self.partition.lock().take();
        self.leave(CLOSED);
        partition
    }

    /// Acts on the replica under its lock: briefly, and without waiting for anything.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Partition) -> T) -> Result<T, PartitionError> {
        self.partition.lock().as_mut().map(act).ok_or(PartitionError::Closed)
    }

    fn leave(&self, health: u8) {
        self.health.fetch_max(health, Ordering::AcqRel);
        self.waiters.wake_all();
    }

    fn carry_out(self: &Arc<Self>, effects: &Effects) {
        if let Some(high_watermark) = effects.high_watermark {
            self.waiters.advanced(high_watermark);
            self.rounds.moved.note(0);
        }
        if effects.flush_wanted {
            self.queue();
        }
    }

    /// flush.ms: one timer for the first record that waits, and none for a partition to which nobody writes.
    fn flush_within(self: &Arc<Self>, flush_ms: i64) {
        if self.is_timed.swap(true, Ordering::AcqRel) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return self.flush_by_time() };
        let partition = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(flush_ms.unsigned_abs())).await;
            if let Some(partition) = partition.upgrade() {
                partition.flush_by_time();
            }
        });
    }

    fn flush_by_time(self: &Arc<Self>) {
        self.is_timed.store(false, Ordering::Release);
        self.takes_all.store(true, Ordering::Release);
        self.queue();
    }

    fn queue(self: &Arc<Self>) {
        if !self.is_queued.swap(true, Ordering::AcqRel) {
            self.rounds.committer.enqueue(Arc::clone(self));
        }
    }
}
