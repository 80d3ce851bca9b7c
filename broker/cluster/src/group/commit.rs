//! OffsetCommit: who may commit, and the records that do it (Kafka's `commitOffset`).
//!
//! A consumer that assigns partitions by itself commits with generation -1, into a group that is empty or not
//! there yet. A member's commit is also a sign of life.

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::TopicId;

use crate::machine::Effect;

use super::ClassicGroupState::*;
use super::classic::ClassicGroup;
use super::offsets::{OffsetAndMetadata, OffsetKey};
use super::record::GroupRecord;
use super::request::{CommitOffsets, OffsetToCommit};
use super::response::GroupResponse;
use super::shard::{Effects, GroupShard, Reply, Token};

impl GroupShard {
    pub(super) fn commit_offsets(
        &mut self,
        now_ms: i64,
        token: Token,
        commit: CommitOffsets,
        effects: &mut Effects,
    ) {
        if let Err(error) = self.validate_commit(&commit) {
            return Self::reply_after(effects, token, GroupResponse::Error(error), false);
        }
        self.with_group(now_ms, &commit.group_id, effects, |turn| {
            if matches!(turn.group.state, Stable | PreparingRebalance) {
                turn.reschedule_heartbeat(&commit.member_id);
            }
        });
        let expire_timestamp_ms = commit.retention_time_ms.map(|retention| now_ms.saturating_add(retention));
        let mut records = Vec::with_capacity(commit.offsets.len());
        let mut results = Vec::with_capacity(commit.offsets.len());
        for offset in commit.offsets {
            if offset.metadata.encode_utf16().count() > self.config.offset_metadata_max_bytes {
                results.push(ErrorCode::OffsetMetadataTooLarge);
            } else {
                results.push(ErrorCode::NONE);
                records.push(offset_record(&commit.group_id, offset, now_ms, expire_timestamp_ms));
            }
        }
        let reply = Reply { token, response: GroupResponse::Committed(results) };
        effects.push(if records.is_empty() {
            Effect::Reply(reply)
        } else {
            Effect::Append { records, then: vec![reply] }
        });
    }

    fn validate_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        match self.groups.get(&commit.group_id) {
            Some(group) => group.validate_commit(commit),
            None if commit.generation_id < 0 => Ok(()),
            None if commit.knows_group_id_not_found => Err(ErrorCode::GroupIdNotFound),
            None => Err(ErrorCode::IllegalGeneration),
        }
    }
}

impl ClassicGroup {
    fn validate_commit(&self, commit: &CommitOffsets) -> Result<(), ErrorCode> {
        if commit.generation_id < 0 && self.is_in(Empty) {
            return Ok(());
        }
        let is_nobody =
            commit.generation_id < 0 && commit.member_id.is_empty() && commit.group_instance_id.is_none();
        if is_nobody {
            // The group has members; only they may move its offsets.
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate_member(&commit.member_id, commit.group_instance_id.as_deref())?;
        if commit.generation_id != self.generation_id {
            Err(ErrorCode::IllegalGeneration)
        } else if self.is_in(CompletingRebalance) {
            // The member knows the new generation but holds no partitions in it yet.
            Err(ErrorCode::RebalanceInProgress)
        } else {
            Ok(())
        }
    }
}

fn offset_record(
    group_id: &str,
    commit: OffsetToCommit,
    now_ms: i64,
    expire_timestamp_ms: Option<i64>,
) -> GroupRecord {
    // The only record version with an expiry has neither leader epoch nor topic id: what cannot be written
    // is not remembered either, or a reload would tell another story.
    let has_expiry = expire_timestamp_ms.is_some();
    GroupRecord::Offset {
        key: OffsetKey { group_id: group_id.into(), topic: commit.topic, partition: commit.partition },
        value: Some(OffsetAndMetadata {
            offset: commit.offset,
            leader_epoch: if has_expiry { -1 } else { commit.leader_epoch },
            metadata: commit.metadata,
            commit_timestamp_ms: now_ms,
            expire_timestamp_ms,
            topic_id: if has_expiry { TopicId::ZERO } else { commit.topic_id },
        }),
    }
}
