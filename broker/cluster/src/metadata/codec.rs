//! Metadata records to Kafka's bytes and back, through the generated schemas (KIP-631 frames).
//!
//! The versions written are those of metadata version 4.3-IV0; every version that Kafka 4.3 reads is read. A
//! record that this version has no meaning for is an error: whoever skips it would no longer hold the image that
//! the others hold.

use std::borrow::Cow;

use logspine_protocol::records::metadata as schema;
use logspine_protocol::records::metadata::register_broker_record::BrokerEndpoint;
use logspine_protocol::types::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
use logspine_protocol::wire::DecodeError;
use thiserror::Error;

use super::image::{Broker, ConfigResource, Endpoint, Partition, ResourceType};
use super::record::{LeaderChange, MetadataRecord, PartitionChange};

const REGISTER_BROKER_VERSION: i16 = 3;
const PARTITION_VERSION: i16 = 2;
/// The schemas that have one version only.
const FIRST_VERSION: i16 = 0;

/// Kafka's "the leader did not change" and "the recovery state did not change".
const NO_LEADER_CHANGE: i32 = -2;
const NO_RECOVERY_CHANGE: i8 = -1;

/// Why bytes are not a record that this version can replay.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordCodecError {
    #[error("not a metadata record: {0}")]
    Decode(#[from] DecodeError),
    #[error("{name} has no meaning in this version")]
    Unsupported { name: &'static str },
    #[error("ConfigRecord names resource type {resource_type}, which has no settings in this version")]
    UnknownResourceType { resource_type: i8 },
}

impl MetadataRecord {
    /// The record as the value of a record of `__cluster_metadata`.
    pub fn encode(&self) -> Vec<u8> {
        let (record, version) = self.to_schema();
        record.encode(version).expect("names are bounded, and the version has every field that is set")
    }

    /// Reads what `encode`, or Kafka, wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordCodecError> {
        from_schema(schema::MetadataRecord::decode(bytes)?)
    }

    fn to_schema(&self) -> (schema::MetadataRecord<'_>, i16) {
        match self {
            MetadataRecord::NoOp => (schema::NoOpRecord {}.into(), FIRST_VERSION),
            MetadataRecord::FeatureLevel { name, level } => {
                let record = schema::FeatureLevelRecord { name: name.into(), feature_level: *level };
                (record.into(), FIRST_VERSION)
            }
            MetadataRecord::RegisterBroker(broker) => {
                (register_broker(broker).into(), REGISTER_BROKER_VERSION)
            }
            MetadataRecord::Topic { name, topic_id } => {
                let record = schema::TopicRecord { name: name.into(), topic_id: *topic_id };
                (record.into(), FIRST_VERSION)
            }
            MetadataRecord::RemoveTopic { topic_id } => {
                (schema::RemoveTopicRecord { topic_id: *topic_id }.into(), FIRST_VERSION)
            }
            MetadataRecord::Partition { topic_id, index, partition } => {
                (partition_record(*topic_id, *index, partition).into(), PARTITION_VERSION)
            }
            MetadataRecord::PartitionChange(change) => {
                (partition_change_record(change).into(), PARTITION_VERSION)
            }
            MetadataRecord::Config { resource, name, value } => {
                let record = schema::ConfigRecord {
                    resource_type: resource.kind as i8,
                    resource_name: resource.name.as_str().into(),
                    name: name.into(),
                    value: value.as_deref().map(Cow::Borrowed),
                };
                (record.into(), FIRST_VERSION)
            }
            MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id } => {
                let record = schema::ProducerIdsRecord {
                    broker_id: broker_id.0,
                    broker_epoch: *broker_epoch,
                    next_producer_id: *next_producer_id,
                };
                (record.into(), FIRST_VERSION)
            }
        }
    }
}

fn register_broker(broker: &Broker) -> schema::RegisterBrokerRecord<'_> {
    let end_point = |endpoint: &'_ Endpoint| BrokerEndpoint {
        name: endpoint.listener.clone().into(),
        host: endpoint.host.clone().into(),
        port: endpoint.port,
        security_protocol: endpoint.security_protocol,
    };
    schema::RegisterBrokerRecord {
        broker_id: broker.id.0,
        incarnation_id: broker.incarnation_id,
        broker_epoch: broker.epoch,
        end_points: broker.endpoints.iter().map(end_point).collect(),
        rack: broker.rack.as_deref().map(Cow::Borrowed),
        fenced: broker.fenced,
        log_dirs: broker.log_dirs.clone(),
        ..schema::RegisterBrokerRecord::default()
    }
}

