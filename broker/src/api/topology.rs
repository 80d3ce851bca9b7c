//! What Metadata, DescribeCluster and DescribeTopicPartitions have in common: who is reachable, and what is online.
//!
//! A broker is shown to a client only by the address of the listener that the client came through. Kafka:
//! `KRaftMetadataCache`.

use logspine_cluster::metadata::{Broker, Endpoint, MetadataImage, Partition};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{BrokerId, TopicId};

use crate::config::ListenerName;
use crate::partition::Registry;

/// "Nobody asked" in the field of authorized operations.
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;
/// Without an authorizer everybody may do everything that there is to do with a topic, as bits: READ, WRITE, CREATE,
/// DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub const TOPIC_OPERATIONS: i32 = 3576;
/// The same with the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS,
/// IDEMPOTENT_WRITE.
pub const CLUSTER_OPERATIONS: i32 = 8096;

/// Registered brokers with an address on this listener.
pub fn brokers<'a>(
    image: &'a MetadataImage,
    listener: &'a ListenerName,
) -> impl Iterator<Item = (&'a Broker, &'a Endpoint)> {
    image.brokers().filter_map(|broker| Some((broker, broker.endpoint(&listener.0)?)))
}

/// The replicas that live here, and who is here.
pub type Local<'a> = (&'a Registry, BrokerId);

/// Whether clients of this listener can reach the partition's leader, and if not, why. While this broker has yet to open
/// the log, it has no leader, as in Kafka, where the broker is fenced until its last log is recovered: producers that
/// may choose take another partition, and everybody else asks again.
pub fn leader_error(
    image: &MetadataImage,
    listener: &ListenerName,
    (registry, broker): Local<'_>,
    (topic_id, index): (TopicId, i32),
    partition: &Partition,
) -> ErrorCode {
    match image.broker(partition.leader).filter(|broker| !broker.fenced) {
        None => ErrorCode::LeaderNotAvailable,
        Some(found) if found.endpoint(&listener.0).is_none() => ErrorCode::ListenerNotFound,
        Some(_) if partition.leader == broker && registry.is_opening(topic_id, index) => {
            ErrorCode::LeaderNotAvailable
        }
        Some(_) => ErrorCode::None,
    }
}

/// Replicas whose broker is away, and the local one if its log could not be opened.
pub fn offline_replicas(
    image: &MetadataImage,
    (registry, broker): Local<'_>,
    (topic_id, index): (TopicId, i32),
    partition: &Partition,
) -> Vec<i32> {
    let is_offline = |id: &BrokerId| match image.broker(*id) {
        None => true,
        Some(away) if away.fenced => true,
        Some(_) => *id == broker && registry.is_offline(topic_id, index),
    };
    partition.replicas.iter().filter(|id| is_offline(id)).map(|id| id.0).collect()
}

pub fn ids(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|id| id.0).collect()
}
