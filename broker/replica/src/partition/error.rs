//! Why a partition does not append. `api/produce.rs` translates each to one of Kafka's codes.

use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset};
use logspine_storage::StorageError;

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("this broker does not lead the partition (leader epoch {leader_epoch})")]
    NotLeader { leader_epoch: LeaderEpoch },
    #[error("acks=all, but only {isr:?} are in sync, fewer than min.insync.replicas")]
    NotEnoughReplicas { isr: Vec<BrokerId> },
    #[error("offset {given} is not between 0 and the high watermark {high_watermark}")]
    OffsetOutOfRange { given: Offset, high_watermark: Offset },
    #[error(transparent)]
    Log(#[from] logspine_storage::AppendError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}
