//! One step of one classic group: the group, its timers, and where effects go.
//!
//! The phases of a rebalance are methods of this in `join.rs`, `rebalance.rs`, `sync.rs`, `heartbeat.rs`,
//! `leave.rs` and `static_member.rs`. Every token that comes in leaves once: at once, with a record, or when
//! the member it is parked at is answered.

use logspine_protocol::error::ErrorCode;

use crate::machine::Effect;

use super::GroupConfig;
use super::classic::ClassicGroup;
use super::record::GroupRecord;
use super::response::{GroupResponse, Joined};
use super::shard::{Effects, Reply, Token};
use super::timers::{TimerKey, Timers};

pub(super) struct Turn<'a> {
    pub(super) now_ms: i64,
    pub(super) config: &'a GroupConfig,
    pub(super) group: &'a mut ClassicGroup,
    pub(super) timers: &'a mut Timers,
    pub(super) effects: &'a mut Effects,
}

impl Turn<'_> {
    pub(super) fn reply(&mut self, token: Token, response: GroupResponse) {
        self.effects.push(Effect::Reply(Reply { token, response }));
    }

    pub(super) fn refuse_join(&mut self, token: Token, error: ErrorCode, member_id: &str) {
        self.reply(token, GroupResponse::Joined(Joined::error(error, member_id)));
    }

    /// Appends the group's membership; `then` leaves once it is committed.
    pub(super) fn append_group(&mut self, record: GroupRecord, then: Vec<Reply>) {
        self.effects.push(Effect::Append { records: vec![record], then });
    }

    pub(super) fn schedule_heartbeat(&mut self, member_id: &str, timeout_ms: i32) {
        let key = self.heartbeat_key(member_id);
        self.timers.schedule(key, self.now_ms + i64::from(timeout_ms.max(0)));
    }

    /// A sign of life: the session starts anew.
    pub(super) fn reschedule_heartbeat(&mut self, member_id: &str) {
        if let Some(member) = self.group.members.get(member_id) {
            let session_timeout_ms = member.session_timeout_ms;
            self.schedule_heartbeat(member_id, session_timeout_ms);
        }
    }

    pub(super) fn cancel_heartbeat(&mut self, member_id: &str) {
        let key = self.heartbeat_key(member_id);
        self.timers.cancel(&key);
    }

    fn heartbeat_key(&self, member_id: &str) -> TimerKey {
        TimerKey::Heartbeat { group_id: self.group.group_id.clone(), member_id: member_id.into() }
    }

    pub(super) fn join_key(&self) -> TimerKey {
        TimerKey::Join { group_id: self.group.group_id.clone() }
    }

    pub(super) fn sync_key(&self) -> TimerKey {
        TimerKey::Sync { group_id: self.group.group_id.clone() }
    }

    /// Takes a member out, ends its session and refuses what it had parked, so that a client that is still
    /// there joins anew.
    pub(super) fn remove_member(&mut self, member_id: &str) {
        self.cancel_heartbeat(member_id);
        let Some(member) = self.group.remove(member_id) else { return };
        if let Some(token) = member.awaiting_join {
            self.refuse_join(token, ErrorCode::UnknownMemberId, "");
        }
        if let Some(token) = member.awaiting_sync {
            self.reply(token, GroupResponse::Error(ErrorCode::UnknownMemberId));
        }
    }

    /// Parks a join at its member. A join parked before (the client gave up on it and asked again) is let go.
    pub(super) fn park_join(&mut self, member_id: &str, token: Token) {
        let Some(member) = self.group.members.get_mut(member_id) else { return };
        if let Some(superseded) = member.awaiting_join.replace(token) {
            self.refuse_join(superseded, ErrorCode::RebalanceInProgress, member_id);
        }
    }

    pub(super) fn park_sync(&mut self, member_id: &str, token: Token) {
        let Some(member) = self.group.members.get_mut(member_id) else { return };
        if let Some(superseded) = member.awaiting_sync.replace(token) {
            self.reply(superseded, GroupResponse::Error(ErrorCode::RebalanceInProgress));
        }
    }
}
