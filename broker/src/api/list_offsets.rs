//! ListOffsets: the earliest, the latest and the youngest offset of a partition, or the first not older than a time.
//!
//! Consumers see up to the high watermark (or, read_committed, the last stable offset): records beyond it are not
//! found by time either. Searches by time read the log and run on the blocking pool. Special timestamps: -1
//! latest, -2 earliest, -3 youngest (from version 7), -4 earliest local (8), -5 latest tiered (9) and -6
//! earliest pending upload (11), which without remote storage have no offset. Kafka: UnifiedLog.fetchOffsetByTimestamp.

use std::collections::HashMap;
use std::sync::Arc;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use logspine_protocol::types::Offset;
use logspine_replica::{Isolation, PartitionView};
use logspine_storage::ReadError;

use super::{RequestContext, duplicates, partition_errors};
use crate::partition::{Lookup, PartitionHandle};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// What was found: timestamp, offset and the leader epoch of the offset; -1 where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    timestamp: i64,
    offset: i64,
    leader_epoch: i32,
}

const NOTHING: Found = Found { timestamp: -1, offset: -1, leader_epoch: -1 };

pub async fn handle(
    context: &RequestContext,
    request: ListOffsetsRequest<'_>,
) -> ListOffsetsResponse<'static> {
    let isolation =
        if request.isolation_level == 1 { Isolation::LastStable } else { Isolation::HighWatermark };
    let mut repeated = Repeated::of(&request);
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            match repeated.next(&topic.name, asked.partition_index) {
                Mention::Only => partitions.push(answer(context, &topic.name, asked, isolation).await),
                Mention::First => partitions.push(response(context, asked, Err(ErrorCode::InvalidRequest))),
                Mention::Again => {}
            }
        }
        if !partitions.is_empty() {
            topics.push(ListOffsetsTopicResponse { name: topic.name.to_string().into(), partitions });
        }
    }
    ListOffsetsResponse { topics, ..ListOffsetsResponse::default() }
}

/// How often a request names a partition.
enum Mention {
    Only,
    First,
    Again,
}

/// The partitions that a request names more than once, and whether they were answered.
struct Repeated<'a>(HashMap<(&'a str, i32), bool>);

impl<'a> Repeated<'a> {
    fn of(request: &'a ListOffsetsRequest<'_>) -> Repeated<'a> {
        let names = request.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| (&*topic.name, partition.partition_index))
        });
        let again = duplicates::named_again_later(names.clone()).unwrap_or_default();
        Repeated(names.zip(again).filter(|(_, again)| *again).map(|(name, _)| (name, false)).collect())
    }

    fn next(&mut self, topic: &'a str, partition: i32) -> Mention {
        match self.0.get_mut(&(topic, partition)) {
            None => Mention::Only,
            Some(answered) if *answered => Mention::Again,
            Some(answered) => {
                *answered = true;
                Mention::First
            }
        }
    }
}

async fn answer(
    context: &RequestContext,
    topic: &str,
    asked: &ListOffsetsPartition,
    isolation: Isolation,
) -> ListOffsetsPartitionResponse {
    let found = match find_partition(context, topic, asked) {
        Ok(partition) if is_known(asked.timestamp, context.api_version) => {
            find_offset(&partition, asked.timestamp, isolation).await
        }
        Ok(_) => Err(ErrorCode::UnsupportedVersion),
        Err(code) => Err(code),
    };
    response(context, asked, found)
}

fn response(
    context: &RequestContext,
    asked: &ListOffsetsPartition,
    found: Result<Found, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let (error, found) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, NOTHING),
    };
    ListOffsetsPartitionResponse {
        partition_index: asked.partition_index,
        error_code: error.code(),
        timestamp: found.timestamp,
        offset: found.offset,
        // A field of version 4.
        leader_epoch: if context.api_version >= 4 { found.leader_epoch } else { -1 },
    }
}

fn find_partition(
    context: &RequestContext,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<Arc<PartitionHandle>, ErrorCode> {
    let registry = &context.broker.partitions;
    let topic_id = registry.topic_id(topic).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let partition = match registry.lookup(topic_id, asked.partition_index) {
        Lookup::Here(partition) => partition,
        Lookup::Opening => return Err(partition_errors::OPENING),
        Lookup::Offline => return Err(ErrorCode::KafkaStorageError),
        Lookup::Unknown => return Err(ErrorCode::UnknownTopicOrPartition),
    };
    match partition_errors::of_epoch(asked.current_leader_epoch, partition.view().leader_epoch().0) {
        ErrorCode::None => Ok(partition),
        fenced => Err(fenced),
    }
}

/// Whether this version may ask for this timestamp.
fn is_known(timestamp: i64, version: i16) -> bool {
    match timestamp {
        LATEST | EARLIEST | 0.. => true,
        MAX_TIMESTAMP => version >= 7,
        EARLIEST_LOCAL => version >= 8,
        LATEST_TIERED => version >= 9,
        EARLIEST_PENDING_UPLOAD => version >= 11,
        _ => false,
    }
}

async fn find_offset(
    partition: &Arc<PartitionHandle>,
    timestamp: i64,
    isolation: Isolation,
) -> Result<Found, ErrorCode> {
    let view = partition.view();
    match timestamp {
        LATEST => Ok(position(view, view.limit(isolation))),
        EARLIEST | EARLIEST_LOCAL => Ok(position(view, view.log_start_offset())),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(NOTHING),
        _ => {
            let view = Arc::clone(view);
            let search = tokio::task::spawn_blocking(move || search(&view, timestamp, isolation)).await;
            match search {
                Ok(Ok(found)) => Ok(found),
                Ok(Err(error)) => {
                    let (topic, index) = (&partition.topic, partition.index);
                    tracing::error!(%topic, partition = index, "search by time: {error}");
                    Err(partition_errors::of_read(&error))
                }
                Err(_) => Err(ErrorCode::UnknownServerError),
            }
        }
    }
}

/// A position without a record of its own.
fn position(view: &PartitionView, offset: Offset) -> Found {
    let epoch = view.log().epoch_of(offset).or_else(|| view.log().leader_epoch());
    Found { timestamp: -1, offset: offset.0, leader_epoch: epoch.map_or(-1, |epoch| epoch.0) }
}

fn search(view: &PartitionView, timestamp: i64, isolation: Isolation) -> Result<Found, ReadError> {
    let found = match timestamp {
        MAX_TIMESTAMP => view.log().max_timestamp()?,
        _ => view.log().offset_for_timestamp(timestamp)?,
    };
    Ok(found.filter(|found| found.offset < view.limit(isolation)).map_or(NOTHING, |found| Found {
        timestamp: found.timestamp,
        offset: found.offset.0,
        leader_epoch: found.leader_epoch.0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_timestamp_needs_the_version_that_brought_it() {
        for (timestamp, first) in [(MAX_TIMESTAMP, 7), (EARLIEST_LOCAL, 8), (LATEST_TIERED, 9), (-6, 11)] {
            assert!(!is_known(timestamp, first - 1) && is_known(timestamp, first), "{timestamp}");
        }
        assert!(is_known(LATEST, 1) && is_known(EARLIEST, 1) && is_known(0, 1));
        assert!(!is_known(-7, 11));
    }
}
