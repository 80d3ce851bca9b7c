//! Bugs that tests plant to prove that the checkers catch them, as run-time values: one build serves them all.
//!
//! Without the cargo feature `planted` the value cannot hold anything and every question is answered `false` at
//! compile time: release builds contain none of this. Those of the log itself are in `logspine_storage::planted`.

/// A mistake of `replica.md` that a checker must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The state log answers when the records are appended, not when they are committed.
    ResponseBeforeCommit,
    /// After leadership was lost the staged records stay visible and the waiting replies are sent as they are.
    PendingKeptAfterLoss,
    /// The high watermark follows the log end although nothing was flushed.
    WatermarkFromLogEnd,
    /// The single voter counts its entries as committed before they are on stable storage.
    CommitBeforeSync,
    /// The vote is answered before its file is on stable storage.
    VoteNotSynced,
    /// A start leaves out the last entry or batch of a log that it replays.
    ReplaySkipsTail,
}

/// The bug that something was opened with, if any.
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
