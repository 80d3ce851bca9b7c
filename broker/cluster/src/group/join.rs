//! JoinGroup: who may come in, under which id, and whether that makes the group rebalance.
//!
//! Kafka's `classicGroupJoin*`. A dynamic member without id is first told one (KIP-394); a static member
//! takes over the place of its instance id (KIP-345, `static_member.rs`).

use logspine_protocol::error::ErrorCode;

use super::ClassicGroupState::*;
use super::member::Member;
use super::request::Join;
use super::response::{GroupResponse, Joined};
use super::shard::Token;
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn join(&mut self, token: Token, join: &Join) {
        if !self.accepts_joining_member(join) {
            // The last to come back to a group that is over capacity are let go.
            self.remove_member(&join.member_id);
            self.refuse_join(token, ErrorCode::GroupMaxSizeReached, "");
        } else if !self.group.supports_protocols(&join.protocol_type, &join.protocols) {
            self.refuse_join(token, ErrorCode::InconsistentGroupProtocol, &join.member_id);
        } else if join.member_id.is_empty() {
            self.join_new_member(token, join);
        } else if self.group.pending_members.contains(&join.member_id) {
            self.join_pending_member(token, join);
        } else {
            let instance_id = join.group_instance_id.as_deref();
            match self.group.validate_member(&join.member_id, instance_id) {
                Ok(()) => self.join_existing_member(token, join),
                Err(error) => self.refuse_join(token, error, &join.member_id),
            }
        }
    }

    /// While members come back, those who wait count, not those who are registered: the group may already be
    /// over a capacity that was lowered. A static member that restarted takes nobody's place but its own
    /// (Kafka refuses it when the group is full).
    fn accepts_joining_member(&self, join: &Join) -> bool {
        let replaced = join.group_instance_id.as_ref().and_then(|id| self.group.static_members.get(id));
        let member_id = if join.member_id.is_empty() { replaced } else { Some(&join.member_id) };
        let member = member_id.and_then(|member_id| self.group.members.get(member_id));
        match self.group.state {
            Empty | Dead => true,
            PreparingRebalance => {
                member.is_some_and(|member| member.awaiting_join.is_some())
                    || self.group.awaiting_join_count() < self.config.max_size
            }
            CompletingRebalance | Stable => {
                member.is_some() || self.group.members.len() < self.config.max_size
            }
        }
    }

    fn join_new_member(&mut self, token: Token, join: &Join) {
        let prefix = join.group_instance_id.as_deref().unwrap_or(&join.client_id);
        let new_member_id = format!("{prefix}-{}", join.new_member_uuid);
        let replaced =
            join.group_instance_id.as_ref().and_then(|id| self.group.static_members.get(id)).cloned();
        match (&join.group_instance_id, replaced) {
            (Some(_), Some(old_member_id)) => {
                self.rejoin_static_member(token, join, &old_member_id, new_member_id);
            }
            (None, _) if join.requires_known_member_id => {
                self.schedule_heartbeat(&new_member_id, join.session_timeout_ms);
                self.refuse_join(token, ErrorCode::MemberIdRequired, &new_member_id);
                self.group.pending_members.insert(new_member_id);
            }
            _ => self.add_member(token, join, new_member_id),
        }
    }

    fn join_pending_member(&mut self, token: Token, join: &Join) {
        if join.group_instance_id.is_some() {
            // Ids are only given out ahead to dynamic members: no static member has this one.
            self.refuse_join(token, ErrorCode::UnknownMemberId, &join.member_id);
        } else {
            self.add_member(token, join, join.member_id.clone());
        }
    }

    fn join_existing_member(&mut self, token: Token, join: &Join) {
        let member_id = &join.member_id;
        let is_unchanged =
            self.group.members.get(member_id).is_some_and(|member| member.protocols == join.protocols);
        match self.group.state {
            PreparingRebalance => self.update_member(token, join),
            // The first answer may have been lost; the same question gets the same answer.
            CompletingRebalance if is_unchanged => {
                let with_members = self.group.is_leader(member_id);
                self.reply_current_generation(token, member_id, with_members);
            }
            // A leader that joins again wants a new assignment: what it depends on may have changed.
            Stable if is_unchanged && !self.group.is_leader(member_id) => {
                self.reply_current_generation(token, member_id, false);
            }
            CompletingRebalance | Stable => self.update_member(token, join),
            Empty | Dead => self.refuse_join(token, ErrorCode::UnknownMemberId, member_id),
        }
    }

    fn reply_current_generation(&mut self, token: Token, member_id: &str, with_members: bool) {
        let joined = self.joined(member_id, with_members);
        self.reply(token, GroupResponse::Joined(joined));
    }

    /// What a member of the current generation is told.
    pub(super) fn joined(&self, member_id: &str, with_members: bool) -> Joined {
        Joined {
            error: ErrorCode::NONE,
            generation_id: self.group.generation_id,
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            leader: self.group.leader_id.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: if with_members { self.group.members_for_leader() } else { Vec::new() },
        }
    }

    fn add_member(&mut self, token: Token, join: &Join, member_id: String) {
        if self.group.is_in(PreparingRebalance) && self.group.previous_state == Empty {
            self.group.new_member_added = true;
        }
        self.group.add(Member::new(member_id.clone(), join, token), &join.protocol_type);
        // It does not know its id yet and cannot heartbeat; a client that gave up and retries would pile up
        // members, so the join itself is given a limit.
        self.schedule_heartbeat(&member_id, self.config.new_member_join_timeout_ms);
        self.prepare_rebalance_or_complete_join();
    }

    fn update_member(&mut self, token: Token, join: &Join) {
        self.set_member(&join.member_id, join);
        self.park_join(&join.member_id, token);
        self.prepare_rebalance_or_complete_join();
    }

    /// Takes over what a join says about its member.
    pub(super) fn set_member(&mut self, member_id: &str, join: &Join) {
        let Some(member) = self.group.members.get_mut(member_id) else { return };
        member.protocols = join.protocols.clone();
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
    }
}
