//! One partition replica: one log and one decision about it, owned together.
//!
//! The shell keeps it behind one mutex and never awaits, syncs, decompresses or sends under that lock; readers use
//! the `PartitionView`. Invariants: `log_start <= high_watermark <= durable_end <= log_end` on a leader that
//! flushes each append; offsets move only here; a flush is three steps (`begin_flush`, `Flush::run`,
//! `end_flush`) so that a crash can fall between them; a failed sync poisons the log for good.
//! Called by the shell's `partition/handle.rs` and by the simulator.

use std::path::PathBuf;
use std::sync::Arc;

use logspine_cluster::partition::{Leadership, PartitionState};
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use logspine_storage::compaction::SyncDir;
use logspine_storage::disk::Disk;
use logspine_storage::{
    AppendInfo, Cleanable, Compaction, CompactionError, CompactionScope, DeletedLog, FlushDone, FlushJob,
    Log, LogConfig, OpenLog, Poisoned, Recovered, Replacement, Retained, StorageError, Unlink,
};

use crate::effects::Effects;
use crate::planted::{Bug, Planted};
use crate::view::PartitionView;

mod error;

pub use error::AppendError;

/// Everything that a replica needs to know to open.
pub struct OpenPartition {
    pub disk: Arc<dyn Disk>,
    /// The partition's own directory.
    pub dir: PathBuf,
    pub topic: String,
    pub topic_id: TopicId,
    pub partition: PartitionIndex,
    pub config: LogConfig,
    pub broker: BrokerId,
    /// What the checkpoint files of the data directory say of this partition.
    pub recovery_point: Offset,
    pub log_start: Offset,
    pub high_watermark: Offset,
    /// The process before stopped cleanly: everything on disk is whole.
    pub clean: bool,
    pub now_ms: i64,
}

/// What the metadata says about who leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderWord {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// `min.insync.replicas` of the topic.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max_ms: i64,
}

/// How a producer wants its batches appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderAppend {
    /// acks=all: refuse below `min.insync.replicas` instead of appending.
    pub require_min_isr: bool,
    pub now_ms: i64,
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub info: AppendInfo,
    /// acks=all is done when the high watermark reaches this offset.
    pub end_offset: Offset,
    pub log_start_offset: Offset,
    pub effects: Effects,
}

/// The second step of a flush: carried away from the lock, run on the pool.
pub struct Flush(FlushJob);

impl Flush {
    /// Whether appends may have to wait for the disk meanwhile.
    pub fn holds_appends(&self) -> bool {
        self.0.holds_appends()
    }

    /// Syncs files and directories. Blocks; takes no lock.
    pub fn run(self) -> Flushed {
        Flushed(self.0.run())
    }
}

/// What a flush came to; only `Partition::end_flush` can read it.
pub struct Flushed(FlushDone);

impl Flushed {
    /// Why nothing became durable although no sync failed; the log goes on.
    pub fn refused(&self) -> Option<&StorageError> {
        self.0.refused()
    }
}

/// One replica on this broker.
pub struct Partition {
    log: Log,
    state: PartitionState,
    view: Arc<PartitionView>,
    flush_messages: i64,
    planted: Planted,
}

impl Partition {
    /// Opens and recovers the log. The replica neither leads nor follows until it is told.
    pub fn open(open: OpenPartition) -> Result<(Partition, Recovered), StorageError> {
        let flush_messages = open.config.flush_messages;
        let (log, recovered) = Log::open(OpenLog {
            disk: open.disk,
            dir: open.dir,
            topic: open.topic,
            topic_id: open.topic_id,
            partition: open.partition,
            config: open.config,
            recovery_point: open.recovery_point,
            log_start: open.log_start,
            clean: open.clean,
            now_ms: open.now_ms,
        })?;
        let reader = log.reader();
        let high_watermark = open.high_watermark.max(reader.log_start()).min(reader.log_end());
        let view = Arc::new(PartitionView::new(reader));
        view.publish_high_watermark(high_watermark);
        view.publish_first_unstable_offset(log.first_unstable_offset());
        let partition = Partition {
            log,
            state: PartitionState::new(open.broker, high_watermark),
            view,
            flush_messages,
            planted: Planted::default(),
        };
        Ok((partition, recovered))
    }

