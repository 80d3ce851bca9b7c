//! A classic group's membership and the questions one can ask of it (Kafka's `ClassicGroup`).
//!
//! Pure bookkeeping: nothing here answers a request, sets a timer or writes a record; the rebalance does
//! (`turn.rs` and its neighbours). Members are kept in the order of their ids so that every choice among
//! them is the same on every run.

use std::collections::{BTreeMap, BTreeSet};

use logspine_protocol::error::ErrorCode;

use super::ClassicGroupState::{self, *};
use super::member::Member;
use super::record::{GroupMetadata, MemberMetadata};
use super::request::Protocol;
use super::response::JoinedMember;
use super::subscription::{CONSUMER_PROTOCOL_TYPE, subscribed_topics};

/// The rest of the first rebalance of a group, which waits for more members to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InitialDelay {
    pub(super) delay_ms: i32,
    pub(super) remaining_ms: i32,
}

#[derive(Debug)]
pub(super) struct ClassicGroup {
    pub(super) group_id: String,
    pub(super) state: ClassicGroupState,
    pub(super) previous_state: ClassicGroupState,
    /// When the state was entered; unknown for a group known only by its offsets.
    pub(super) state_timestamp_ms: Option<i64>,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol_name: Option<String>,
    pub(super) generation_id: i32,
    pub(super) leader_id: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Group instance id to member id.
    pub(super) static_members: BTreeMap<String, String>,
    /// Member ids given out by the first of two joins.
    pub(super) pending_members: BTreeSet<String>,
    /// Members of this generation that have not asked for their assignment yet.
    pub(super) pending_sync: BTreeSet<String>,
    /// `None`: not known, because the subscriptions are opaque.
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
    pub(super) new_member_added: bool,
    pub(super) initial_delay: Option<InitialDelay>,
    /// The record of the leader's assignment while it is on its way; the group is stable once it is committed.
    pub(super) assigning: Option<GroupMetadata>,
}

impl ClassicGroup {
    pub(super) fn empty(group_id: &str, now_ms: Option<i64>) -> ClassicGroup {
        ClassicGroup {
            group_id: group_id.into(),
            state: Empty,
            previous_state: Dead,
            state_timestamp_ms: now_ms,
            protocol_type: None,
            protocol_name: None,
            generation_id: 0,
            leader_id: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_members: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            subscribed_topics: None,
            new_member_added: false,
            initial_delay: None,
            assigning: None,
        }
    }

    /// The group as its last record tells it: with members it was stable, without it was empty.
    pub(super) fn from_metadata(group_id: &str, metadata: &GroupMetadata) -> ClassicGroup {
        let mut group = ClassicGroup::empty(group_id, None);
        group.state = if metadata.members.is_empty() { Empty } else { Stable };
        group.state_timestamp_ms =
            (metadata.current_state_timestamp_ms != -1).then_some(metadata.current_state_timestamp_ms);
        group.protocol_type = Some(metadata.protocol_type.clone()).filter(|name| !name.is_empty());
        group.protocol_name = metadata.protocol.clone();
        group.generation_id = metadata.generation;
        group.leader_id = metadata.leader.clone();
        let protocol = metadata.protocol.clone().unwrap_or_default();
        for member in &metadata.members {
            if let Some(instance_id) = &member.group_instance_id {
                group.static_members.insert(instance_id.clone(), member.member_id.clone());
            }
            group.members.insert(member.member_id.clone(), loaded_member(&protocol, member));
        }
        group.subscribed_topics = group.compute_subscribed_topics();
        group
    }

