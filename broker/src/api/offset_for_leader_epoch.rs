//! OffsetForLeaderEpoch: where a leader epoch ends in our log, for truncation detection (KIP-101, KIP-320).
//!
//! The answer names the largest epoch that is not above the one asked for; -1 and -1 where none is known.
//! Kafka: ReplicaManager.lastOffsetForLeaderEpoch.

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use logspine_protocol::types::LeaderEpoch;

use super::{RequestContext, partition_errors};
use crate::partition::Lookup;

pub async fn handle(
    context: &RequestContext,
    request: OffsetForLeaderEpochRequest<'_>,
) -> OffsetForLeaderEpochResponse<'static> {
    let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
        topic: topic.topic.to_string().into(),
        partitions: topic.partitions.iter().map(|asked| answer(context, &topic.topic, asked)).collect(),
    });
    OffsetForLeaderEpochResponse { topics: topics.collect(), ..OffsetForLeaderEpochResponse::default() }
}

fn answer(context: &RequestContext, topic: &str, asked: &OffsetForLeaderPartition) -> EpochEndOffset {
    let (error, leader_epoch, end_offset) = match find(context, topic, asked) {
        Ok(Some((epoch, end))) => (ErrorCode::None, epoch, end),
        Ok(None) => (ErrorCode::None, -1, -1),
        Err(code) => (code, -1, -1),
    };
    EpochEndOffset { error_code: error.code(), partition: asked.partition, leader_epoch, end_offset }
}

fn find(
    context: &RequestContext,
    topic: &str,
    asked: &OffsetForLeaderPartition,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    let registry = &context.broker.partitions;
    let topic_id = registry.topic_id(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = match registry.lookup(topic_id, asked.partition) {
        Lookup::Here(partition) => partition,
        Lookup::Opening => return Err(partition_errors::OPENING),
        Lookup::Offline => return Err(ErrorCode::KafkaStorageError),
        Lookup::Unknown => return Err(ErrorCode::UnknownTopicOrPartition),
    };
    match partition_errors::of_epoch(asked.current_leader_epoch, partition.view().leader_epoch().0) {
        ErrorCode::None => {}
        fenced => return Err(fenced),
    }
    let end = partition.view().log().end_offset_for_epoch(LeaderEpoch(asked.leader_epoch));
    Ok(end.map(|end| (end.epoch.0, end.end_offset.0)))
}
