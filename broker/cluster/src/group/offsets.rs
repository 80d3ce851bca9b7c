//! Committed offsets: their key, their value, and the arithmetic of when one expires.
//!
//! Kafka's `OffsetAndMetadata` and `OffsetExpirationConditionImpl`.

use std::ops::RangeInclusive;

use logspine_protocol::types::TopicId;

/// Whose offset, of which partition. Ordered by group, so that a group's offsets are one range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OffsetKey {
    pub group_id: String,
    pub topic: String,
    pub partition: i32,
}

impl OffsetKey {
    pub fn new(group_id: &str, topic: &str, partition: i32) -> OffsetKey {
        OffsetKey { group_id: group_id.into(), topic: topic.into(), partition }
    }

    /// The keys of one group. `"\u{10FFFF}"` sorts after every legal topic name.
    pub(super) fn of_group(group_id: &str) -> RangeInclusive<OffsetKey> {
        OffsetKey::new(group_id, "", i32::MIN)..=OffsetKey::new(group_id, "\u{10FFFF}", i32::MAX)
    }
}

/// What a group committed for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    pub offset: i64,
    /// -1 when the client did not say.
    pub leader_epoch: i32,
    pub metadata: String,
    pub commit_timestamp_ms: i64,
    /// Only from OffsetCommit 2 to 4 with a retention of their own.
    pub expire_timestamp_ms: Option<i64>,
    /// `TopicId::ZERO` in records of brokers that did not store it.
    pub topic_id: TopicId,
}

impl OffsetAndMetadata {
    /// Whether retention has passed, counted from `base_timestamp_ms`; a retention of its own goes first.
    pub(super) fn is_expired(&self, base_timestamp_ms: i64, now_ms: i64, retention_ms: i64) -> bool {
        match self.expire_timestamp_ms {
            Some(expire_timestamp_ms) => now_ms >= expire_timestamp_ms,
            None => now_ms.saturating_sub(base_timestamp_ms) >= retention_ms,
        }
    }

    /// Whether this was committed for another topic of the same name than the one asked for.
    pub(super) fn is_of_other_topic(&self, topic_id: TopicId) -> bool {
        !topic_id.is_zero() && !self.topic_id.is_zero() && self.topic_id != topic_id
    }
}
