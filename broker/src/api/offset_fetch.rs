//! OffsetFetch: how far groups have read.
//!
//! Up to version 7 one group, from 8 on many. A null topic list asks for everything (version 2 and above). Up
//! to version 1 there is no code for the group, so a refusal stands at each partition. Version 7 adds
//! `require_stable`, 10 names topics by id. Kafka: `KafkaApis.handleOffsetFetchRequest`, `OffsetFetchResponse`.

use logspine_cluster::group::request::{FetchOffsets, FetchTopic};
use logspine_cluster::group::response::{FetchedOffset, FetchedTopic};
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_cluster::metadata::MetadataImage;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use logspine_protocol::types::TopicId;

use super::RequestContext;

const GROUP_ERROR_VERSION: i16 = 2;
const BATCH_VERSION: i16 = 8;
const TOPIC_ID_VERSION: i16 = 10;
const INVALID_OFFSET: i64 = -1;

pub async fn handle(
    context: &RequestContext,
    request: OffsetFetchRequest<'_>,
) -> OffsetFetchResponse<'static> {
    let require_stable = request.require_stable;
    if context.api_version >= BATCH_VERSION {
        let groups = request.groups.into_iter().map(|group| fetch(context, group, require_stable));
        let groups = futures::future::join_all(groups).await;
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let topics = request.topics.map(|topics| {
        let topics = topics.into_iter().map(|topic| OffsetFetchRequestTopics {
            name: topic.name,
            topic_id: TopicId::ZERO,
            partition_indexes: topic.partition_indexes,
        });
        topics.collect()
    });
    let group =
        OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() };
    single(fetch(context, group, require_stable).await)
}

async fn fetch(
    context: &RequestContext,
    group: OffsetFetchRequestGroup<'_>,
    require_stable: bool,
) -> OffsetFetchResponseGroup<'static> {
    let group_id = group.group_id.into_owned();
    let image = context.broker.metadata.image();
    let by_id = context.api_version >= TOPIC_ID_VERSION;
    let (known, unknown) = match group.topics {
        None => (None, Vec::new()),
        Some(topics) => {
            let (known, unknown) = resolve(&image, topics, by_id);
            (Some(known), unknown)
        }
    };
    let asked = known.clone();
    let fetch = FetchOffsets { group_id: group_id.clone(), topics: known, require_stable };
    let fetched = context.broker.coordinator.request(&group_id, GroupRequest::FetchOffsets(fetch)).await;
    let (mut topics, error) = match fetched {
        GroupResponse::Fetched(topics) => {
            let named = topics.into_iter().filter_map(|topic| with_id(&image, topic, by_id));
            (named.map(topic_answer).collect(), ErrorCode::NONE)
        }
        refused => refused_group(asked, refused.refusal(), context.api_version),
    };
    if !error.is_error() {
        topics.extend(unknown);
    }
    OffsetFetchResponseGroup { group_id: group_id.into(), topics, error_code: error.code() }
}

/// What to ask the coordinator for, and the answer for topic ids that nobody has.
fn resolve(
    image: &MetadataImage,
    topics: Vec<OffsetFetchRequestTopics<'_>>,
    by_id: bool,
) -> (Vec<FetchTopic>, Vec<OffsetFetchResponseTopics<'static>>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for topic in topics {
        let partitions = topic.partition_indexes;
        if !by_id {
            known.push(FetchTopic { topic: topic.name.into_owned(), topic_id: TopicId::ZERO, partitions });
        } else if let Some(found) = image.topic_by_id(topic.topic_id) {
            let name = found.name.to_string();
            known.push(FetchTopic { topic: name, topic_id: topic.topic_id, partitions });
        } else {
            let (name, topic_id) = (String::new(), topic.topic_id);
            unknown.push(without_offsets(name, topic_id, partitions, ErrorCode::UnknownTopicId));
        }
    }
    (known, unknown)
}

/// A fetch of everything comes by name; with ids, what no longer has one is left out.
fn with_id(image: &MetadataImage, topic: FetchedTopic, by_id: bool) -> Option<FetchedTopic> {
    if !by_id || !topic.topic_id.is_zero() {
        return Some(topic);
    }
    let topic_id = image.topic_by_name(&topic.topic)?.topic_id;
    Some(FetchedTopic { topic_id, ..topic })
}