fn partition_record(
    topic_id: TopicId,
    index: PartitionIndex,
    partition: &Partition,
) -> schema::PartitionRecord {
    schema::PartitionRecord {
        partition_id: index.0,
        topic_id,
        replicas: raw(&partition.replicas),
        isr: raw(&partition.isr),
        removing_replicas: raw(&partition.removing_replicas),
        adding_replicas: raw(&partition.adding_replicas),
        leader: partition.leader.0,
        leader_recovery_state: partition.leader_recovery_state,
        leader_epoch: partition.leader_epoch.0,
        partition_epoch: partition.partition_epoch,
        directories: partition.directories.clone(),
        eligible_leader_replicas: non_empty(&partition.eligible_leader_replicas),
        last_known_elr: non_empty(&partition.last_known_elr),
    }
}

fn partition_change_record(change: &PartitionChange) -> schema::PartitionChangeRecord {
    let list = |brokers: &Option<Vec<BrokerId>>| brokers.as_deref().map(raw);
    schema::PartitionChangeRecord {
        partition_id: change.index.0,
        topic_id: change.topic_id,
        isr: list(&change.isr),
        leader: match change.leader {
            LeaderChange::Unchanged => NO_LEADER_CHANGE,
            LeaderChange::To(leader) => leader.0,
        },
        replicas: list(&change.replicas),
        removing_replicas: list(&change.removing_replicas),
        adding_replicas: list(&change.adding_replicas),
        leader_recovery_state: change.leader_recovery_state.unwrap_or(NO_RECOVERY_CHANGE),
        directories: change.directories.clone(),
        eligible_leader_replicas: list(&change.eligible_leader_replicas),
        last_known_elr: list(&change.last_known_elr),
    }
}

fn from_schema(record: schema::MetadataRecord<'_>) -> Result<MetadataRecord, RecordCodecError> {
    use schema::MetadataRecord as Schema;
    let name = record.name();
    Ok(match record {
        Schema::NoOp(_) => MetadataRecord::NoOp,
        Schema::FeatureLevel(r) => {
            MetadataRecord::FeatureLevel { name: r.name.into_owned(), level: r.feature_level }
        }
        Schema::RegisterBroker(r) => MetadataRecord::RegisterBroker(broker(r)),
        Schema::Topic(r) => MetadataRecord::Topic { name: r.name.into_owned(), topic_id: r.topic_id },
        Schema::RemoveTopic(r) => MetadataRecord::RemoveTopic { topic_id: r.topic_id },
        Schema::Partition(r) => MetadataRecord::Partition {
            topic_id: r.topic_id,
            index: PartitionIndex(r.partition_id),
            partition: partition(r),
        },
        Schema::PartitionChange(r) => MetadataRecord::PartitionChange(partition_change(r)),
        Schema::Config(r) => MetadataRecord::Config {
            resource: ConfigResource {
                kind: resource_type(r.resource_type)?,
                name: r.resource_name.into_owned(),
            },
            name: r.name.into_owned(),
            value: r.value.map(Cow::into_owned),
        },
        Schema::ProducerIds(r) => MetadataRecord::ProducerIds {
            broker_id: BrokerId(r.broker_id),
            broker_epoch: r.broker_epoch,
            next_producer_id: r.next_producer_id,
        },
        _ => return Err(RecordCodecError::Unsupported { name }),
    })
}

fn resource_type(resource_type: i8) -> Result<ResourceType, RecordCodecError> {
    match resource_type {
        2 => Ok(ResourceType::Topic),
        4 => Ok(ResourceType::Broker),
        _ => Err(RecordCodecError::UnknownResourceType { resource_type }),
    }
}

fn broker(record: schema::RegisterBrokerRecord<'_>) -> Broker {
    let endpoint = |e: BrokerEndpoint<'_>| Endpoint {
        listener: e.name.into_owned(),
        host: e.host.into_owned(),
        port: e.port,
        security_protocol: e.security_protocol,
    };
    Broker {
        id: BrokerId(record.broker_id),
        epoch: record.broker_epoch,
        incarnation_id: record.incarnation_id,
        endpoints: record.end_points.into_iter().map(endpoint).collect(),
        rack: record.rack.map(Cow::into_owned),
        fenced: record.fenced,
        log_dirs: record.log_dirs,
    }
}

fn partition(record: schema::PartitionRecord) -> Partition {
    Partition {
        replicas: brokers(record.replicas),
        isr: brokers(record.isr),
        leader: BrokerId(record.leader),
        leader_epoch: LeaderEpoch(record.leader_epoch),
        partition_epoch: record.partition_epoch,
        removing_replicas: brokers(record.removing_replicas),
        adding_replicas: brokers(record.adding_replicas),
        leader_recovery_state: record.leader_recovery_state,
        directories: record.directories,
        eligible_leader_replicas: brokers(record.eligible_leader_replicas.unwrap_or_default()),
        last_known_elr: brokers(record.last_known_elr.unwrap_or_default()),
    }
}

