//! Bugs on purpose, as run-time values, so that one test build shows that each of them is caught.
//!
//! Without the cargo feature `planted` the value cannot hold anything and every question is answered `false`
//! at compile time: release builds contain none of this.

/// A mistake that the power-cut checker must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A sealed segment leaves the dirty set when the log rolls.
    SyncForgottenAtRoll,
    /// New names are never made durable.
    DirectoryNotSynced,
    /// The recovery point is taken from the log end instead of the durable end.
    CheckpointBeforeData,
    /// A failed sync is tried again as if nothing had happened.
    FailedSyncRetried,
    /// The durable end moves before the sync has returned.
    DurableEndMovedInBeginFlush,
    /// Sealed segments are believed although they end behind the recovery point.
    IndexTrustedAfterCrash,
    /// Producer snapshots that describe more than the log holds are kept and believed.
    SnapshotNewerThanLog,
    /// A truncation leaves nothing to sync behind.
    TruncationNotSynced,
    /// A truncation cuts before the durable recovery point is lowered.
    RecoveryPointNotLowered,
    /// A flush that began before a truncation still moves the durable end to where it was.
    FlushForgetsTruncation,
    /// Leader epochs are not written by the flush that makes their batches durable.
    EpochsBehindData,
    /// The checkpointed log start is not looked at.
    LogStartLost,
    /// Batches of an unsynced tail are believed by their headers.
    TornTailAccepted,
    /// Recovery syncs what an earlier process could not sync, without writing it again.
    TailNotRewritten,
    /// Retention takes the next segment away before the name of the last one is durable.
    DeletionBeforeNames,
    /// Retention takes the index of aborted transactions away before the log's own name is durably gone.
    IndexGoneBeforeLog,
    /// A read that goes on inside of a segment begins with the next one.
    JumpToNextSegment,
    /// A topic that was deleted leaves its recovery points to the next one of its name.
    DeletedTopicRemembered,
    /// A truncation that fails half-way leaves a log that takes appends.
    HalfTruncation,
    /// A truncation into a gap that compaction left ends the log where no batch ends.
    TruncationIntoGap,
    /// Batches without a topic id are served to whoever opens the directory.
    NobodysServed,
    /// Recovery makes batches count whose topic id was never made durable.
    TopicIdNotSynced,
    /// What recovery found good is not synced before it counts.
    RecoveredNotSynced,
    /// A truncation leaves the transactions that were aborted behind it in their index.
    AbortedTxnsKept,
    /// A flush of sealed segments vouches for the active one, which it did not sync.
    SealedFlushCountsAll,
    /// A compaction replaces segments that were truncated meanwhile.
    SwapOverTruncation,
    /// Compaction renames its files before they are on stable storage.
    CleanedNotSynced,
    /// Compaction takes the next step of a swap before the last one is durable.
    SwapNotSynced,
}

impl Bug {
    /// Those that a compaction alone shows.
    pub const COMPACTION: [Bug; 2] = [Bug::CleanedNotSynced, Bug::SwapNotSynced];

    /// All of them.
    pub const ALL: [Bug; 28] = [
        Bug::SyncForgottenAtRoll,
        Bug::DirectoryNotSynced,
        Bug::CheckpointBeforeData,
        Bug::FailedSyncRetried,
        Bug::DurableEndMovedInBeginFlush,
        Bug::IndexTrustedAfterCrash,
        Bug::SnapshotNewerThanLog,
        Bug::TruncationNotSynced,
        Bug::RecoveryPointNotLowered,
        Bug::FlushForgetsTruncation,
        Bug::EpochsBehindData,
        Bug::LogStartLost,
        Bug::TornTailAccepted,
        Bug::TailNotRewritten,
        Bug::DeletionBeforeNames,
        Bug::IndexGoneBeforeLog,
        Bug::JumpToNextSegment,
        Bug::DeletedTopicRemembered,
        Bug::HalfTruncation,
        Bug::TruncationIntoGap,
        Bug::NobodysServed,
        Bug::TopicIdNotSynced,
        Bug::RecoveredNotSynced,
        Bug::AbortedTxnsKept,
        Bug::SealedFlushCountsAll,
        Bug::SwapOverTruncation,
        Bug::CleanedNotSynced,
        Bug::SwapNotSynced,
    ];
}

/// The bug that a log was opened with, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Planted {
    #[cfg(feature = "planted")]
    bug: Option<Bug>,
}

impl Planted {
    /// Plants one.
    #[cfg(feature = "planted")]
    pub fn bug(bug: Bug) -> Planted {
        Planted { bug: Some(bug) }
    }

    #[cfg(feature = "planted")]
    pub(crate) fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(feature = "planted"))]
    pub(crate) fn has(self, _bug: Bug) -> bool {
        false
    }
}
