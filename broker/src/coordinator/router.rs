//! Which shard holds a group, and whether it is here.
//!
//! A group lives in the partition of `__consumer_offsets` that Java's hash of its id names
//! (Kafka's `GroupCoordinatorService.partitionFor`); its coordinator is that partition's leader.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use logspine_cluster::metadata::{GROUP_METADATA_TOPIC_NAME, MetadataImage, Partition};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{BrokerId, PartitionIndex};

use super::driver::Shard;
use super::{Coordinator, decision_config};
use crate::partition::Lookup;

/// The partition of a group. `partitions` is at least 1.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    // Kafka takes 0 for the one number that has no absolute value.
    java_hash(group_id).checked_abs().unwrap_or(0) % partitions
}

/// `String.hashCode` of Java, over UTF-16 units.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The partition of `__consumer_offsets` that holds the group, if the topic exists.
fn partition_of<'a>(image: &'a MetadataImage, group_id: &str) -> Option<(i32, &'a Partition)> {
    let topic = image.topic_by_name(GROUP_METADATA_TOPIC_NAME)?;
    let count = i32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)?;
    let index = partition_for(group_id, count);
    Some((index, topic.partitions.get(&PartitionIndex(index))?))
}

impl Coordinator {
    /// The broker that coordinates the group; creates `__consumer_offsets` if this is its first use.
    pub async fn find(&self, group_id: &str) -> Result<BrokerId, ErrorCode> {
        self.ensure_offsets_topic().await?;
        let image = self.inner.metadata.image();
        let (_, partition) = partition_of(&image, group_id).ok_or(ErrorCode::CoordinatorNotAvailable)?;
        if partition.leader.0 < 0 { Err(ErrorCode::CoordinatorNotAvailable) } else { Ok(partition.leader) }
    }

    /// The shard of a group, if this broker coordinates it.
    pub(super) fn shard_of(&self, group_id: &str) -> Result<Arc<Shard>, ErrorCode> {
        let image = self.inner.metadata.image();
        let (index, partition) = partition_of(&image, group_id).ok_or(ErrorCode::NotCoordinator)?;
        if partition.leader != self.inner.broker || self.has_stopped() {
            return Err(ErrorCode::NotCoordinator);
        }
        self.open_shard(index).ok_or_else(|| self.not_open(index))
    }

    /// Fails while a partition of the topic is still to be opened after a start: nobody knows which groups it holds.
    pub(super) fn all_open(&self) -> Result<(), ErrorCode> {
        let image = self.inner.metadata.image();
        let topic = image.topic_by_name(GROUP_METADATA_TOPIC_NAME);
        let mut indexes = topic.into_iter().flat_map(|topic| topic.partitions.keys());
        let is_opening = |index: &PartitionIndex| {
            matches!(self.inner.partitions.lookup_name(GROUP_METADATA_TOPIC_NAME, index.0), Lookup::Opening)
        };
        if indexes.any(is_opening) { Err(ErrorCode::CoordinatorLoadInProgress) } else { Ok(()) }
    }

    /// Led here but not open: its log is being opened, or cannot be.
    fn not_open(&self, index: i32) -> ErrorCode {
        match self.inner.partitions.lookup_name(GROUP_METADATA_TOPIC_NAME, index) {
            Lookup::Opening => ErrorCode::CoordinatorLoadInProgress,
            _ => ErrorCode::CoordinatorNotAvailable,
        }
    }

    fn has_stopped(&self) -> bool {
        self.inner.stopped.load(Ordering::Acquire)
    }

    /// Makes sure that every partition of the topic that is here has its shard, and no other.
    pub(super) fn open_shards(&self) {
        let image = self.inner.metadata.image();
        let topic = image.topic_by_name(GROUP_METADATA_TOPIC_NAME);
        let led = topic.into_iter().flat_map(|topic| &topic.partitions);
        let led = led.filter(|(_, partition)| partition.leader == self.inner.broker);
        let led: Vec<i32> = led.map(|(index, _)| index.0).collect();
        for index in &led {
            self.open_shard(*index);
        }
        let gone: Vec<Arc<Shard>> = {
            let mut shards = self.inner.shards.lock();
            let indexes: Vec<i32> = shards.keys().filter(|index| !led.contains(index)).copied().collect();
            indexes.iter().filter_map(|index| shards.remove(index)).collect()
        };
        for shard in gone {
            shard.resign();
        }
    }

    /// The shard over the partition as it is open here now; a new one if there is none yet.
    fn open_shard(&self, index: i32) -> Option<Arc<Shard>> {
        if self.has_stopped() {
            return None;
        }
        let partition = self.inner.partitions.by_name(GROUP_METADATA_TOPIC_NAME, index)?;
        let (shard, replaced) = {
            let mut shards = self.inner.shards.lock();
            if let Some(shard) = shards.get(&index)
                && shard.serves_from(&partition)
            {
                return Some(Arc::clone(shard));
            }
            let config = decision_config(&self.inner.config.group);
            let shard = Shard::new(index, partition, config, &self.inner.deadlines);
            (Arc::clone(&shard), shards.insert(index, shard))
        };
        if let Some(replaced) = replaced {
            replaced.resign();
        }
        self.load(&shard);
        Some(shard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_land_where_kafka_puts_them() {
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("console-consumer-1"), java_hash("console-consumer-1"));
        // Two UTF-16 units, as in Java.
        assert_eq!(java_hash("\u{1F600}"), 0xd83d * 31 + 0xde00);
        // "polygenelubricants" hashes to the number without absolute value.
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("hello", 50), 22);
    }
}