    /// The metadata made this replica the leader, or changed the sets of a reign that goes on.
    pub fn become_leader(&mut self, now_ms: i64, word: LeaderWord) -> Effects {
        let effects = self.state.become_leader(
            now_ms,
            Leadership {
                leader_epoch: word.leader_epoch,
                partition_epoch: word.partition_epoch,
                replicas: word.replicas,
                isr: word.isr,
                min_insync_replicas: word.min_insync_replicas,
                lag_time_max_ms: word.lag_time_max_ms,
                log_end: self.view.log_end_offset(),
                durable_end: self.reported_durable_end(),
                high_watermark: self.view.high_watermark(),
            },
        );
        let effects = self.carry_out(effects);
        self.view.publish_leadership(self.state.leader_epoch(), true);
        effects
    }

    /// Appends one produced batch, or several of one producer, already checked by `protocol::batch`.
    pub fn append(&mut self, batches: &[u8], append: LeaderAppend) -> Result<Appended, AppendError> {
        if !self.state.is_leader() {
            return Err(AppendError::NotLeader { leader_epoch: self.state.leader_epoch() });
        }
        if append.require_min_isr && self.state.is_under_min_isr() {
            return Err(AppendError::NotEnoughReplicas { isr: self.state.isr() });
        }
        let info = self.log.append_as_leader(batches, self.state.leader_epoch(), append.now_ms)?;
        let log_end = self.view.log_end_offset();
        self.state.appended(log_end);
        let durable = self.reported_durable_end();
        let effects = self.state.durable(durable);
        let mut effects = self.carry_out(effects);
        effects.flush_wanted = self.flush_is_due() || self.log.had_better_flush();
        let log_start_offset = self.view.log_start_offset();
        // A duplicate may be a batch that is still on its way to the disk: it waits for its own end, too.
        Ok(Appended { end_offset: info.last_offset + 1, info, log_start_offset, effects })
    }

    /// Size of the active segment.
    pub fn active_bytes(&self) -> u64 {
        self.log.active_bytes()
    }

    /// First step of a flush, under the lock. `None` when everything is on disk. While no flush is due, only what is
    /// sealed is flushed.
    pub fn begin_flush(&mut self) -> Option<Flush> {
        let sealed = if self.flush_is_due() { None } else { self.log.begin_flush_of_sealed() };
        sealed.or_else(|| self.log.begin_flush()).map(Flush)
    }

    /// The same for a flush whose time has come: of everything.
    pub fn begin_flush_of_all(&mut self) -> Option<Flush> {
        self.log.begin_flush().map(Flush)
    }

    /// Third step, under the lock: the durable end moves, and with it perhaps the watermark.
    ///
    /// # Errors
    /// A failed sync: the log takes no write any more, and what waits for it must be refused.
    pub fn end_flush(&mut self, flushed: Flushed) -> Result<Effects, Poisoned> {
        self.log.end_flush(flushed.0)?;
        let durable = self.reported_durable_end();
        let effects = self.state.durable(durable);
        Ok(self.carry_out(effects))
    }

    /// Moves the log's start (DeleteRecords). Never past the watermark.
    pub fn delete_records(&mut self, before: Offset) -> Result<Offset, AppendError> {
        let high_watermark = self.view.high_watermark();
        if before < Offset(0) || before > high_watermark {
            return Err(AppendError::OffsetOutOfRange { given: before, high_watermark });
        }
        self.log.advance_log_start(before)?;
        Ok(self.view.log_start_offset())
    }

