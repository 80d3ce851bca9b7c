//! Offsets that nobody needs any more, and groups that have nothing left.
//!
//! Kafka's `cleanupExpiredOffsets`: an empty group's offsets expire `offsets.retention.minutes` after it became
//! empty, those of a group that never had members after their commit, and in a stable consumer group those
//! of topics that it no longer subscribes to. An empty group without offsets goes too.

use super::ClassicGroupState::*;
use super::classic::ClassicGroup;
use super::delete::append_all;
use super::offsets::{OffsetAndMetadata, OffsetKey};
use super::record::GroupRecord;
use super::shard::{Effects, GroupShard};

/// From when on retention counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Commit,
    Since(i64),
}

impl ClassicGroup {
    fn expiration_base(&self) -> Option<Base> {
        if self.protocol_type.is_none() {
            Some(Base::Commit)
        } else if self.is_in(Empty) {
            Some(self.state_timestamp_ms.map_or(Base::Commit, Base::Since))
        } else if self.is_in(Stable) && self.uses_consumer_protocol() && self.subscribed_topics.is_some() {
            Some(Base::Commit)
        } else {
            None
        }
    }
}

impl GroupShard {
    pub(super) fn expire_offsets(&mut self, now_ms: i64, effects: &mut Effects) {
        let group_ids: Vec<String> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            let (mut records, all_expired) = self.expired_of(&group_id, now_ms);
            let group = &self.groups[&group_id];
            if all_expired && group.is_in(Empty) && group.pending_members.is_empty() {
                records.push(GroupRecord::group(&group_id, None));
                self.take_away(&group_id);
            }
            append_all(effects, records, None);
        }
    }

    /// Tombstones for the expired offsets of a group, and whether that is all it has.
    fn expired_of(&self, group_id: &str, now_ms: i64) -> (Vec<GroupRecord>, bool) {
        let group = &self.groups[group_id];
        let offsets = self.offsets.latest_within(OffsetKey::of_group(group_id));
        let Some(base) = group.expiration_base() else { return (Vec::new(), offsets.is_empty()) };
        let is_expired = |key: &OffsetKey, offset: &OffsetAndMetadata| {
            let base_ms = match base {
                Base::Commit => offset.commit_timestamp_ms,
                Base::Since(timestamp_ms) => timestamp_ms,
            };
            !group.is_subscribed_to(&key.topic)
                && offset.is_expired(base_ms, now_ms, self.config.offsets_retention_ms)
        };
        let count = offsets.len();
        let expired = offsets.into_iter().filter(|(key, offset)| is_expired(key, offset));
        let records: Vec<GroupRecord> =
            expired.map(|(key, _)| GroupRecord::offset_tombstone(key.clone())).collect();
        let all_expired = records.len() == count;
        (records, all_expired)
    }
}