    /// The record that makes this membership durable; `assignments` replaces what members hold.
    pub(super) fn to_metadata(&self, assignments: Option<&BTreeMap<String, Vec<u8>>>) -> GroupMetadata {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| MemberMetadata {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(protocol).to_vec(),
            assignment: match assignments {
                Some(assignments) => assignments.get(&member.member_id).cloned().unwrap_or_default(),
                None => member.assignment.clone(),
            },
        });
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation_id,
            protocol: self.protocol_name.clone(),
            leader: self.leader_id.clone(),
            current_state_timestamp_ms: self.state_timestamp_ms.unwrap_or(-1),
            members: members.collect(),
        }
    }

    pub(super) fn is_in(&self, state: ClassicGroupState) -> bool {
        self.state == state
    }

    pub(super) fn transition_to(&mut self, state: ClassicGroupState, now_ms: i64) {
        self.previous_state = self.state;
        self.state = state;
        self.state_timestamp_ms = Some(now_ms);
    }

    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader_id.as_deref() == Some(member_id)
    }

    pub(super) fn has_member(&self, member_id: &str) -> bool {
        self.members.contains_key(member_id)
    }

    pub(super) fn add(&mut self, member: Member, protocol_type: &str) {
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.insert(instance_id.clone(), member.member_id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.into());
        }
        if self.leader_id.is_none() {
            self.leader_id = Some(member.member_id.clone());
        }
        self.pending_members.remove(&member.member_id);
        self.members.insert(member.member_id.clone(), member);
    }

    /// Takes a member out; whoever called answers what it had parked.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let removed = self.members.remove(member_id);
        if let Some(instance_id) = removed.as_ref().and_then(|member| member.group_instance_id.as_ref()) {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader_id = self.members.keys().next().cloned();
        }
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        removed
    }

    /// Makes sure that the leader is one who joined. False if nobody did.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |member: &Member| member.awaiting_join.is_some();
        let Some(leader_id) = &self.leader_id else { return false };
        if self.members.get(leader_id).is_some_and(has_joined) {
            return true;
        }
        match self.members.values().find(|member| has_joined(member)) {
            Some(member) => {
                self.leader_id = Some(member.member_id.clone());
                true
            }
            None => false,
        }
    }

    pub(super) fn awaiting_join_count(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.pending_members.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// The longest that any member wants to be waited for.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or(0).max(0)
    }

    /// Whether the ids in a request belong to a member: unknown, or replaced by a newer one of its instance.
    pub(super) fn validate_member(
        &self,
        member_id: &str,
        group_instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance_id) = group_instance_id {
            match self.static_members.get(instance_id) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(existing) if existing != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.has_member(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    /// Whether a member with these protocols fits: some protocol must be common to all.
    pub(super) fn supports_protocols(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is_in(Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|protocol| self.members.values().all(|member| member.supports(&protocol.name)))
    }

    /// Every member votes for its best protocol among those that all support; most votes win, and a tie goes
    /// to the one that the first member prefers.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let first = self.members.values().next()?;
        let names = first.protocols.iter().map(|protocol| protocol.name.as_str());
        let in_order: Vec<&str> =
            names.filter(|name| self.members.values().all(|member| member.supports(name))).collect();
        let candidates: BTreeSet<&str> = in_order.iter().copied().collect();
        let votes: Vec<&str> = self.members.values().filter_map(|member| member.vote(&candidates)).collect();
        let mut best: Option<(&str, usize)> = None;
        for name in in_order {
            let count = votes.iter().filter(|vote| **vote == name).count();
            if best.is_none_or(|(_, most)| count > most) {
                best = Some((name, count));
            }
        }
        best.map(|(name, _)| name.to_owned())
    }

    /// Everybody with their subscription under the chosen protocol, for the leader.
    pub(super) fn members_for_leader(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol_name.as_deref().unwrap_or_default();
        let members = self.members.values().map(|member| JoinedMember {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: member.metadata(protocol).to_vec(),
        });
        members.collect()
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// A consumer group whose subscriptions cannot be read counts as subscribed to everything: nothing that
    /// may be in use is deleted.
    pub(super) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    pub(super) fn compute_subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.uses_consumer_protocol() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(member.metadata(protocol))?);
        }
        Some(topics)
    }
}

fn loaded_member(protocol: &str, member: &MemberMetadata) -> Member {
    // Records of version 0 have no rebalance timeout; the session timeout stood for both.
    let rebalance_timeout_ms = if member.rebalance_timeout_ms == -1 {
        member.session_timeout_ms
    } else {
        member.rebalance_timeout_ms
    };
    Member {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms,
        session_timeout_ms: member.session_timeout_ms,
        protocols: vec![Protocol { name: protocol.into(), metadata: member.subscription.clone() }],
        assignment: member.assignment.clone(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
    }
}
