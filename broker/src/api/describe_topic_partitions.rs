//! DescribeTopicPartitions, v0 (KIP-966): topics in the order of their names, a bounded number of partitions at a
//! time, with a cursor that says where to go on. An empty list of topics asks for all.
//! Kafka: `DescribeTopicPartitionsRequestHandler`.

use std::collections::BTreeSet;

use logspine_cluster::metadata::{MetadataImage, Partition, Topic, is_internal, validate_topic_name};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use logspine_protocol::types::{PartitionIndex, TopicId};

use super::RequestContext;
use super::topology::{self, TOPIC_OPERATIONS};

/// Kafka's default of max.request.partition.size.limit.
const PARTITIONS_MAX: i32 = 2000;

pub async fn handle(
    context: &RequestContext,
    request: DescribeTopicPartitionsRequest<'_>,
) -> DescribeTopicPartitionsResponse<'static> {
    let image = context.broker.metadata.image();
    let limit = request.response_partition_limit.clamp(1, PARTITIONS_MAX);
    let page = page(&image, &request, usize::try_from(limit).expect("clamped above zero"));
    let show = |part: Part<'_>| match part {
        Part::Missing { name, code } => missing(name, code),
        Part::Topic { topic, partitions } => shown(context, &image, topic, &partitions),
    };
    DescribeTopicPartitionsResponse {
        topics: page.parts.into_iter().map(show).collect(),
        next_cursor: page
            .next
            .map(|(topic, index)| Cursor { topic_name: topic.to_owned().into(), partition_index: index.0 }),
        ..DescribeTopicPartitionsResponse::default()
    }
}

enum Part<'a> {
    Topic { topic: &'a Topic, partitions: Vec<(PartitionIndex, &'a Partition)> },
    Missing { name: String, code: ErrorCode },
}

struct Page<'a> {
    parts: Vec<Part<'a>>,
    /// The first partition that did not fit.
    next: Option<(&'a str, PartitionIndex)>,
}

fn page<'a>(
    image: &'a MetadataImage,
    request: &DescribeTopicPartitionsRequest<'_>,
    limit: usize,
) -> Page<'a> {
    let from = request.cursor.as_ref();
    let is_due = |name: &str| from.is_none_or(|cursor| name >= &*cursor.topic_name);
    let names: BTreeSet<String> = match request.topics.is_empty() {
        true => image.topics().map(|topic| topic.name.to_string()).collect(),
        false => request.topics.iter().map(|topic| topic.name.to_string()).collect(),
    };
    let mut page = Page { parts: Vec::new(), next: None };
    let mut left = limit;
    for name in names.into_iter().filter(|name| is_due(name)) {
        let Some(topic) = image.topic_by_name(&name) else {
            let code = match validate_topic_name(&name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            page.parts.push(Part::Missing { name, code });
            continue;
        };
        let first =
            from.filter(|cursor| cursor.topic_name == name).map_or(0, |cursor| cursor.partition_index);
        let mut due = topic.partitions.range(PartitionIndex(first)..);
        let partitions: Vec<_> =
            due.by_ref().take(left).map(|(index, partition)| (*index, partition)).collect();
        left -= partitions.len();
        let next = due.next().map(|(index, _)| (&*topic.name, *index));
        if !partitions.is_empty() || next.is_none() {
            page.parts.push(Part::Topic { topic, partitions });
        }
        if next.is_some() {
            page.next = next;
            break;
        }
    }
    page
}

fn missing(name: String, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'static> {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        is_internal: is_internal(&name),
        name: Some(name.into()),
        topic_id: TopicId::ZERO,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn shown(
    context: &RequestContext,
    image: &MetadataImage,
    topic: &Topic,
    partitions: &[(PartitionIndex, &Partition)],
) -> DescribeTopicPartitionsResponseTopic<'static> {
    let local = (&*context.broker.partitions, context.broker.metadata.broker());
    let row = |(index, partition): &(PartitionIndex, &Partition)| {
        let key = (topic.topic_id, index.0);
        let code = topology::leader_error(image, &context.connection.listener, local, key, partition);
        DescribeTopicPartitionsResponsePartition {
            error_code: code.code(),
            partition_index: index.0,
            leader_id: if code.is_error() { -1 } else { partition.leader.0 },
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: topology::ids(&partition.replicas),
            isr_nodes: topology::ids(&partition.isr),
            eligible_leader_replicas: Some(topology::ids(&partition.eligible_leader_replicas)),
            last_known_elr: Some(topology::ids(&partition.last_known_elr)),
            offline_replicas: topology::offline_replicas(image, local, key, partition),
        }
    };
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name.to_string().into()),
        topic_id: topic.topic_id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.iter().map(row).collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
    }
}

#[cfg(test)]
mod tests {
    use logspine_cluster::metadata::MetadataRecord;
    use logspine_protocol::messages::describe_topic_partitions::TopicRequest;

    use super::*;

    fn cluster() -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, name, partitions) in [(1, "b", 3), (2, "a", 2), (3, "c", 1)] {
            let topic_id = TopicId([id; 16]);
            image.replay(&MetadataRecord::Topic { name: name.to_owned(), topic_id });
            for index in (0..partitions).map(PartitionIndex) {
                image.replay(&MetadataRecord::Partition { topic_id, index, partition: Partition::default() });
            }
        }
        image
    }

    fn ask(
        names: &[&'static str],
        cursor: Option<(&'static str, i32)>,
    ) -> DescribeTopicPartitionsRequest<'static> {
        DescribeTopicPartitionsRequest {
            topics: names.iter().map(|name| TopicRequest { name: (*name).into() }).collect(),
            response_partition_limit: 0,
            cursor: cursor.map(|(name, index)| Cursor { topic_name: name.into(), partition_index: index }),
        }
    }

    fn tell(page: &Page<'_>) -> Vec<String> {
        let part = |part: &Part<'_>| match part {
            Part::Missing { name, code } => format!("{name}: {code}"),
            Part::Topic { topic, partitions } => {
                let indexes: Vec<_> = partitions.iter().map(|(index, _)| index.to_string()).collect();
                format!("{}: {}", topic.name, indexes.join(","))
            }
        };
        page.parts.iter().map(part).collect()
    }

    #[test]
    fn pages_go_through_all_partitions_once() {
        let image = cluster();
        let first = page(&image, &ask(&[], None), 3);
        assert_eq!(tell(&first), ["a: 0,1", "b: 0"]);
        assert_eq!(first.next, Some(("b", PartitionIndex(1))));
        let second = page(&image, &ask(&[], Some(("b", 1))), 3);
        assert_eq!(tell(&second), ["b: 1,2", "c: 0"]);
        assert_eq!(second.next, None);
    }

    #[test]
    fn a_page_that_ends_with_a_topic_points_to_the_next_one() {
        let image = cluster();
        let first = page(&image, &ask(&[], None), 2);
        assert_eq!(tell(&first), ["a: 0,1"]);
        assert_eq!(first.next, Some(("b", PartitionIndex(0))));
    }

    #[test]
    fn unknown_and_impossible_names_are_told_apart() {
        let image = cluster();
        assert_eq!(
            tell(&page(&image, &ask(&["zzz", "a b", "c"], None), 9)),
            ["a b: INVALID_TOPIC_EXCEPTION", "c: 0", "zzz: UNKNOWN_TOPIC_OR_PARTITION"]
        );
    }
}
