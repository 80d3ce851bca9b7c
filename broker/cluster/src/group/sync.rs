//! SyncGroup: the leader hands in the assignment, everybody gets theirs once it is committed.
//!
//! Kafka's `classicGroupSyncToClassicGroup`. Followers that come before the leader are parked; those that
//! come while the record is on its way are answered together with it.

use std::collections::BTreeMap;

use logspine_protocol::error::ErrorCode;

use crate::machine::Effect;

use super::ClassicGroupState::*;
use super::classic::ClassicGroup;
use super::record::{GroupMetadata, GroupRecord};
use super::request::Sync;
use super::response::{GroupResponse, Synced};
use super::shard::{Reply, Token};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn sync(&mut self, token: Token, sync: Sync) {
        if let Err(error) = self.validate_sync(&sync) {
            return self.reply(token, GroupResponse::Error(error));
        }
        match self.group.state {
            PreparingRebalance => {
                self.reply(token, GroupResponse::Error(ErrorCode::RebalanceInProgress));
            }
            CompletingRebalance => {
                self.remove_pending_sync(&sync.member_id);
                if self.group.assigning.is_some() {
                    self.sync_with_record_in_flight(token, &sync.member_id);
                } else {
                    self.park_sync(&sync.member_id, token);
                    if self.group.is_leader(&sync.member_id) {
                        self.assign(sync.assignments);
                    }
                }
            }
            Stable => {
                self.remove_pending_sync(&sync.member_id);
                let assignment = self.group.members.get(&sync.member_id).map(|m| m.assignment.clone());
                let synced = self.synced(assignment.unwrap_or_default());
                self.reply(token, synced);
            }
            Empty | Dead => self.reply(token, GroupResponse::Error(ErrorCode::UnknownMemberId)),
        }
    }

    fn validate_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        self.group.validate_member(&sync.member_id, sync.group_instance_id.as_deref())?;
        let contradicts = |asked: &Option<String>, ours: &Option<String>| {
            asked.is_some() && ours.is_some() && asked != ours
        };
        if sync.generation_id != self.group.generation_id {
            Err(ErrorCode::IllegalGeneration)
        } else if contradicts(&sync.protocol_type, &self.group.protocol_type)
            || contradicts(&sync.protocol_name, &self.group.protocol_name)
        {
            Err(ErrorCode::InconsistentGroupProtocol)
        } else {
            Ok(())
        }
    }

    fn remove_pending_sync(&mut self, member_id: &str) {
        self.group.pending_sync.remove(member_id);
        if self.group.pending_sync.is_empty() {
            self.timers.cancel(&self.sync_key());
        }
    }

    /// The leader's assignment goes to the log; all who wait are answered when it is committed.
    fn assign(&mut self, assignments: Vec<(String, Vec<u8>)>) {
        let handed_in: BTreeMap<String, Vec<u8>> = assignments.into_iter().collect();
        let member_ids = self.group.members.keys();
        let assignments: BTreeMap<String, Vec<u8>> = member_ids
            .map(|member_id| (member_id.clone(), handed_in.get(member_id).cloned().unwrap_or_default()))
            .collect();
        let metadata = self.group.to_metadata(Some(&assignments));
        let mut then = Vec::new();
        for (member_id, assignment) in &assignments {
            let member = self.group.members.get_mut(member_id).expect("the assignment lists members only");
            let Some(token) = member.awaiting_sync.take() else { continue };
            then.push(Reply { token, response: self.synced(assignment.clone()) });
            self.reschedule_heartbeat(member_id);
        }
        self.group.assigning = Some(metadata.clone());
        self.append_group(GroupRecord::group(&self.group.group_id, Some(metadata)), then);
    }

    fn sync_with_record_in_flight(&mut self, token: Token, member_id: &str) {
        let mut members = self.group.assigning.iter().flat_map(|metadata| &metadata.members);
        let member = members.find(|member| member.member_id == member_id);
        let assignment = member.map(|member| member.assignment.clone()).unwrap_or_default();
        let reply = Reply { token, response: self.synced(assignment) };
        self.effects.push(Effect::Append { records: Vec::new(), then: vec![reply] });
        self.reschedule_heartbeat(member_id);
    }

    fn synced(&self, assignment: Vec<u8>) -> GroupResponse {
        GroupResponse::Synced(Synced {
            protocol_type: self.group.protocol_type.clone(),
            protocol_name: self.group.protocol_name.clone(),
            assignment,
        })
    }
}

impl ClassicGroup {
    /// A membership record is committed. If it is the one that the group waits for, the group is stable now.
    /// Compared as a whole: a group that was deleted and made anew counts its generations anew.
    pub(super) fn on_committed(&mut self, metadata: &GroupMetadata) {
        if !self.is_in(CompletingRebalance) || self.assigning.as_ref() != Some(metadata) {
            return;
        }
        self.assigning = None;
        for assigned in &metadata.members {
            if let Some(member) = self.members.get_mut(&assigned.member_id) {
                member.assignment.clone_from(&assigned.assignment);
            }
        }
        self.previous_state = self.state;
        self.state = Stable;
    }
}
