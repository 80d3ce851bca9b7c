//! OffsetDelete, DeleteGroups, and the offsets of deleted topics.
//!
//! Nothing that is in use goes: an offset of a topic that the group subscribes to stays, a group with members
//! stays. A deleted group is gone for later requests at once and for its caller once the log says so.

use logspine_protocol::error::ErrorCode;

use crate::machine::Effect;

use super::ClassicGroupState::*;
use super::offsets::OffsetKey;
use super::record::GroupRecord;
use super::request::DeleteOffsets;
use super::response::GroupResponse;
use super::shard::{DeletedTopic, Effects, GroupShard, Reply, Token};

/// Tombstones per append: keeps a batch well below `max.message.bytes`.
pub(super) const TOMBSTONES_PER_APPEND_MAX: usize = 1_000;

impl GroupShard {
    pub(super) fn delete_offsets(&mut self, token: Token, delete: DeleteOffsets, effects: &mut Effects) {
        if let Err(error) = self.validate_delete_offsets(&delete.group_id) {
            return Self::reply_after(effects, token, GroupResponse::Error(error), false);
        }
        let group = &self.groups[&delete.group_id];
        let mut results = Vec::with_capacity(delete.partitions.len());
        let mut records = Vec::new();
        for (topic, partition) in delete.partitions {
            if group.is_subscribed_to(&topic) {
                results.push(ErrorCode::GroupSubscribedToTopic);
                continue;
            }
            results.push(ErrorCode::NONE);
            let key = OffsetKey { group_id: delete.group_id.clone(), topic, partition };
            if self.offsets.latest(&key).is_some() {
                records.push(GroupRecord::offset_tombstone(key));
            }
        }
        append_all(effects, records, Some(Reply { token, response: GroupResponse::OffsetsDeleted(results) }));
    }

    fn validate_delete_offsets(&self, group_id: &str) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        // What members of another protocol type are subscribed to is not known.
        if group.is_in(Empty) || group.uses_consumer_protocol() {
            Ok(())
        } else {
            Err(ErrorCode::NonEmptyGroup)
        }
    }

    pub(super) fn delete_group(&mut self, token: Token, group_id: &str, effects: &mut Effects) {
        let error = match self.groups.get(group_id) {
            None => ErrorCode::GroupIdNotFound,
            Some(group) if !group.is_in(Empty) => ErrorCode::NonEmptyGroup,
            Some(_) => {
                let keys = self.offsets.latest_within(OffsetKey::of_group(group_id)).into_keys();
                let mut records: Vec<GroupRecord> =
                    keys.cloned().map(GroupRecord::offset_tombstone).collect();
                records.push(GroupRecord::group(group_id, None));
                self.take_away(group_id);
                let response = GroupResponse::Error(ErrorCode::NONE);
                return append_all(effects, records, Some(Reply { token, response }));
            }
        };
        Self::reply_after(effects, token, GroupResponse::Error(error), false);
    }

    pub(super) fn delete_offsets_of(&mut self, topics: &[DeletedTopic], effects: &mut Effects) {
        let group_ids: Vec<String> = self.groups.keys().cloned().collect();
        let mut records = Vec::new();
        for group_id in group_ids {
            for (key, offset) in self.offsets.latest_within(OffsetKey::of_group(&group_id)) {
                let is_gone = |topic: &DeletedTopic| {
                    topic.name == key.topic && !offset.is_of_other_topic(topic.topic_id)
                };
                if topics.iter().any(is_gone) {
                    records.push(GroupRecord::offset_tombstone(key.clone()));
                }
            }
        }
        append_all(effects, records, None);
    }
}

/// Appends records in batches of a bounded size; the reply leaves with the last, at once if there is none.
pub(super) fn append_all(effects: &mut Effects, records: Vec<GroupRecord>, reply: Option<Reply>) {
    let mut records = records.into_iter().peekable();
    if records.peek().is_none() {
        effects.extend(reply.map(Effect::Reply));
        return;
    }
    let mut then: Vec<Reply> = reply.into_iter().collect();
    while records.peek().is_some() {
        let batch = records.by_ref().take(TOMBSTONES_PER_APPEND_MAX).collect();
        let is_last = records.peek().is_none();
        let then = if is_last { std::mem::take(&mut then) } else { Vec::new() };
        effects.push(Effect::Append { records: batch, then });
    }
}
