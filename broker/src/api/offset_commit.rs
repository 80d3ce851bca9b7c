//! OffsetCommit: a group remembers how far it has read.
//!
//! Versions 2 to 4 may bring a retention of their own, 6 adds the leader epoch, 7 static members, 9 knows
//! GROUP_ID_NOT_FOUND, 10 names topics by id. Topics and partitions that do not exist are refused one by one;
//! the others are committed together. Kafka: `KafkaApis.handleOffsetCommitRequest`.

use logspine_cluster::group::request::{CommitOffsets, OffsetToCommit};
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_cluster::metadata::{MetadataImage, Topic};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use logspine_protocol::types::PartitionIndex;

use super::RequestContext;

const GROUP_ID_NOT_FOUND_VERSION: i16 = 9;
const TOPIC_ID_VERSION: i16 = 10;
/// The client leaves retention to the broker.
const DEFAULT_RETENTION: i64 = -1;

pub async fn handle(
    context: &RequestContext,
    mut request: OffsetCommitRequest<'_>,
) -> OffsetCommitResponse<'static> {
    let image = context.broker.metadata.image();
    let topics = std::mem::take(&mut request.topics);
    let mut offsets = Vec::new();
    let mut response = OffsetCommitResponse::default();
    for topic in topics {
        response.topics.push(sort_out(&image, topic, context.api_version, &mut offsets));
    }
    if offsets.is_empty() {
        return response;
    }
    let count = offsets.len();
    let results = match ask(context, request, offsets).await {
        GroupResponse::Committed(results) => results,
        refused => vec![refused.refusal(); count],
    };
    fill(&mut response, results);
    response
}

/// The answer for a topic so far: refused partitions bear their code, the others wait as `None` for theirs.
fn sort_out(
    image: &MetadataImage,
    topic: OffsetCommitRequestTopic<'_>,
    version: i16,
    offsets: &mut Vec<OffsetToCommit>,
) -> OffsetCommitResponseTopic<'static> {
    let by_id = version >= TOPIC_ID_VERSION;
    let known =
        if by_id { image.topic_by_id(topic.topic_id) } else { image.topic_by_name(&topic.name) }.cloned();
    let unknown = if by_id { ErrorCode::UnknownTopicId } else { ErrorCode::UnknownTopicOrPartition };
    let partitions = topic.partitions.into_iter().map(|partition| {
        let partition_index = partition.partition_index;
        let error_code = match &known {
            None => unknown.code(),
            Some(known) if !known.partitions.contains_key(&PartitionIndex(partition_index)) => {
                ErrorCode::UnknownTopicOrPartition.code()
            }
            Some(known) => {
                offsets.push(offset(known, partition));
                ErrorCode::NONE.code()
            }
        };
        OffsetCommitResponsePartition { partition_index, error_code }
    });
    let partitions = partitions.collect();
    OffsetCommitResponseTopic { name: topic.name.into_owned().into(), topic_id: topic.topic_id, partitions }
}

fn offset(topic: &Topic, partition: OffsetCommitRequestPartition<'_>) -> OffsetToCommit {
    OffsetToCommit {
        topic: topic.name.to_string(),
        topic_id: topic.topic_id,
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.map(|text| text.into_owned()).unwrap_or_default(),
    }
}

async fn ask(
    context: &RequestContext,
    request: OffsetCommitRequest<'_>,
    offsets: Vec<OffsetToCommit>,
) -> GroupResponse {
    let group_id = request.group_id.into_owned();
    let commit = CommitOffsets {
        group_id: group_id.clone(),
        generation_id: request.generation_id_or_member_epoch,
        member_id: request.member_id.into_owned(),
        group_instance_id: request.group_instance_id.map(|id| id.into_owned()),
        retention_time_ms: Some(request.retention_time_ms)
            .filter(|&retention| retention != DEFAULT_RETENTION),
        knows_group_id_not_found: context.api_version >= GROUP_ID_NOT_FOUND_VERSION,
        offsets,
    };
    context.broker.coordinator.request(&group_id, GroupRequest::CommitOffsets(commit)).await
}

/// Puts the coordinator's results, which come in the order asked, where no refusal stands yet.
fn fill(response: &mut OffsetCommitResponse<'_>, results: Vec<ErrorCode>) {
    let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let open = partitions.filter(|partition| partition.error_code == ErrorCode::NONE.code());
    for (partition, result) in open.zip(results) {
        partition.error_code = result.code();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_where_no_refusal_stands() {
        let partition = |partition_index, error: ErrorCode| OffsetCommitResponsePartition {
            partition_index,
            error_code: error.code(),
        };
        let topic = |partitions| OffsetCommitResponseTopic { partitions, ..Default::default() };
        let mut response = OffsetCommitResponse {
            topics: vec![
                topic(vec![partition(0, ErrorCode::NONE), partition(9, ErrorCode::UnknownTopicOrPartition)]),
                topic(vec![partition(1, ErrorCode::NONE)]),
            ],
            ..OffsetCommitResponse::default()
        };
        fill(&mut response, vec![ErrorCode::NONE, ErrorCode::OffsetMetadataTooLarge]);
        let codes: Vec<i16> =
            response.topics.iter().flat_map(|topic| &topic.partitions).map(|one| one.error_code).collect();
        assert_eq!(codes, [0, 3, 12]);
    }
}
