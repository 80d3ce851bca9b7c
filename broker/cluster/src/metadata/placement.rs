//! Where the replicas of new partitions go: leaders in turn over all brokers, replicas on distinct racks if possible.
//!
//! The starting point comes from the topic's id, so that topics do not all start at the same broker and yet the same
//! request gives the same answer. Kafka: `StripedReplicaPlacer`; the sentences are its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use logspine_protocol::types::{BrokerId, TopicId};
use thiserror::Error;

use super::image::MetadataImage;

/// Why partitions cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlacementError {
    #[error("All brokers are currently fenced.")]
    NoBroker,
    #[error(
        "The target replication factor of {wanted} cannot be reached because only {registered} broker(s) are \
         registered."
    )]
    TooFewBrokers { wanted: i16, registered: usize },
}

/// Places the partitions `first .. first + count` of a topic.
pub(super) fn place(
    image: &MetadataImage,
    topic_id: TopicId,
    first: i32,
    count: i32,
    replication_factor: i16,
) -> Result<Vec<Vec<BrokerId>>, PlacementError> {
    let ring = ring(image);
    if ring.is_empty() {
        return Err(PlacementError::NoBroker);
    }
    let wanted = usize::try_from(replication_factor).unwrap_or(0);
    if wanted > ring.len() {
        return Err(PlacementError::TooFewBrokers { wanted: replication_factor, registered: ring.len() });
    }
    let start = start(topic_id);
    let position = |index: i32| start.wrapping_add(u64::from(index.unsigned_abs()));
    Ok((first..first + count).map(|index| stripe(&ring, position(index), wanted)).collect())
}

/// A broker and its rack.
type Seat = (BrokerId, Option<String>);

/// The brokers that may hold replicas, neighbours on different racks where the racks allow it.
fn ring(image: &MetadataImage) -> Vec<Seat> {
    let mut racks: BTreeMap<Option<String>, VecDeque<Seat>> = BTreeMap::new();
    for broker in image.brokers().filter(|broker| !broker.fenced) {
        racks.entry(broker.rack.clone()).or_default().push_back((broker.id, broker.rack.clone()));
    }
    let mut ring = Vec::new();
    while !racks.is_empty() {
        ring.extend(racks.values_mut().filter_map(VecDeque::pop_front));
        racks.retain(|_, seats| !seats.is_empty());
    }
    ring
}

/// One partition: the leader at `position`, the others behind it, first one per rack, then any.
/// Every full turn shifts the followers by one, so that two brokers do not share all of their partitions.
fn stripe(ring: &[Seat], position: u64, wanted: usize) -> Vec<BrokerId> {
    let brokers = ring.len() as u64;
    let at =
        |offset: u64| &ring[usize::try_from((position + offset) % brokers).expect("below the ring's length")];
    let turn = position / brokers;
    let followers = || (0..brokers - 1).map(|step| at(1 + (step + turn) % (brokers - 1)));
    let leader = at(0);
    let mut chosen = vec![leader.0];
    let mut racks = BTreeSet::from([&leader.1]);
    if brokers == 1 {
        return chosen;
    }
    for seat in followers().filter(|seat| seat.1.is_some()) {
        if chosen.len() < wanted && racks.insert(&seat.1) {
            chosen.push(seat.0);
        }
    }
    for seat in followers() {
        if chosen.len() < wanted && !chosen.contains(&seat.0) {
            chosen.push(seat.0);
        }
    }
    chosen
}

fn start(topic_id: TopicId) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&topic_id.0[8..]);
    // Small enough that no partition index can overflow it.
    u64::from_be_bytes(word) >> 32
}

#[cfg(test)]
mod tests {
    use super::super::image::Broker;
    use super::super::record::MetadataRecord;
    use super::*;

    fn cluster(racks: &[Option<&str>]) -> MetadataImage {
        let mut image = MetadataImage::default();
        for (id, rack) in racks.iter().enumerate() {
            image.replay(&MetadataRecord::RegisterBroker(Broker {
                id: BrokerId(id as i32),
                epoch: id as i64,
                incarnation_id: TopicId::ZERO,
                endpoints: vec![],
                rack: rack.map(str::to_owned),
                fenced: false,
                log_dirs: vec![],
            }));
        }
        image
    }

    #[test]
    fn replicas_are_distinct_and_leaders_are_spread_evenly() {
        let image = cluster(&[None; 5]);
        let placed = place(&image, TopicId([7; 16]), 0, 50, 3).unwrap();
        let mut leads = BTreeMap::new();
        for replicas in &placed {
            assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), 3, "{replicas:?}");
            *leads.entry(replicas[0]).or_insert(0) += 1;
        }
        assert!(leads.values().all(|count| *count == 10), "{leads:?}");
        let partners: BTreeSet<_> = placed.iter().filter(|r| r[0] == BrokerId(0)).map(|r| r[1]).collect();
        assert!(partners.len() > 1, "broker 0 shares all of its partitions with one broker");
    }

    #[test]
    fn each_replica_is_on_another_rack_while_racks_last() {
        let image = cluster(&[Some("a"), Some("a"), Some("a"), Some("b"), Some("c")]);
        for replicas in place(&image, TopicId([9; 16]), 0, 30, 3).unwrap() {
            let racks: BTreeSet<_> =
                replicas.iter().map(|id| image.broker(*id).unwrap().rack.clone()).collect();
            assert_eq!(racks.len(), 3, "{replicas:?}");
        }
    }

    #[test]
    fn what_cannot_be_placed_is_refused_in_kafkas_words() {
        let refusal = |image: &MetadataImage| place(image, TopicId::ZERO, 0, 1, 3).unwrap_err().to_string();
        assert_eq!(refusal(&cluster(&[])), "All brokers are currently fenced.");
        assert_eq!(
            refusal(&cluster(&[None])),
            "The target replication factor of 3 cannot be reached because only 1 broker(s) are registered."
        );
    }

    #[test]
    fn later_partitions_continue_where_the_first_ones_ended() {
        let image = cluster(&[None; 4]);
        let id = TopicId([3; 16]);
        let at_once = place(&image, id, 0, 10, 2).unwrap();
        let mut in_two = place(&image, id, 0, 6, 2).unwrap();
        in_two.extend(place(&image, id, 6, 4, 2).unwrap());
        assert_eq!(at_once, in_two);
    }
}
