//! How a shard comes to serve, goes on after records were lost, and stops.
//!
//! Kafka's `onLoaded` and `onUnloaded`. All it needs is durable state: what is soft is made anew from it.

use logspine_protocol::error::ErrorCode;

use crate::machine::Effect;

use super::classic::ClassicGroup;
use super::response::GroupResponse;
use super::shard::{Effects, GroupShard, Phase, Reply};
use super::turn::Turn;

impl GroupShard {
    /// Live groups from durable state: those with a membership record, and those known by their offsets.
    pub(super) fn load_groups(&mut self, now_ms: i64, effects: &mut Effects) {
        let mut known: Vec<String> = self.metadata.committed().keys().cloned().collect();
        known.extend(self.offsets.committed().keys().map(|key| key.group_id.clone()));
        known.sort();
        known.dedup();
        for group_id in known {
            let group = match self.metadata.committed().get(&group_id) {
                Some(metadata) => ClassicGroup::from_metadata(&group_id, metadata),
                None => ClassicGroup::empty(&group_id, None),
            };
            self.groups.insert(group_id.clone(), group);
            self.with_group(now_ms, &group_id, effects, |turn| turn.on_loaded());
        }
    }

    /// Takes an empty group out of sight while the record of its removal is on its way.
    pub(super) fn take_away(&mut self, group_id: &str) {
        if let Some(mut group) = self.groups.remove(group_id) {
            group.pending_members.clear();
            self.leaving.insert(group_id.to_owned(), group);
        }
    }

    /// After records were lost: a group whose removal they carried is back, unless its name was taken
    /// meanwhile; one whose assignment they carried rebalances.
    pub(super) fn set_right(&mut self, now_ms: i64, effects: &mut Effects) {
        self.records_were_lost = false;
        for (group_id, group) in std::mem::take(&mut self.leaving) {
            if self.metadata.is_being_removed(&group_id) {
                self.leaving.insert(group_id, group);
            } else {
                self.groups.entry(group_id).or_insert(group);
            }
        }
        let waiting = self.groups.values().filter(|group| group.assigning.is_some());
        let lost: Vec<String> =
            waiting.map(|g| g.group_id.clone()).filter(|id| !self.metadata.is_staged(id)).collect();
        for group_id in lost {
            self.with_group(now_ms, &group_id, effects, |turn| turn.prepare_rebalance());
        }
    }

    /// Sends everybody away who is parked here.
    pub(super) fn resign(&mut self, effects: &mut Effects) {
        self.phase = Phase::Resigned;
        self.timers.clear();
        for member in self.groups.values_mut().flat_map(|group| group.members.values_mut()) {
            for token in [member.awaiting_join.take(), member.awaiting_sync.take()].into_iter().flatten() {
                let response = GroupResponse::Error(ErrorCode::NotCoordinator);
                effects.push(Effect::Reply(Reply { token, response }));
            }
        }
        self.groups.clear();
        self.leaving.clear();
    }
}

impl Turn<'_> {
    /// Sessions of loaded members start anew: nobody could heartbeat while there was no coordinator.
    fn on_loaded(&mut self) {
        let member_ids: Vec<String> = self.group.members.keys().cloned().collect();
        for member_id in &member_ids {
            self.reschedule_heartbeat(member_id);
        }
        if member_ids.len() > self.config.max_size {
            self.prepare_rebalance();
        }
    }
}
