//! What the metrics want to know of each group: its members, and what it has committed.
//!
//! Copied out under each shard's lock, so that writing the exposition holds up no group.

use std::collections::BTreeMap;
use std::sync::Arc;

use logspine_cluster::group::GroupShard;

use super::Coordinator;

/// One group, with or without members.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupFigures {
    pub group_id: String,
    pub members: usize,
    /// Topic, partition and committed offset.
    pub offsets: Vec<(Arc<str>, i32, i64)>,
}

impl Coordinator {
    /// Every group that is coordinated here, shard by shard, in the order of their names.
    pub fn figures(&self) -> Vec<GroupFigures> {
        self.shards().iter().flat_map(|shard| shard.look(of_shard)).collect()
    }
}

fn of_shard(shard: &GroupShard) -> Vec<GroupFigures> {
    let mut groups: BTreeMap<&str, GroupFigures> = BTreeMap::new();
    for size in shard.group_sizes() {
        groups.entry(size.group_id).or_default().members = size.members;
    }
    // Offsets come in the order of their topics: one name serves a whole topic.
    let mut topic: Arc<str> = Arc::from("");
    for (key, committed) in shard.offsets() {
        if *topic != *key.topic {
            topic = Arc::from(key.topic.as_str());
        }
        let offset = (Arc::clone(&topic), key.partition, committed.offset);
        groups.entry(&key.group_id).or_default().offsets.push(offset);
    }
    let named =
        groups.into_iter().map(|(group_id, figures)| GroupFigures { group_id: group_id.into(), ..figures });
    named.collect()
}
