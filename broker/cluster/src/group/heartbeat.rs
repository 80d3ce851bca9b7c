//! Heartbeat, and what happens when one does not come.
//!
//! Kafka's `classicGroupHeartbeat` and `expireClassicGroupMemberHeartbeat`.

use logspine_protocol::error::ErrorCode;

use super::ClassicGroupState::*;
use super::request::Heartbeat;
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat) -> ErrorCode {
        let instance_id = heartbeat.group_instance_id.as_deref();
        if let Err(error) = self.group.validate_member(&heartbeat.member_id, instance_id) {
            return error;
        }
        if heartbeat.generation_id != self.group.generation_id {
            return ErrorCode::IllegalGeneration;
        }
        self.reschedule_heartbeat(&heartbeat.member_id);
        match self.group.state {
            Empty | Dead => ErrorCode::UnknownMemberId,
            PreparingRebalance => ErrorCode::RebalanceInProgress,
            // A member may heartbeat as soon as its join is answered.
            CompletingRebalance | Stable => ErrorCode::NONE,
        }
    }

    /// A session ended. Whoever is parked here is not late: it waits for us.
    pub(super) fn on_heartbeat_timer(&mut self, member_id: &str) {
        if self.group.pending_members.contains(member_id) {
            self.group.remove(member_id);
        } else if self.group.members.get(member_id).is_some_and(|member| !member.has_satisfied_heartbeat()) {
            self.remove_member(member_id);
            if self.group.state.can_rebalance() {
                return self.prepare_rebalance();
            }
        } else {
            return;
        }
        if self.group.is_in(PreparingRebalance) && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }
}
