//! The arithmetic of the high watermark and of lagging, apart from who asks when.
//!
//! The watermark is the lowest durable end among the *maximal* in-sync set: the committed members and the
//! proposed ones. Before the controller has answered nobody knows which of the two sets will rule, and a
//! record is only committed if either way every member holds it (KIP-497).
//! Called by `PartitionState` only.

use logspine_protocol::types::Offset;

use super::{Follower, Reign};

impl Reign {
    /// The watermark that the positions allow, or `None` while it must stand still.
    pub(super) fn high_watermark(&self) -> Option<Offset> {
        if self.isr.len() < self.min_insync_replicas_effective() {
            return None;
        }
        let proposed = self.proposal.iter().flat_map(|p| p.isr.iter());
        let followers = self.isr.iter().chain(proposed).filter_map(|id| self.followers.get(id));
        followers
            // A member that has not fetched in this epoch holds nothing that this leader knows of.
            .map(|follower| follower.durable_end)
            .try_fold(self.durable_end, |lowest, end| Some(lowest.min(end?)))
    }

    /// A topic with one replica cannot have two in sync: the floor is capped by the number of replicas.
    fn min_insync_replicas_effective(&self) -> usize {
        self.min_insync_replicas.min(self.followers.len() + 1)
    }

    /// Kafka: a follower at the log end is never lagging, however long it has been silent.
    pub(super) fn lags(&self, follower: &Follower, now_ms: i64) -> bool {
        follower.durable_end != Some(self.log_end) && now_ms - follower.caught_up_ms > self.lag_time_max_ms
    }
}

impl Follower {
    /// Caught up *now* if it holds all; caught up *as of its last fetch* if it holds all of what was there
    /// then. So a follower that keeps pace with a steady stream never looks late.
    pub(super) fn note_fetch(&mut self, now_ms: i64, fetch_offset: Offset, leader_log_end: Offset) {
        if fetch_offset >= leader_log_end {
            self.caught_up_ms = self.caught_up_ms.max(now_ms);
        } else if fetch_offset >= self.end_at_fetch {
            self.caught_up_ms = self.caught_up_ms.max(self.fetched_ms);
        }
        self.durable_end = Some(fetch_offset);
        self.end_at_fetch = leader_log_end;
        self.fetched_ms = now_ms;
    }
}