fn partition_change(record: schema::PartitionChangeRecord) -> PartitionChange {
    PartitionChange {
        topic_id: record.topic_id,
        index: PartitionIndex(record.partition_id),
        leader: match record.leader {
            NO_LEADER_CHANGE => LeaderChange::Unchanged,
            leader => LeaderChange::To(BrokerId(leader)),
        },
        isr: record.isr.map(brokers),
        replicas: record.replicas.map(brokers),
        removing_replicas: record.removing_replicas.map(brokers),
        adding_replicas: record.adding_replicas.map(brokers),
        leader_recovery_state: Some(record.leader_recovery_state)
            .filter(|state| *state != NO_RECOVERY_CHANGE),
        directories: record.directories,
        eligible_leader_replicas: record.eligible_leader_replicas.map(brokers),
        last_known_elr: record.last_known_elr.map(brokers),
    }
}

fn raw(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.0).collect()
}

fn brokers(raw: Vec<i32>) -> Vec<BrokerId> {
    raw.into_iter().map(BrokerId).collect()
}

fn non_empty(brokers: &[BrokerId]) -> Option<Vec<i32>> {
    (!brokers.is_empty()).then(|| raw(brokers))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each, with every field away from its default.
    fn samples() -> Vec<MetadataRecord> {
        let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
        let topic_id = TopicId([7; 16]);
        let endpoint =
            Endpoint { listener: "INTERNAL".into(), host: "b0".into(), port: 65_535, security_protocol: 0 };
        let broker = Broker {
            id: BrokerId(4),
            epoch: 9,
            incarnation_id: TopicId([3; 16]),
            endpoints: vec![endpoint],
            rack: Some("a".into()),
            fenced: true,
            log_dirs: vec![TopicId([5; 16])],
        };
        let partition = Partition {
            replicas: ids(&[1, 2]),
            isr: ids(&[2]),
            leader: BrokerId(2),
            leader_epoch: LeaderEpoch(6),
            partition_epoch: 8,
            removing_replicas: ids(&[1]),
            adding_replicas: ids(&[3]),
            leader_recovery_state: 1,
            directories: vec![TopicId([1; 16]), TopicId::ZERO],
            eligible_leader_replicas: ids(&[1]),
            last_known_elr: ids(&[4]),
        };
        let change = PartitionChange {
            topic_id,
            index: PartitionIndex(3),
            leader: LeaderChange::To(BrokerId(-1)),
            isr: Some(ids(&[])),
            replicas: Some(ids(&[1])),
            removing_replicas: Some(ids(&[2])),
            adding_replicas: Some(ids(&[3])),
            leader_recovery_state: Some(0),
            directories: Some(vec![TopicId::ZERO]),
            eligible_leader_replicas: Some(ids(&[4])),
            last_known_elr: Some(ids(&[5])),
        };
        let config = |value: Option<&str>| MetadataRecord::Config {
            resource: ConfigResource::topic("orders"),
            name: "retention.ms".into(),
            value: value.map(str::to_owned),
        };
        vec![
            MetadataRecord::NoOp,
            MetadataRecord::FeatureLevel { name: "metadata.version".into(), level: 30 },
            MetadataRecord::RegisterBroker(broker),
            MetadataRecord::Topic { name: "orders".into(), topic_id },
            MetadataRecord::RemoveTopic { topic_id },
            MetadataRecord::Partition { topic_id, index: PartitionIndex(3), partition },
            MetadataRecord::PartitionChange(change),
            MetadataRecord::PartitionChange(PartitionChange { topic_id, ..PartitionChange::default() }),
            config(Some("5")),
            config(None),
            MetadataRecord::ProducerIds { broker_id: BrokerId(1), broker_epoch: 2, next_producer_id: 3000 },
        ]
    }

    #[test]
    fn every_record_comes_back_as_it_was_written() {
        for record in samples() {
            assert_eq!(MetadataRecord::decode(&record.encode()), Ok(record));
        }
    }

    #[test]
    fn the_frame_is_kafkas() {
        // Frame version 1, record type 2 (TopicRecord), version 0, then the body.
        let bytes = MetadataRecord::Topic { name: "x".into(), topic_id: TopicId([9; 16]) }.encode();
        assert_eq!(bytes[..3], [1, 2, 0]);
        assert_eq!(bytes[3..5], [2, b'x']);
    }

    #[test]
    fn bytes_that_mean_nothing_here_are_refused_with_words() {
        let acl = schema::RemoveAccessControlEntryRecord { id: TopicId([1; 16]) };
        let bytes = schema::MetadataRecord::from(acl).encode(0).unwrap();
        assert_eq!(
            MetadataRecord::decode(&bytes).unwrap_err().to_string(),
            "RemoveAccessControlEntryRecord has no meaning in this version"
        );
        assert!(MetadataRecord::decode(&[]).is_err());
        assert!(MetadataRecord::decode(&[1, 2, 0, 9]).is_err());
    }
}
