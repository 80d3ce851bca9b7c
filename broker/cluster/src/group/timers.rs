//! Deadlines of one shard, ordered by time; time itself comes from outside.
//!
//! One deadline per key: scheduling again moves it, and a deadline that passed fires once. A deadline may fire
//! for a member or group that is gone; whoever handles it looks first.

use std::collections::{BTreeMap, BTreeSet};

/// What is to happen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKey {
    /// A member's session ends unless it is heard of.
    Heartbeat { group_id: String, member_id: String },
    /// The join phase ends for those who have not come.
    Join { group_id: String },
    /// Members that have not asked for their assignment are removed.
    Sync { group_id: String },
    /// Expired offsets and empty groups are removed, all over the shard.
    Expiration,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    deadlines_ms: BTreeMap<TimerKey, i64>,
    queue: BTreeSet<(i64, TimerKey)>,
}

impl Timers {
    pub(super) fn schedule(&mut self, key: TimerKey, at_ms: i64) {
        if let Some(earlier_ms) = self.deadlines_ms.insert(key.clone(), at_ms) {
            self.queue.remove(&(earlier_ms, key.clone()));
        }
        self.queue.insert((at_ms, key));
    }

    pub(super) fn cancel(&mut self, key: &TimerKey) {
        if let Some(at_ms) = self.deadlines_ms.remove(key) {
            self.queue.remove(&(at_ms, key.clone()));
        }
    }

    pub(super) fn is_scheduled(&self, key: &TimerKey) -> bool {
        self.deadlines_ms.contains_key(key)
    }

    /// The earliest that is due at `now_ms`, taken out. One at a time: handling it may move the next.
    pub(super) fn pop_due(&mut self, now_ms: i64) -> Option<TimerKey> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (_, key) = self.queue.pop_first()?;
        self.deadlines_ms.remove(&key);
        Some(key)
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn next_ms(&self) -> Option<i64> {
        self.queue.first().map(|(at_ms, _)| *at_ms)
    }

    pub(super) fn clear(&mut self) {
        self.deadlines_ms.clear();
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(group_id: &str) -> TimerKey {
        TimerKey::Join { group_id: group_id.into() }
    }

    #[test]
    fn scheduling_again_moves_the_deadline() {
        let mut timers = Timers::default();
        timers.schedule(join("a"), 10);
        timers.schedule(join("a"), 20);
        assert_eq!(timers.pop_due(10), None);
        assert_eq!(timers.next_ms(), Some(20));
        assert_eq!(timers.pop_due(20), Some(join("a")));
        assert_eq!((timers.next_ms(), timers.len()), (None, 0));
    }

    #[test]
    fn due_ones_come_earliest_first_and_cancelled_ones_never() {
        let mut timers = Timers::default();
        timers.schedule(join("late"), 30);
        timers.schedule(join("early"), 10);
        timers.schedule(join("cancelled"), 20);
        timers.cancel(&join("cancelled"));
        assert_eq!(timers.pop_due(100), Some(join("early")));
        assert_eq!(timers.pop_due(100), Some(join("late")));
        assert_eq!(timers.pop_due(100), None);
    }
}
