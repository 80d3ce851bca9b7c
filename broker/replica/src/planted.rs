//! Bugs that tests plant to prove that the checkers catch them. Compiled only with the feature `planted`.
//!
//! Each is a run-time value, so one build serves them all; release builds contain none of it.

/// Every field is one bug of `replica.md`; `Default` is the healthy code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Planted {
    /// The state log answers when the records are appended, not when they are committed.
    pub response_before_commit: bool,
    /// After leadership was lost the staged records stay visible and the waiting replies are sent as they are.
    pub pending_kept_after_loss: bool,
    /// The high watermark follows the log end although nothing was flushed.
    pub watermark_from_log_end: bool,
}
