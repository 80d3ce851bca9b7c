//! Brokers: registration, and the blocks of producer ids that they hand out. Kafka: `ClusterControlManager`,
//! `ProducerIdControlManager`.
//!
//! A process that comes back with a new incarnation begins a new leader epoch on every partition that it leads, as
//! in Kafka: with it a consumer, or later a follower, notices that records which were never synced are gone.

use logspine_protocol::types::{BrokerId, PartitionIndex, ProducerId};

use super::image::{Broker, MetadataImage, Partition, Topic};
use super::machine::Decision;
use super::record::{LeaderChange, MetadataRecord, PartitionChange};
use super::request::{Outcome, ProducerIdBlock, RegisterBroker, RequestError, RequestErrorCode};

/// Kafka's `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
pub(super) const PRODUCER_ID_BLOCK_SIZE: i32 = 1000;

/// The schemas and meanings of the records here are those of Kafka's metadata version 4.3-IV0.
const METADATA_VERSION: (&str, i16) = ("metadata.version", 30);

pub(super) fn register(image: &MetadataImage, request: RegisterBroker) -> Result<Decision, RequestError> {
    if let Some(known) = image.broker(request.broker_id) {
        // The same process asks again, because the answer was lost.
        if known.incarnation_id == request.incarnation_id {
            return Ok(Decision {
                records: vec![],
                outcome: Outcome::BrokerRegistered { epoch: known.epoch },
            });
        }
    }
    let epoch = image.last_broker_epoch() + 1;
    let mut records = Vec::new();
    if image.features().is_empty() {
        let (name, level) = METADATA_VERSION;
        records.push(MetadataRecord::FeatureLevel { name: name.to_owned(), level });
    }
    let id = request.broker_id;
    records.push(MetadataRecord::RegisterBroker(Broker {
        id,
        epoch,
        incarnation_id: request.incarnation_id,
        endpoints: request.endpoints,
        rack: request.rack,
        fenced: false,
        log_dirs: request.log_dirs,
    }));
    records.extend(image.topics().flat_map(|topic| new_reigns(topic, id)));
    Ok(Decision { records, outcome: Outcome::BrokerRegistered { epoch } })
}

/// The partitions that this broker leads again: those it led, and those nobody leads and it is in sync with.
fn new_reigns(topic: &Topic, id: BrokerId) -> impl Iterator<Item = MetadataRecord> {
    let leads = move |partition: &Partition| {
        partition.leader == id || (partition.leader == BrokerId(-1) && partition.isr.contains(&id))
    };
    let change = move |(index, _): (&PartitionIndex, &Partition)| {
        MetadataRecord::PartitionChange(PartitionChange {
            topic_id: topic.topic_id,
            index: *index,
            leader: LeaderChange::To(id),
            ..PartitionChange::default()
        })
    };
    topic.partitions.iter().filter(move |(_, partition)| leads(partition)).map(change)
}

pub(super) fn allocate_producer_ids(
    image: &MetadataImage,
    broker_id: BrokerId,
    broker_epoch: i64,
) -> Result<Decision, RequestError> {
    let Some(broker) = image.broker(broker_id) else {
        let message = format!("Broker ID {broker_id} is not currently registered");
        return Err(RequestError::new(RequestErrorCode::BrokerIdNotRegistered, message));
    };
    if broker.epoch != broker_epoch {
        let message = format!("Expected broker epoch {broker_epoch}, but got broker epoch {}", broker.epoch);
        return Err(RequestError::new(RequestErrorCode::StaleBrokerEpoch, message));
    }
    let first = image.next_producer_id();
    let next_producer_id = first
        .checked_add(i64::from(PRODUCER_ID_BLOCK_SIZE))
        .expect("2^63 producer ids outlast every cluster");
    let block = ProducerIdBlock { first: ProducerId(first), count: PRODUCER_ID_BLOCK_SIZE };
    Ok(Decision {
        records: vec![MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }],
        outcome: Outcome::ProducerIdsAllocated(block),
    })
}
