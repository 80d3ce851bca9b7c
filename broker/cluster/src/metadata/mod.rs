//! Cluster metadata: topics, partitions, brokers, settings and producer ids, as records in the metadata log.
//!
//! `decide` looks at an image and a request and answers with records and an outcome; `MetadataImage::replay` applies
//! a committed record. Nothing else changes an image, so a live image equals a replayed one. `MetadataMachine`
//! puts both behind the `Machine` trait, with the records that are not yet committed on top.
//! Driven by `replica::state_log` over the Raft log; read by the broker through `controller::MetadataHandle`.
//! Records are Kafka's own (KIP-631); topic ids come in with the request, because nothing here draws at random.

mod alter_configs;
mod brokers;
mod codec;
pub mod configs;
mod create_topics;
mod image;
mod machine;
mod partitions;
mod placement;
mod record;
mod request;
#[cfg(test)]
mod tests;
mod topic_name;

pub use codec::RecordCodecError;
pub use image::{
    Broker, ConfigResource, Endpoint, MetadataImage, Partition, ResourceType, Topic, TopicsDelta,
};
pub use machine::{Decision, Input, MetadataMachine, Reply, decide};
pub use placement::PlacementError;
pub use record::{LeaderChange, MetadataRecord, PartitionChange};
pub use request::{
    AlterOp, ConfigAlteration, CreatedTopic, DeletedTopic, IncrementalAlteration, NewPartitions, NewTopic,
    Outcome, ProducerIdBlock, RegisterBroker, Request, RequestError, RequestErrorCode, ResourceAlteration,
    ResourceIncrementalAlteration, Settings, TopicRef,
};
pub use topic_name::{
    CLUSTER_METADATA_TOPIC_NAME, GROUP_METADATA_TOPIC_NAME, is_internal, validate_topic_name,
};
