//! OffsetFetch: what a group has committed (Kafka's `fetchOffsets` and `fetchAllOffsets`).
//!
//! Without `require_stable` the answer is what is committed now. With it the answer also counts commits that
//! are under way, and leaves when they are committed.

use logspine_protocol::types::TopicId;

use super::offsets::{OffsetAndMetadata, OffsetKey};
use super::request::{FetchOffsets, FetchTopic};
use super::response::{FetchedOffset, FetchedTopic, GroupResponse};
use super::shard::{Effects, GroupShard, Token};

impl GroupShard {
    pub(super) fn fetch_offsets(&mut self, token: Token, fetch: &FetchOffsets, effects: &mut Effects) {
        let topics = match &fetch.topics {
            Some(topics) => topics.iter().map(|topic| self.fetch_topic(fetch, topic)).collect(),
            None => self.fetch_all(fetch),
        };
        let waits = fetch.require_stable && self.offsets.staged_within(OffsetKey::of_group(&fetch.group_id));
        Self::reply_after(effects, token, GroupResponse::Fetched(topics), waits);
    }

    fn fetch_topic(&self, fetch: &FetchOffsets, topic: &FetchTopic) -> FetchedTopic {
        let partitions = topic.partitions.iter().map(|&partition| {
            let key = OffsetKey::new(&fetch.group_id, &topic.topic, partition);
            let offset = if fetch.require_stable {
                self.offsets.latest(&key)
            } else {
                self.offsets.committed().get(&key)
            };
            fetched(partition, offset.filter(|offset| !offset.is_of_other_topic(topic.topic_id)))
        });
        FetchedTopic {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: partitions.collect(),
        }
    }

    fn fetch_all(&self, fetch: &FetchOffsets) -> Vec<FetchedTopic> {
        let range = OffsetKey::of_group(&fetch.group_id);
        let mut topics: Vec<FetchedTopic> = Vec::new();
        let mut add = |key: &OffsetKey, offset: &OffsetAndMetadata| {
            if topics.last().is_none_or(|last| last.topic != key.topic) {
                let topic = key.topic.clone();
                topics.push(FetchedTopic { topic, topic_id: TopicId::ZERO, partitions: Vec::new() });
            }
            let last = topics.last_mut().expect("one was just added if there was none");
            last.partitions.push(fetched(key.partition, Some(offset)));
        };
        if fetch.require_stable {
            self.offsets.latest_within(range).into_iter().for_each(|(key, offset)| add(key, offset));
        } else {
            self.offsets.committed().range(range).for_each(|(key, offset)| add(key, offset));
        }
        topics
    }
}

fn fetched(partition: i32, offset: Option<&OffsetAndMetadata>) -> FetchedOffset {
    match offset {
        Some(committed) => FetchedOffset {
            partition,
            offset: committed.offset,
            leader_epoch: committed.leader_epoch,
            metadata: committed.metadata.clone(),
        },
        None => FetchedOffset { partition, offset: -1, leader_epoch: -1, metadata: String::new() },
    }
}