fn topic_answer(topic: FetchedTopic) -> OffsetFetchResponseTopics<'static> {
    let partitions =
        topic.partitions.into_iter().map(|FetchedOffset { partition, offset, leader_epoch, metadata }| {
            OffsetFetchResponsePartitions {
                partition_index: partition,
                committed_offset: offset,
                committed_leader_epoch: leader_epoch,
                metadata: Some(metadata.into()),
                error_code: ErrorCode::NONE.code(),
            }
        });
    let partitions = partitions.collect();
    OffsetFetchResponseTopics { name: topic.topic.into(), topic_id: topic.topic_id, partitions }
}

/// Up to version 1 the refusal is repeated at each partition; later it stands at the group, without topics.
fn refused_group(
    asked: Option<Vec<FetchTopic>>,
    error: ErrorCode,
    version: i16,
) -> (Vec<OffsetFetchResponseTopics<'static>>, ErrorCode) {
    if version >= GROUP_ERROR_VERSION {
        return (Vec::new(), error);
    }
    let asked = asked.unwrap_or_default().into_iter();
    let topics = asked.map(|topic| without_offsets(topic.topic, topic.topic_id, topic.partitions, error));
    (topics.collect(), ErrorCode::NONE)
}

fn without_offsets(
    name: String,
    topic_id: TopicId,
    partitions: Vec<i32>,
    error: ErrorCode,
) -> OffsetFetchResponseTopics<'static> {
    let partitions = partitions.into_iter().map(|partition_index| OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: INVALID_OFFSET,
        committed_leader_epoch: -1,
        metadata: Some("".into()),
        error_code: error.code(),
    });
    OffsetFetchResponseTopics { name: name.into(), topic_id, partitions: partitions.collect() }
}

fn single(group: OffsetFetchResponseGroup<'static>) -> OffsetFetchResponse<'static> {
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| OffsetFetchResponsePartition {
            partition_index: partition.partition_index,
            committed_offset: partition.committed_offset,
            committed_leader_epoch: partition.committed_leader_epoch,
            metadata: partition.metadata,
            error_code: partition.error_code,
        });
        OffsetFetchResponseTopic { name: topic.name, partitions: partitions.collect() }
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_at_each_partition_where_the_group_has_no_code() {
        let asked = vec![FetchTopic { topic: "t".into(), topic_id: TopicId::ZERO, partitions: vec![0, 3] }];
        let (topics, error) = refused_group(Some(asked.clone()), ErrorCode::NotCoordinator, 1);
        assert_eq!(error, ErrorCode::NONE);
        let codes: Vec<(i32, i64, i16)> = topics[0]
            .partitions
            .iter()
            .map(|one| (one.partition_index, one.committed_offset, one.error_code))
            .collect();
        assert_eq!(codes, [(0, -1, 16), (3, -1, 16)]);
        let (topics, error) = refused_group(Some(asked), ErrorCode::NotCoordinator, 2);
        assert_eq!((topics.len(), error), (0, ErrorCode::NotCoordinator));
    }

    #[test]
    fn an_answer_can_be_written_in_every_version() {
        use logspine_protocol::wire::{Message, Writer};
        let offset = FetchedOffset { partition: 0, offset: 5, leader_epoch: 3, metadata: "m".into() };
        let fetched =
            FetchedTopic { topic: "t".into(), topic_id: TopicId([1; 16]), partitions: vec![offset] };
        for version in 1..=TOPIC_ID_VERSION {
            let topics = vec![topic_answer(fetched.clone())];
            let group = OffsetFetchResponseGroup { group_id: "g".into(), topics, error_code: 0 };
            let response = if version < BATCH_VERSION {
                single(group)
            } else {
                OffsetFetchResponse { groups: vec![group], ..OffsetFetchResponse::default() }
            };
            response
                .encode(&mut Writer::new(), version)
                .unwrap_or_else(|error| panic!("v{version}: {error}"));
        }
    }
}