    /// Deletes whole segments that are past their time, too much, or below the log's start; rolls an active
    /// segment that is due; forgets producers that were silent for too long.
    /// `steady_ms` is a time that nobody sets, for what only has to last a while.
    pub fn enforce_retention(&mut self, now_ms: i64, steady_ms: i64) -> Result<Retained, StorageError> {
        self.log.expire_producers(now_ms);
        self.log.roll_if_due(steady_ms)?;
        self.log.enforce_retention(now_ms, self.view.high_watermark())
    }

    /// For the choice of a log to compact; see `storage::compaction` for the steps that follow.
    pub fn compaction_scope(&self) -> CompactionScope {
        self.log.compaction_scope(self.view.last_stable_offset())
    }

    /// Takes what a compaction needs.
    pub fn begin_compaction(&self, cleanable: Cleanable, now_ms: i64) -> Result<Compaction, StorageError> {
        self.log.begin_compaction(cleanable, now_ms)
    }

    /// Takes a compacted segment one step further into the log.
    pub fn swap_step(
        &mut self,
        replacement: &mut Replacement,
        now_ms: i64,
    ) -> Result<Option<SyncDir>, CompactionError> {
        self.log.swap_step(replacement, now_ms)
    }

    /// Gives a compacted segment up.
    pub fn abandon_swap(&mut self, replacement: Replacement, error: &CompactionError) {
        self.log.abandon_swap(replacement, error);
    }

    /// Takes a changed topic configuration.
    pub fn update_config(&mut self, config: LogConfig, min_insync_replicas: usize) -> Effects {
        self.flush_messages = config.flush_messages;
        self.log.update_config(config);
        let mut effects = self.state.update_min_insync_replicas(min_insync_replicas);
        let durable = self.reported_durable_end();
        effects.extend(self.state.durable(durable));
        self.carry_out(effects)
    }

    /// Files whose `file.delete.delay.ms` is over: the shell unlinks them away from the lock, for that is slow.
    pub fn take_unlinks(&mut self, now_ms: i64) -> Vec<Unlink> {
        self.log.take_unlinks(now_ms)
    }

    /// Whether `take_unlinks` has anything to give, now or later.
    pub fn has_unlinks(&self) -> bool {
        self.log.has_unlinks()
    }

    /// What `recovery-point-offset-checkpoint` may say of this partition.
    pub fn recovery_point(&self) -> Offset {
        self.log.recovery_point()
    }

    /// Stops cleanly: syncs, and writes what lets the next start trust the log. Returns its recovery point.
    pub fn close(self) -> Result<Offset, StorageError> {
        self.log.close(true)
    }

    /// Takes the partition's data away: renamed at once, so that its name is free; freed later by the shell.
    pub fn delete(self) -> Result<DeletedLog, StorageError> {
        self.log.delete()
    }

    pub fn view(&self) -> Arc<PartitionView> {
        Arc::clone(&self.view)
    }

    /// In-sync replicas as committed; empty on a follower.
    pub fn isr(&self) -> Vec<BrokerId> {
        self.state.isr()
    }

    /// `flush.messages=1` counts what is on disk; anything larger counts what was appended. The one difference.
    fn reported_durable_end(&self) -> Offset {
        if self.planted.has(Bug::WatermarkFromLogEnd) {
            return self.view.log_end_offset();
        }
        if self.flush_messages <= 1 { self.view.durable_end() } else { self.view.log_end_offset() }
    }

    fn flush_is_due(&self) -> bool {
        self.view.log_end_offset() - self.view.durable_end() >= self.flush_messages.max(1)
    }

    fn carry_out(&mut self, effects: Vec<logspine_cluster::partition::Effect>) -> Effects {
        let effects = Effects::collect(effects);
        if let Some(offset) = effects.high_watermark {
            // A transaction that begins below the new watermark is published before it, one that ended after it.
            self.view.publish_first_unstable_offset(self.log.first_unstable_offset());
            self.view.publish_high_watermark(offset);
            self.log.high_watermark_moved(offset);
        }
        self.view.publish_first_unstable_offset(self.log.first_unstable_offset());
        effects
    }

    /// Plants bugs for the checkers to find. Absent from release builds.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }
}
