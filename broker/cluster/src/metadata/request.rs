//! What the metadata can be asked, what it answers, and why it refuses.
//!
//! A request with several parts (topics, resources) has one result per part, in the order asked: one refused part
//! does not hinder the others, as in Kafka. Only `NotController` and the like refuse a whole request.

use logspine_protocol::types::{BrokerId, PartitionIndex, ProducerId, TopicId};
use thiserror::Error;

use super::configs::{ConfigError, ConfigMap};
use super::image::{ConfigResource, Endpoint};

/// What decisions need beside the image: the controller's own configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// `server.properties` and the command line.
    pub file: ConfigMap,
}

/// A broker process presents itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterBroker {
    pub broker_id: BrokerId,
    pub incarnation_id: TopicId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    pub log_dirs: Vec<TopicId>,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTopic {
    pub name: String,
    /// Drawn by the caller.
    pub topic_id: TopicId,
    /// -1 = the broker's `num.partitions`, or given by `assignments`.
    pub num_partitions: i32,
    /// -1 = the broker's `default.replication.factor`, or given by `assignments`.
    pub replication_factor: i16,
    /// Replicas by partition, where the caller places them itself.
    pub assignments: Vec<(PartitionIndex, Vec<BrokerId>)>,
    pub configs: Vec<(String, Option<String>)>,
}

/// A topic, named or identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicRef {
    Name(String),
    Id(TopicId),
}

/// More partitions for a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartitions {
    pub name: String,
    /// How many there shall be in all.
    pub count: i32,
    /// Replicas of the new ones, where the caller places them itself.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// One setting of the older AlterConfigs: what is not named falls back to its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigAlteration {
    pub name: String,
    pub value: Option<String>,
}

/// All settings of one resource (AlterConfigs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceAlteration {
    pub resource: ConfigResource,
    pub configs: Vec<ConfigAlteration>,
}

/// What to do with one setting; the number is the wire's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum AlterOp {
    Set = 0,
    Delete = 1,
    /// Adds elements to a list.
    Append = 2,
    /// Takes elements off a list.
    Subtract = 3,
}

/// One change of one setting (IncrementalAlterConfigs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalAlteration {
    pub name: String,
    pub op: AlterOp,
    pub value: Option<String>,
}

/// Changes of one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceIncrementalAlteration {
    pub resource: ConfigResource,
    pub configs: Vec<IncrementalAlteration>,
}

/// What can be asked of the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    RegisterBroker(RegisterBroker),
    CreateTopics { topics: Vec<NewTopic>, validate_only: bool },
    DeleteTopics { topics: Vec<TopicRef> },
    CreatePartitions { topics: Vec<NewPartitions>, validate_only: bool },
    AlterConfigs { resources: Vec<ResourceAlteration>, validate_only: bool },
    IncrementalAlterConfigs { resources: Vec<ResourceIncrementalAlteration>, validate_only: bool },
    AllocateProducerIds { broker_id: BrokerId, broker_epoch: i64 },
}

/// A topic as it was (or, with `validate_only`, would be) created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    pub name: String,
    pub topic_id: TopicId,
    pub num_partitions: i32,
    pub replication_factor: i16,
    /// Its own settings.
    pub configs: ConfigMap,
}

/// A topic that was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    pub name: String,
    pub topic_id: TopicId,
}

/// Producer ids `first .. first + count`, given to one broker and never to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub first: ProducerId,
    pub count: i32,
}

/// What was done, part by part in the order of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    BrokerRegistered { epoch: i64 },
    TopicsCreated(Vec<Result<CreatedTopic, RequestError>>),
    TopicsDeleted(Vec<Result<DeletedTopic, RequestError>>),
    PartitionsCreated(Vec<Result<(), RequestError>>),
    ConfigsAltered(Vec<Result<(), RequestError>>),
    ProducerIdsAllocated(ProducerIdBlock),
}

/// Why something was refused, named like Kafka's error codes; `api/` translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestErrorCode {
    UnknownTopicOrPartition,
    UnknownTopicId,
    InvalidTopicException,
    TopicAlreadyExists,
    InvalidPartitions,
    InvalidReplicationFactor,
    InvalidReplicaAssignment,
    InvalidConfig,
    InvalidRequest,
    PolicyViolation,
    DuplicateBrokerRegistration,
    BrokerIdNotRegistered,
    StaleBrokerEpoch,
    NotController,
}

/// A refusal, with a sentence for the person at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct RequestError {
    pub code: RequestErrorCode,
    pub message: String,
}

impl RequestError {
    pub fn new(code: RequestErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The records that the answer waited for will not be committed by this controller.
    pub fn not_controller() -> Self {
        Self::new(RequestErrorCode::NotController, "This is not the correct controller for this cluster.")
    }

    /// Kafka's sentence for a topic that does not exist.
    pub fn unknown_topic() -> Self {
        Self::new(
            RequestErrorCode::UnknownTopicOrPartition,
            "This server does not host this topic-partition.",
        )
    }
}

impl From<ConfigError> for RequestError {
    fn from(refusal: ConfigError) -> Self {
        Self::new(RequestErrorCode::InvalidConfig, refusal.to_string())
    }
}
