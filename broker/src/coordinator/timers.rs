//! One task for the deadlines of all shards. It sleeps until the earliest; without any it sleeps for good.
//!
//! Each shard names its next deadline after every step. A deadline that has passed steps the shard with
//! `Input::Timer`, after which it names another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use logspine_cluster::group::Input;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Inner;
use crate::clock;

/// No shard is stepped more often than this by its timer, whatever it asks for.
const PAUSE_MIN_MS: i64 = 1;

#[derive(Default)]
pub(super) struct Deadlines {
    times: Mutex<Times>,
    changed: Notify,
}

#[derive(Default)]
struct Times {
    by_shard: BTreeMap<i32, i64>,
    by_time: BTreeSet<(i64, i32)>,
}

impl Deadlines {
    /// Replaces the deadline of a shard; `None` for none.
    pub(super) fn set(&self, shard: i32, at_ms: Option<i64>) {
        let mut times = self.times.lock();
        let before = times.by_shard.remove(&shard);
        if let Some(before_ms) = before {
            times.by_time.remove(&(before_ms, shard));
        }
        let Some(at_ms) = at_ms else { return };
        times.by_shard.insert(shard, at_ms);
        times.by_time.insert((at_ms, shard));
        // Only an earlier wake-up than the one that is being slept for matters.
        if times.by_time.first() == Some(&(at_ms, shard)) && before != Some(at_ms) {
            self.changed.notify_one();
        }
    }

    fn earliest(&self) -> Option<(i64, i32)> {
        self.times.lock().by_time.first().copied()
    }
}

/// Runs until the coordinator is gone.
pub(super) async fn run(deadlines: Arc<Deadlines>, coordinator: Weak<Inner>) {
    loop {
        let Some((at_ms, shard)) = deadlines.earliest() else {
            deadlines.changed.notified().await;
            continue;
        };
        let pause_ms = at_ms.saturating_sub(clock::steady_ms()).max(PAUSE_MIN_MS);
        let pause = Duration::from_millis(pause_ms.unsigned_abs());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = deadlines.changed.notified() => continue,
        }
        let Some(inner) = coordinator.upgrade() else { return };
        let shard_here = inner.shards.lock().get(&shard).cloned();
        match shard_here {
            Some(shard) => shard.step(Input::Timer),
            None => deadlines.set(shard, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_deadline_of_all_shards_comes_first() {
        let deadlines = Deadlines::default();
        deadlines.set(1, Some(30));
        deadlines.set(2, Some(20));
        assert_eq!(deadlines.earliest(), Some((20, 2)));
        deadlines.set(2, Some(40));
        assert_eq!(deadlines.earliest(), Some((30, 1)));
        deadlines.set(1, None);
        deadlines.set(2, None);
        assert_eq!(deadlines.earliest(), None);
    }
}
