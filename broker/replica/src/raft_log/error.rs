//! Why the metadata log cannot be opened or written. Each of them stops the broker: with metadata in doubt there
//! is nothing safe to serve.

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
    /// Committed metadata does not read back. Nothing is cut: only a person may decide to lose it.
    #[error(
        "the metadata log cannot be read to its end: {0}; restore the data directory from a copy, or move it aside to start an empty cluster"
    )]
    Damaged(#[from] Damage),
    #[error("the metadata log holds no valid batch at offset {offset}: {reason}")]
    Batch { offset: Offset, reason: BatchError },
    #[error("{} does not say whom this node voted for: {reason}; restore it from a copy of the data directory", path.display())]
    Vote { path: PathBuf, reason: String },
    #[error("the metadata quorum cannot start: {0}")]
    Start(#[from] StartError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
}
