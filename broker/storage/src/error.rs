//! What can go wrong between a log and its disk, with the file, the offset and the numbers inside.
//!
//! `StorageError` is for opening and housekeeping, `AppendError` and `ReadError` for the two hot paths. `api/`
//! maps them to Kafka's codes: `Damage`, `Poisoned` and I/O become `KAFKA_STORAGE_ERROR`.

use std::io;
use std::path::{Path, PathBuf};

use logspine_protocol::batch::BatchError;
use logspine_protocol::types::{Offset, TopicId};

/// An operation on files failed, or found what it must not touch.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    /// A file in a format that this version does not write: newer, older, or not Kafka's at all.
    #[error("{} at byte {position}: {found}; {advice}", path.display())]
    Foreign { path: PathBuf, position: u64, found: String, advice: &'static str },
    /// A small file that tells whose the directory is does not read back.
    #[error("{} at byte {position}: {reason}", path.display())]
    Unreadable { path: PathBuf, position: u64, reason: String },
    /// Another process works in this data directory.
    #[error("{} is locked by another process: is a broker running on this data directory?", path.display())]
    Locked { path: PathBuf },
    /// The directory belongs to another topic of the same name.
    #[error("{} holds topic id {found}, expected {expected}", path.display())]
    TopicId { path: PathBuf, found: TopicId, expected: TopicId },
    /// Nobody knows which directory is whose.
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    /// A write was asked of a log that must not be written any more.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// An operation was asked of a damaged log that would lose what is behind the damage.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// Wraps an `io::Error` with what was tried on which path.
pub(crate) fn io_at<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> StorageError + 'p {
    move |source| StorageError::Io { action, path: path.to_path_buf(), source }
}

/// The partition's bytes lie elsewhere, or another partition's lie in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} {found}; stop the broker and give each directory the name of the partition whose bytes it holds: \
     its partition.metadata has the topic's id", path.display()
)]
pub struct Misplaced {
    /// The partition's place.
    pub path: PathBuf,
    /// What is wrong with it.
    pub found: String,
}

/// A sync failed earlier: what the kernel says about this log's bytes is worth nothing until a restart recovers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the log in {} refuses writes since a sync failed: {reason}", path.display())]
pub struct Poisoned {
    /// Partition directory.
    pub path: PathBuf,
    /// The disk's words.
    pub reason: String,
}

/// Bytes below the recovery point, once known to be on stable storage, do not read back. Never cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged at byte {position} (offset {offset}): {reason}", path.display())]
pub struct Damage {
    /// The `.log` file.
    pub path: PathBuf,
    /// Where in the file.
    pub position: u64,
    /// The first offset that is not served.
    pub offset: Offset,
    /// What is wrong with the bytes.
    pub reason: String,
}

/// A batch was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The bytes are no record batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// `max.message.bytes`.
    #[error("the record batch has {size_bytes} bytes, max.message.bytes is {max_message_bytes}")]
    RecordTooLarge { size_bytes: usize, max_message_bytes: i32 },
    /// A gap in a producer's sequences.
    #[error(
        "producer {producer_id} epoch {producer_epoch} sent sequence {sequence}, its last one was {last_sequence}"
    )]
    OutOfOrderSequence { producer_id: i64, producer_epoch: i16, sequence: i32, last_sequence: i32 },
    /// An older incarnation of the producer.
    #[error("producer {producer_id} sent epoch {producer_epoch}, epoch {current_epoch} is known")]
    InvalidProducerEpoch { producer_id: i64, producer_epoch: i16, current_epoch: i16 },
    /// A follower may only append what continues its log.
    #[error("the batch starts at offset {found}, the log ends at {expected}")]
    NotContiguous { expected: Offset, found: Offset },
    /// Refused for good.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// Refused until an operator decides.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk refused; nothing was appended.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for AppendError {
    fn from(error: StorageError) -> AppendError {
        match error {
            StorageError::Poisoned(poisoned) => AppendError::Poisoned(poisoned),
            StorageError::Damaged(damage) => AppendError::Damaged(damage),
            error => AppendError::Storage(error),
        }
    }
}

/// A read that cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Kafka's OFFSET_OUT_OF_RANGE.
    #[error("offset {requested} is outside of the log, which spans {log_start} to {log_end}")]
    OutOfRange { requested: Offset, log_start: Offset, log_end: Offset },
    /// The offset lies at or behind the damage.
    #[error(transparent)]
    Damaged(#[from] Damage),
    /// The disk refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
