//! LeaveGroup: members go, one or many, by themselves or by an administrator.
//!
//! Kafka's `classicGroupLeaveToClassicGroup`; batches and removal by instance id are KIP-345.

use logspine_protocol::error::ErrorCode;

use super::ClassicGroupState::*;
use super::request::{Leave, MemberIdentity};
use super::turn::Turn;

impl Turn<'_> {
    /// The result per member, in the order asked.
    pub(super) fn leave(&mut self, leave: &Leave) -> Vec<ErrorCode> {
        let results: Vec<ErrorCode> = leave.members.iter().map(|member| self.leave_one(member)).collect();
        if results.contains(&ErrorCode::NONE) {
            match self.group.state {
                Stable | CompletingRebalance => self.prepare_rebalance(),
                PreparingRebalance => self.maybe_complete_join(),
                Empty | Dead => {}
            }
        }
        results
    }

    fn leave_one(&mut self, identity: &MemberIdentity) -> ErrorCode {
        let instance_id = identity.group_instance_id.as_deref();
        let member_id = if identity.member_id.is_empty() {
            match instance_id.and_then(|id| self.group.static_members.get(id)) {
                Some(member_id) => member_id.clone(),
                None => return ErrorCode::UnknownMemberId,
            }
        } else if self.group.pending_members.contains(&identity.member_id) {
            identity.member_id.clone()
        } else {
            match self.group.validate_member(&identity.member_id, instance_id) {
                Ok(()) => identity.member_id.clone(),
                Err(error) => return error,
            }
        };
        if self.group.pending_members.contains(&member_id) {
            self.group.remove(&member_id);
            self.cancel_heartbeat(&member_id);
        } else {
            self.remove_member(&member_id);
        }
        ErrorCode::NONE
    }
}
