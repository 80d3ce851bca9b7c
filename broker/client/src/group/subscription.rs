//! What members of a consumer group tell each other through the broker, which does not read it.
//!
//! Kafka's `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`: an `int16` version in front, then
//! classic encoding without tagged fields. A reader takes any version, known fields only, and ignores what a
//! newer version appends; versions 0 to 3 are written.

use std::collections::BTreeMap;

use logspine_protocol::types::PartitionIndex;
use logspine_protocol::wire::{DecodeError, EncodeError, Reader, Writer};

use crate::metadata::TopicPartition;

/// The highest version of both that is known.
pub(crate) const HIGHEST_VERSION: i16 = 3;

/// What a member wants, in its JoinGroup request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subscription {
    pub topics: Vec<String>,
    pub user_data: Option<Vec<u8>>,
    /// What the member holds at present, from version 1 on (KIP-429).
    pub owned_partitions: Vec<TopicPartition>,
    /// The generation in which it got that, -1 for none, from version 2 on (KIP-792).
    pub generation_id: i32,
    /// From version 3 on (KIP-881).
    pub rack_id: Option<String>,
}

/// Writes a subscription at this version.
pub(crate) fn encode_subscription(subscription: &Subscription, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    w.i16(version);
    w.i32(subscription.topics.len() as i32);
    for topic in &subscription.topics {
        w.str(false, topic)?;
    }
    w.nullable_bytes(false, subscription.user_data.as_deref())?;
    if version >= 1 {
        write_partitions(&mut w, &subscription.owned_partitions)?;
    }
    if version >= 2 {
        w.i32(subscription.generation_id);
    }
    if version >= 3 {
        w.nullable_str(false, subscription.rack_id.as_deref())?;
    }
    Ok(w.into_bytes())
}

/// Reads a subscription of any version.
pub(crate) fn decode_subscription(bytes: &[u8]) -> Result<Subscription, DecodeError> {
    let mut r = Reader::new(bytes);
    let version = r.i16()?;
    let topics = r.array(false, 2, |r| Ok(r.str(false)?.into_owned()))?;
    let user_data = r.nullable_bytes(false)?.map(|bytes| bytes.into_owned());
    let owned_partitions = if version >= 1 { read_partitions(&mut r)? } else { Vec::new() };
    let generation_id = if version >= 2 { r.i32()? } else { -1 };
    let rack_id = if version >= 3 { r.nullable_str(false)?.map(|rack| rack.into_owned()) } else { None };
    Ok(Subscription { topics, user_data, owned_partitions, generation_id, rack_id })
}

/// Writes what a member gets, for the leader's SyncGroup request.
pub(crate) fn encode_assignment(partitions: &[TopicPartition], version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    w.i16(version);
    write_partitions(&mut w, partitions)?;
    w.nullable_bytes(false, None)?;
    Ok(w.into_bytes())
}

/// Reads an assignment of any version. No bytes at all mean nothing assigned.
pub(crate) fn decode_assignment(bytes: &[u8]) -> Result<Vec<TopicPartition>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut r = Reader::new(bytes);
    r.i16()?;
    read_partitions(&mut r)
}

/// An array of topics, each with an array of partitions; topics in order of name, as Java's tree maps have it.
fn write_partitions(w: &mut Writer, partitions: &[TopicPartition]) -> Result<(), EncodeError> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        topics.entry(topic).or_default().push(partition.0);
    }
    w.i32(topics.len() as i32);
    for (topic, partitions) in topics {
        w.str(false, topic)?;
        w.i32(partitions.len() as i32);
        partitions.into_iter().for_each(|partition| w.i32(partition));
    }
    Ok(())
}

fn read_partitions(r: &mut Reader<'_>) -> Result<Vec<TopicPartition>, DecodeError> {
    let topics = r.array(false, 6, |r| Ok((r.str(false)?.into_owned(), r.array(false, 4, |r| r.i32())?)))?;
    let flat = topics.into_iter().flat_map(|(topic, partitions)| {
        partitions.into_iter().map(move |partition| TopicPartition {
            topic: topic.clone(),
            partition: PartitionIndex(partition),
        })
    });
    Ok(flat.collect())
}

#[cfg(test)]
mod tests;
