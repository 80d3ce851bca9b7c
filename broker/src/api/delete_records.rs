//! DeleteRecords: moves the start of partitions; what lies before is gone for readers at once.
//!
//! The new start is in the checkpoint file before the answer leaves, so that a restart does not bring the
//! records back. -1 means "up to the high watermark"; beyond it nothing can be deleted. Topics that are only
//! compacted and internal topics are refused. Kafka: ReplicaManager.deleteRecords.

use std::sync::Arc;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse,
    DeleteRecordsTopicResult,
};
use logspine_protocol::types::Offset;

use super::{RequestContext, duplicates, partition_errors};
use crate::partition::{Lookup, PartitionHandle};

const HIGH_WATERMARK: i64 = -1;

pub async fn handle(
    context: &RequestContext,
    request: DeleteRecordsRequest<'_>,
) -> DeleteRecordsResponse<'static> {
    let names = request
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (&topic.name, partition.partition_index)));
    let mut again = duplicates::named_again_later(names).unwrap_or_default().into_iter();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            if !again.next().unwrap_or_default() {
                partitions.push(delete(context, &topic.name, asked).await);
            }
        }
        topics.push(DeleteRecordsTopicResult { name: topic.name.to_string().into(), partitions });
    }
    if let Err(code) = checkpoint(context).await {
        refuse_all(&mut topics, code);
    }
    DeleteRecordsResponse { topics, ..DeleteRecordsResponse::default() }
}

async fn delete(
    context: &RequestContext,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> DeleteRecordsPartitionResult {
    let result = match find(context, topic, asked.partition_index) {
        Ok(partition) => delete_before(partition, asked.offset).await,
        Err(code) => Err(code),
    };
    let (error, low_watermark) = match result {
        Ok(offset) => (ErrorCode::None, offset.0),
        Err(code) => (code, -1),
    };
    DeleteRecordsPartitionResult {
        partition_index: asked.partition_index,
        low_watermark,
        error_code: error.code(),
    }
}

fn find(context: &RequestContext, topic: &str, index: i32) -> Result<Arc<PartitionHandle>, ErrorCode> {
    let registry = &context.broker.partitions;
    let topic_id = registry.topic_id(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = match registry.lookup(topic_id, index) {
        Lookup::Here(partition) => partition,
        Lookup::Opening => return Err(partition_errors::OPENING),
        Lookup::Offline => return Err(ErrorCode::KafkaStorageError),
        Lookup::Unknown => return Err(ErrorCode::UnknownTopicOrPartition),
    };
    if logspine_cluster::metadata::is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let policy = partition.config().cleanup_policy;
    if policy.compact && !policy.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    Ok(partition)
}

/// On the blocking pool: segments may have to be renamed.
async fn delete_before(partition: Arc<PartitionHandle>, asked: i64) -> Result<Offset, ErrorCode> {
    let deleted = tokio::task::spawn_blocking(move || {
        let before = match asked {
            HIGH_WATERMARK => partition.view().high_watermark(),
            offset => Offset(offset),
        };
        partition.delete_records(before)
    });
    match deleted.await {
        Ok(deleted) => deleted.map_err(|error| partition_errors::of_partition(&error)),
        Err(_) => Err(ErrorCode::UnknownServerError),
    }
}

async fn checkpoint(context: &RequestContext) -> Result<(), ErrorCode> {
    let registry = Arc::clone(&context.broker.partitions);
    let written = tokio::task::spawn_blocking(move || registry.write_log_starts()).await;
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            tracing::error!("cannot write the log starts: {error}");
            Err(ErrorCode::KafkaStorageError)
        }
        Err(_) => Err(ErrorCode::UnknownServerError),
    }
}

/// A start that is not on disk is not acknowledged.
fn refuse_all(topics: &mut [DeleteRecordsTopicResult<'_>], code: ErrorCode) {
    for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == ErrorCode::None.code() {
            partition.error_code = code.code();
            partition.low_watermark = -1;
        }
    }
}
