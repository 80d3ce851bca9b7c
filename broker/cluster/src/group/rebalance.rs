//! The rebalance itself: call everybody back, wait, fix the next generation, wait for assignments.
//!
//! Kafka's `prepareRebalance`, `completeClassicGroupJoin`, `tryCompleteInitialRebalanceElseSchedule` and
//! `expirePendingSync`. A group's first rebalance waits `group.initial.rebalance.delay.ms` more for each wave
//! of new members, up to the rebalance timeout.

use logspine_protocol::error::ErrorCode;

use super::ClassicGroupState::*;
use super::classic::InitialDelay;
use super::record::GroupRecord;
use super::response::GroupResponse;
use super::turn::Turn;

/// When nobody came back the join phase starts over; not sooner than this, whatever timeout members chose.
const JOIN_RETRY_MIN_MS: i64 = 100;

impl Turn<'_> {
    pub(super) fn prepare_rebalance_or_complete_join(&mut self) {
        if self.group.state.can_rebalance() {
            self.prepare_rebalance();
        } else {
            self.maybe_complete_join();
        }
    }

    pub(super) fn prepare_rebalance(&mut self) {
        if self.group.is_in(CompletingRebalance) {
            self.cancel_assignment();
        }
        self.group.pending_sync.clear();
        self.timers.cancel(&self.sync_key());
        let is_initial = self.group.is_in(Empty);
        self.group.transition_to(PreparingRebalance, self.now_ms);
        if is_initial {
            let delay_ms = self.config.initial_rebalance_delay_ms;
            let remaining_ms = (self.group.rebalance_timeout_ms() - delay_ms).max(0);
            self.group.new_member_added = false;
            self.schedule_initial(InitialDelay { delay_ms, remaining_ms });
        } else if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            let at_ms = self.now_ms + i64::from(self.group.rebalance_timeout_ms());
            self.timers.schedule(self.join_key(), at_ms);
        }
    }

    /// Members that wait for an assignment of the old generation are sent back to join.
    fn cancel_assignment(&mut self) {
        self.group.assigning = None;
        let mut waiting = Vec::new();
        for member in self.group.members.values_mut() {
            member.assignment.clear();
            if let Some(token) = member.awaiting_sync.take() {
                waiting.push((member.member_id.clone(), token));
            }
        }
        for (member_id, token) in waiting {
            self.reply(token, GroupResponse::Error(ErrorCode::RebalanceInProgress));
            self.reschedule_heartbeat(&member_id);
        }
    }

    fn schedule_initial(&mut self, initial: InitialDelay) {
        self.group.initial_delay = Some(initial);
        self.timers.schedule(self.join_key(), self.now_ms + i64::from(initial.delay_ms));
    }

    /// Ends the join phase if all are here, unless the group is new: then it waits for more to come.
    pub(super) fn maybe_complete_join(&mut self) {
        if self.group.is_in(PreparingRebalance)
            && self.group.previous_state != Empty
            && self.group.has_all_members_joined()
        {
            self.complete_join();
        }
    }

    pub(super) fn on_join_timer(&mut self) {
        if !self.group.is_in(PreparingRebalance) {
            return;
        }
        match self.group.initial_delay {
            Some(initial) if self.group.new_member_added && initial.remaining_ms != 0 => {
                self.group.new_member_added = false;
                let delay_ms = self.config.initial_rebalance_delay_ms.min(initial.remaining_ms);
                let remaining_ms = (initial.remaining_ms - initial.delay_ms).max(0);
                self.schedule_initial(InitialDelay { delay_ms, remaining_ms });
            }
            _ => self.complete_join(),
        }
    }

    /// Ends the join phase: dynamic members that did not come are out, the next generation is fixed.
    pub(super) fn complete_join(&mut self) {
        self.timers.cancel(&self.join_key());
        self.group.initial_delay = None;
        let missing = self.group.members.values().filter(|m| m.awaiting_join.is_none() && !m.is_static());
        let missing: Vec<String> = missing.map(|member| member.member_id.clone()).collect();
        for member_id in missing {
            self.remove_member(&member_id);
        }
        if !self.group.elect_joined_leader() && !self.group.members.is_empty() {
            // Only static members are left and none came: wait until they do or their sessions end.
            let wait_ms = i64::from(self.group.rebalance_timeout_ms()).max(JOIN_RETRY_MIN_MS);
            self.timers.schedule(self.join_key(), self.now_ms + wait_ms);
            return;
        }
        self.init_next_generation();
        if self.group.is_in(Empty) {
            let record = GroupRecord::group(&self.group.group_id, Some(self.group.to_metadata(None)));
            self.append_group(record, Vec::new());
        } else {
            self.answer_joins();
        }
    }

    fn init_next_generation(&mut self) {
        self.group.generation_id = self.group.generation_id.checked_add(1).unwrap_or(1);
        self.group.pending_sync.clear();
        self.group.protocol_name = self.group.select_protocol();
        self.group.subscribed_topics = self.group.compute_subscribed_topics();
        let next = if self.group.members.is_empty() { Empty } else { CompletingRebalance };
        self.group.transition_to(next, self.now_ms);
    }

    fn answer_joins(&mut self) {
        let member_ids: Vec<String> = self.group.members.keys().cloned().collect();
        for member_id in member_ids {
            let is_leader = self.group.is_leader(&member_id);
            let joined = self.joined(&member_id, is_leader);
            let member = self.group.members.get_mut(&member_id).expect("listed above");
            member.is_new = false;
            if let Some(token) = member.awaiting_join.take() {
                self.reply(token, GroupResponse::Joined(joined));
            }
            self.reschedule_heartbeat(&member_id);
            self.group.pending_sync.insert(member_id);
        }
        let at_ms = self.now_ms + i64::from(self.group.rebalance_timeout_ms());
        self.timers.schedule(self.sync_key(), at_ms);
    }

    /// Members that took part but never asked for their assignment are out.
    pub(super) fn on_sync_timer(&mut self) {
        let pending: Vec<String> = self.group.pending_sync.iter().cloned().collect();
        if pending.is_empty() || !matches!(self.group.state, CompletingRebalance | Stable) {
            return;
        }
        for member_id in pending {
            self.remove_member(&member_id);
        }
        self.prepare_rebalance();
    }
}
