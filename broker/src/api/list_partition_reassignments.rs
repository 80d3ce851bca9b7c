//! ListPartitionReassignments, v0: partitions on the move. `kafka-topics --describe` asks for them each time.
//!
//! Nothing starts a reassignment yet, so the answer is empty unless the metadata says otherwise.

use logspine_cluster::metadata::Topic;
use logspine_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, OngoingPartitionReassignment,
    OngoingTopicReassignment,
};

use super::{RequestContext, topology};

pub async fn handle(
    context: &RequestContext,
    request: ListPartitionReassignmentsRequest<'_>,
) -> ListPartitionReassignmentsResponse<'static> {
    let image = context.broker.metadata.image();
    let is_asked = |topic: &Topic, index: i32| match &request.topics {
        None => true,
        Some(topics) => {
            topics.iter().any(|asked| *asked.name == *topic.name && asked.partition_indexes.contains(&index))
        }
    };
    let topics = image.topics().filter_map(|topic| {
        let moving = topic.partitions.iter().filter(|(index, partition)| {
            let is_moving = !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty();
            is_moving && is_asked(topic, index.0)
        });
        let partitions: Vec<_> = moving
            .map(|(index, partition)| OngoingPartitionReassignment {
                partition_index: index.0,
                replicas: topology::ids(&partition.replicas),
                adding_replicas: topology::ids(&partition.adding_replicas),
                removing_replicas: topology::ids(&partition.removing_replicas),
            })
            .collect();
        let name = topic.name.to_string().into();
        (!partitions.is_empty()).then_some(OngoingTopicReassignment { name, partitions })
    });
    ListPartitionReassignmentsResponse {
        topics: topics.collect(),
        error_message: None,
        ..ListPartitionReassignmentsResponse::default()
    }
}
