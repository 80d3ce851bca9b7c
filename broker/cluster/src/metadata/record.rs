//! The records of the metadata log as plain values. The schemas on disk are Kafka's; `codec.rs` goes between.
//!
//! Each is one fact; `MetadataImage::replay` says what it means. Unknown records never reach this type: a log
//! written by a newer version stops the start, with its offset.

use logspine_protocol::types::{BrokerId, PartitionIndex, TopicId};

use super::image::{Broker, ConfigResource, Partition};

/// What a `PartitionChange` says about the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaderChange {
    #[default]
    Unchanged,
    /// The new leader, or -1 for none. Even the same leader as before begins a new leader epoch.
    To(BrokerId),
}

/// A change of one partition. Every change raises the partition epoch by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionChange {
    pub topic_id: TopicId,
    pub index: PartitionIndex,
    pub leader: LeaderChange,
    pub isr: Option<Vec<BrokerId>>,
    pub replicas: Option<Vec<BrokerId>>,
    pub removing_replicas: Option<Vec<BrokerId>>,
    pub adding_replicas: Option<Vec<BrokerId>>,
    pub leader_recovery_state: Option<i8>,
    pub directories: Option<Vec<TopicId>>,
    pub eligible_leader_replicas: Option<Vec<BrokerId>>,
    pub last_known_elr: Option<Vec<BrokerId>>,
}

/// One record of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRecord {
    /// Says nothing; its commit proves that everything before it is committed.
    NoOp,
    FeatureLevel {
        name: String,
        level: i16,
    },
    RegisterBroker(Broker),
    Topic {
        name: String,
        topic_id: TopicId,
    },
    RemoveTopic {
        topic_id: TopicId,
    },
    Partition {
        topic_id: TopicId,
        index: PartitionIndex,
        partition: Partition,
    },
    PartitionChange(PartitionChange),
    /// `None` removes the setting.
    Config {
        resource: ConfigResource,
        name: String,
        value: Option<String>,
    },
    /// The next block of producer ids starts here.
    ProducerIds {
        broker_id: BrokerId,
        broker_epoch: i64,
        next_producer_id: i64,
    },
}
