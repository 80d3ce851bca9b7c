//! Why the metadata log cannot be opened or written. At a start each of them stops the broker; later the last image
//! is served and no change is made.

use std::path::PathBuf;

use logspine_cluster::quorum::{ProposeError, StartError};
use logspine_protocol::batch::BatchError;
use logspine_protocol::types::Offset;
use logspine_storage::{AppendError, Damage, Poisoned, ReadError, StorageError};

#[derive(Debug, thiserror::Error)]
pub enum RaftLogError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("cannot read the metadata log at offset {offset}: {source}")]
    ReadBytes { offset: Offset, source: std::io::Error },
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// The disk refused a small file that belongs to the flush; nothing is in doubt.
    #[error("the metadata log is not flushed: {reason}")]
    FlushRefused { reason: String, source: std::io::Error },
    /// Committed metadata does not read back. Nothing is cut: only a person may decide to lose it.
    #[error(
        "the metadata log cannot be read to its end: {0}; restore the data directory from a copy, or move it aside to start an empty cluster"
    )]
    Damaged(#[from] Damage),
    #[error("the metadata log holds no valid batch at offset {offset}: {reason}")]
    Batch { offset: Offset, reason: BatchError },
    /// Not healed by an older copy of the file: that may have forgotten a vote.
    #[error(
        "{} does not say whom this node voted for: {reason}; mend the disk or start the version that wrote it, or take \
         this node out of the voters and let it join again with an empty directory",
        path.display()
    )]
    Vote { path: PathBuf, reason: String },
    /// Whom this node voted for cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    VoteNotWritten { path: PathBuf, source: std::io::Error },
    #[error(
        "the metadata log holds term {term}, which no election can have reached; restore the data directory from a copy"
    )]
    Term { term: u64 },
    #[error("the metadata quorum cannot start: {0}")]
    Start(#[from] StartError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
}

impl RaftLogError {
    /// The flush keeps the error itself, for it is still to be ended.
    pub(super) fn flush_refused(error: &StorageError) -> RaftLogError {
        let kind = match error {
            StorageError::Io { source, .. } => source.kind(),
            _ => std::io::ErrorKind::Other,
        };
        RaftLogError::FlushRefused { reason: error.to_string(), source: kind.into() }
    }
}
