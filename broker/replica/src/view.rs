//! What readers see of a partition, without its lock.
//!
//! The log publishes its segments and ends (`storage::LogReader`), the partition its watermark and its leadership.
//! Each position has one writer (the owner, under the lock) and only readers here. A read below the watermark
//! needs no lock: records below it never change, and a slice pins its file against deletion.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};

use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_storage::{LogReader, LogSlice, ReadError};

/// Up to where a reader may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A follower reads everything that was appended.
    LogEnd,
    /// `read_uncommitted`: up to the high watermark.
    HighWatermark,
    /// `read_committed`: up to the last stable offset.
    LastStable,
}

/// How much one read may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBudget {
    pub bytes_max: u32,
    /// Return the first batch even if it alone is larger than `bytes_max` (KIP-74).
    pub at_least_one_batch: bool,
}

/// Shared by all readers of one partition.
pub struct PartitionView {
    log: Arc<LogReader>,
    high_watermark: AtomicI64,
    /// `i64::MAX` while no transaction is open.
    first_unstable_offset: AtomicI64,
    leader_epoch: AtomicI32,
    leads: AtomicBool,
}

impl PartitionView {
    pub(crate) fn new(log: Arc<LogReader>) -> PartitionView {
        let high_watermark = AtomicI64::new(log.log_start().0);
        PartitionView {
            log,
            high_watermark,
            first_unstable_offset: AtomicI64::new(i64::MAX),
            leader_epoch: AtomicI32::new(-1),
            leads: AtomicBool::new(false),
        }
    }

    pub fn log_start_offset(&self) -> Offset {
        self.log.log_start()
    }

    pub fn log_end_offset(&self) -> Offset {
        self.log.log_end()
    }

    pub fn durable_end(&self) -> Offset {
        self.log.durable_end()
    }

    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// The first offset of an open transaction, or the watermark if that is lower or nothing is open.
    pub fn last_stable_offset(&self) -> Offset {
        // The watermark first: an append publishes its transaction before any watermark can pass it.
        let high_watermark = self.high_watermark();
        let first_unstable_offset = Offset(self.first_unstable_offset.load(Ordering::Acquire));
        high_watermark.min(first_unstable_offset.max(self.log_start_offset()))
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    pub fn is_leader(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    pub fn size_bytes(&self) -> u64 {
        self.log.size_bytes()
    }

    /// The log's own face: timestamps, epochs, damage.
    pub fn log(&self) -> &LogReader {
        &self.log
    }

    /// The end of what this isolation may see.
    pub fn limit(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::LogEnd => self.log_end_offset(),
            Isolation::HighWatermark => self.high_watermark(),
            Isolation::LastStable => self.last_stable_offset(),
        }
    }

    /// Whole batches from the one that contains `from`, contiguous, below the limit. Empty at the limit.
    ///
    /// # Errors
    /// `ReadError::OutOfRange` below the log's start or beyond its end; a damaged range; a failing disk.
    pub fn read(
        &self,
        from: Offset,
        isolation: Isolation,
        budget: ReadBudget,
    ) -> Result<LogSlice, ReadError> {
        self.log.read(from, self.limit(isolation), budget.bytes_max, budget.at_least_one_batch)
    }

    pub(crate) fn publish_high_watermark(&self, offset: Offset) {
        self.high_watermark.store(offset.0, Ordering::Release);
    }

    pub(crate) fn publish_first_unstable_offset(&self, offset: Option<Offset>) {
        self.first_unstable_offset.store(offset.map_or(i64::MAX, |offset| offset.0), Ordering::Release);
    }

    pub(crate) fn publish_leadership(&self, leader_epoch: LeaderEpoch, leads: bool) {
        self.leader_epoch.store(leader_epoch.0, Ordering::Release);
        self.leads.store(leads, Ordering::Release);
    }
}
