//! A static member that comes back without its member id: it takes its place over, mostly without rebalance.
//!
//! KIP-345, Kafka's `updateStaticMemberThenRebalanceOrCompleteJoin`. The id it had before is fenced at once.
//! Should the record of the take-over be lost, the take-over stands and the member is refused: its next try
//! replaces itself again, while the process it replaced stays fenced, which is right either way.

use logspine_protocol::error::ErrorCode;

use super::ClassicGroupState::*;
use super::record::GroupRecord;
use super::request::Join;
use super::response::{GroupResponse, Joined};
use super::shard::{Reply, Token};
use super::turn::Turn;

impl Turn<'_> {
    pub(super) fn rejoin_static_member(
        &mut self,
        token: Token,
        join: &Join,
        old_member_id: &str,
        new_member_id: String,
    ) {
        let old_leader = self.group.leader_id.clone().unwrap_or_default();
        self.replace_static_member(old_member_id, &new_member_id);
        self.set_member(&new_member_id, join);
        self.reschedule_heartbeat(&new_member_id);
        match self.group.state {
            Stable if self.group.select_protocol() == self.group.protocol_name => {
                self.group.subscribed_topics = self.group.compute_subscribed_topics();
                let joined = self.rejoined(join, &new_member_id, old_leader);
                let record = GroupRecord::group(&self.group.group_id, Some(self.group.to_metadata(None)));
                let reply = Reply { token, response: GroupResponse::Joined(joined) };
                self.append_group(record, vec![reply]);
            }
            // The leader may already assign to the old id, which nobody answers to any more.
            Stable | CompletingRebalance => {
                self.park_join(&new_member_id, token);
                self.prepare_rebalance();
            }
            PreparingRebalance => {
                self.park_join(&new_member_id, token);
                self.maybe_complete_join();
            }
            Empty | Dead => self.refuse_join(token, ErrorCode::UnknownMemberId, ""),
        }
    }

    /// Clients that cannot skip an assignment are told the old leader's id, so that none assigns anew.
    fn rejoined(&self, join: &Join, new_member_id: &str, old_leader: String) -> Joined {
        if join.supports_skipping_assignment {
            let is_leader = self.group.is_leader(new_member_id);
            Joined { skip_assignment: is_leader, ..self.joined(new_member_id, is_leader) }
        } else {
            Joined { leader: old_leader, ..self.joined(new_member_id, false) }
        }
    }

    fn replace_static_member(&mut self, old_member_id: &str, new_member_id: &str) {
        self.cancel_heartbeat(old_member_id);
        let was_leader = self.group.is_leader(old_member_id);
        let was_pending_sync = self.group.pending_sync.contains(old_member_id);
        let Some(mut member) = self.group.remove(old_member_id) else { return };
        if let Some(token) = member.awaiting_join.take() {
            self.refuse_join(token, ErrorCode::FencedInstanceId, old_member_id);
        }
        if let Some(token) = member.awaiting_sync.take() {
            self.reply(token, GroupResponse::Error(ErrorCode::FencedInstanceId));
        }
        member.member_id = new_member_id.into();
        member.is_new = false;
        if was_leader {
            self.group.leader_id = Some(new_member_id.into());
        }
        if was_pending_sync {
            self.group.pending_sync.insert(new_member_id.into());
        }
        let protocol_type = self.group.protocol_type.clone().unwrap_or_default();
        self.group.add(member, &protocol_type);
    }
}
