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
    /// Compaction renames its files before they are on stable storage.
    CleanedNotSynced,
    /// Compaction takes the next step of a swap before the last one is durable.
    SwapNotSynced,
}

impl Bug {
    /// Those of compaction, which has a test of its own.
    pub const COMPACTION: [Bug; 2] = [Bug::CleanedNotSynced, Bug::SwapNotSynced];

    /// All others.
    pub const ALL: [Bug; 5] = [
        Bug::SyncForgottenAtRoll,
        Bug::DirectoryNotSynced,
        Bug::CheckpointBeforeData,
        Bug::FailedSyncRetried,
        Bug::DurableEndMovedInBeginFlush,
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
