//! OffsetDelete: an administrator makes a group forget partitions that it does not read any more.
//!
//! Topics that the group subscribes to are refused one by one. A refusal of the group as a whole stands alone.
//! Kafka: `KafkaApis.handleOffsetDeleteRequest` (KIP-496).

use logspine_cluster::group::request::DeleteOffsets;
use logspine_cluster::group::{GroupRequest, GroupResponse};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use logspine_protocol::types::PartitionIndex;

use super::RequestContext;

pub async fn handle(
    context: &RequestContext,
    request: OffsetDeleteRequest<'_>,
) -> OffsetDeleteResponse<'static> {
    let image = context.broker.metadata.image();
    let mut existing = Vec::new();
    let mut response = OffsetDeleteResponse::default();
    for topic in request.topics {
        let known = image.topic_by_name(&topic.name);
        let partitions = topic.partitions.into_iter().map(|partition| {
            let index = partition.partition_index;
            let exists = known.is_some_and(|known| known.partitions.contains_key(&PartitionIndex(index)));
            let error = if exists { ErrorCode::NONE } else { ErrorCode::UnknownTopicOrPartition };
            if exists {
                existing.push((topic.name.clone().into_owned(), index));
            }
            OffsetDeleteResponsePartition { partition_index: index, error_code: error.code() }
        });
        let partitions = partitions.collect();
        response.topics.push(OffsetDeleteResponseTopic { name: topic.name.into_owned().into(), partitions });
    }
    let group_id = request.group_id.into_owned();
    let delete = DeleteOffsets { group_id: group_id.clone(), partitions: existing };
    match context.broker.coordinator.request(&group_id, GroupRequest::DeleteOffsets(delete)).await {
        GroupResponse::OffsetsDeleted(results) => {
            fill(&mut response, results);
            response
        }
        refused => {
            OffsetDeleteResponse { error_code: refused.refusal().code(), ..OffsetDeleteResponse::default() }
        }
    }
}

/// Puts the coordinator's results, which come in the order asked, where no refusal stands yet.
fn fill(response: &mut OffsetDeleteResponse<'_>, results: Vec<ErrorCode>) {
    let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let open = partitions.filter(|partition| partition.error_code == ErrorCode::NONE.code());
    for (partition, result) in open.zip(results) {
        partition.error_code = result.code();
    }
}
