//! From what a partition says to Kafka's codes: one `match` per error enum, used by every API on partitions.
//!
//! Codes follow Kafka's `Errors.forException`; where a client would retry for ever on a code, the choice is
//! said beside the row.

use logspine_protocol::batch::BatchError;
use logspine_protocol::error::ErrorCode;
use logspine_replica::AppendError;
use logspine_storage::ReadError;

use crate::partition::{PartitionError, WaitError};

/// The log is not open yet after a start: what Kafka says of a partition in the metadata without a replica here. Every
/// client takes a look at the metadata and comes again after a pause; an idempotent producer keeps its sequence.
pub const OPENING: ErrorCode = ErrorCode::NotLeaderOrFollower;

pub fn of_partition(error: &PartitionError) -> ErrorCode {
    match error {
        PartitionError::Closed => ErrorCode::NotLeaderOrFollower,
        PartitionError::Append(error) => of_append(error),
        // Retriable: a producer goes on by itself when there is room.
        PartitionError::DiskFull(_) | PartitionError::TooSlow { .. } | PartitionError::Storage(_) => {
            ErrorCode::KafkaStorageError
        }
    }
}

pub fn of_append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::NotLeader { .. } => ErrorCode::NotLeaderOrFollower,
        AppendError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
        AppendError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        AppendError::Log(error) => of_log_append(error),
        AppendError::Storage(_) => ErrorCode::KafkaStorageError,
    }
}

fn of_log_append(error: &logspine_storage::AppendError) -> ErrorCode {
    use logspine_storage::AppendError as E;
    match error {
        E::Batch(error) => of_batch(error),
        E::RecordTooLarge { .. } => ErrorCode::MessageTooLarge,
        E::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        E::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        E::NotContiguous { .. } | E::Poisoned(_) | E::Damaged(_) | E::Storage(_) => {
            ErrorCode::KafkaStorageError
        }
    }
}

pub fn of_batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Length(_) | BatchError::Crc { .. } => ErrorCode::CorruptMessage,
        // 0 and 1 were once; whatever else stands there was never written by a producer.
        BatchError::Magic(magic) if !(0..=1).contains(magic) => ErrorCode::CorruptMessage,
        BatchError::TransactionalWithoutProducer => ErrorCode::TransactionalIdAuthorizationFailed,
        // Not CORRUPT_MESSAGE: a producer would send the same bytes again and again.
        BatchError::Codec(_) => ErrorCode::UnsupportedCompressionType,
        BatchError::Truncated { .. }
        | BatchError::Magic(_)
        | BatchError::BaseOffset(_)
        | BatchError::Empty
        | BatchError::NotOneBatch { .. }
        | BatchError::Count { .. }
        | BatchError::Compression(_)
        | BatchError::Record { .. }
        | BatchError::TrailingBytes { .. }
        | BatchError::Control
        | BatchError::Sequence { .. } => ErrorCode::InvalidRecord,
    }
}

pub fn of_wait(error: WaitError) -> ErrorCode {
    match error {
        WaitError::TimedOut => ErrorCode::RequestTimedOut,
        WaitError::Failed | WaitError::Refused => ErrorCode::KafkaStorageError,
        WaitError::Closed => ErrorCode::NotLeaderOrFollower,
    }
}

pub fn of_read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Damaged(_) | ReadError::Storage(_) => ErrorCode::KafkaStorageError,
    }
}

/// Fencing by the leader epoch that a client believes in (KIP-320); -1 believes nothing.
pub fn of_epoch(believed: i32, current: i32) -> ErrorCode {
    match believed {
        -1 => ErrorCode::None,
        older if older < current => ErrorCode::FencedLeaderEpoch,
        newer if newer > current => ErrorCode::UnknownLeaderEpoch,
        _ => ErrorCode::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_epoch_is_fenced_a_newer_one_is_unknown_and_none_is_not_asked() {
        assert_eq!(of_epoch(-1, 5), ErrorCode::None);
        assert_eq!(of_epoch(5, 5), ErrorCode::None);
        assert_eq!(of_epoch(4, 5), ErrorCode::FencedLeaderEpoch);
        assert_eq!(of_epoch(6, 5), ErrorCode::UnknownLeaderEpoch);
    }
}
