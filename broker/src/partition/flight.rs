//! The flush of one partition that is under way: at most one, since when, and whether another is wanted after it.
//!
//! Kept beside the partition's lock, so that whoever only asks is not held by a disk that holds the lock's owner.
//! Written by the committer's two calls in `handle.rs`; an append asks whether the disk is slow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A flush that takes longer makes its partition slow: appends wait beside the network threads.
const SLOW_AFTER: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct State {
    is_under_way: bool,
    another: bool,
}

#[derive(Debug)]
pub struct Flight {
    state: Mutex<State>,
    born: Instant,
    /// Microseconds after `born`; 0 while none holds appends.
    since_us: AtomicU64,
}

impl Flight {
    pub fn new() -> Flight {
        Flight { state: Mutex::default(), born: Instant::now(), since_us: AtomicU64::new(0) }
    }

    /// False if one is under way: `end` will say that another is wanted.
    pub fn begin(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_under_way {
            state.another = true;
            return false;
        }
        state.is_under_way = true;
        true
    }

    /// The flush under way syncs the file that appends write to: from now on it counts how long that takes.
    pub fn holds_appends(&self) {
        self.since_us.store(self.now_us(), Ordering::Release);
    }

    /// Whether somebody wanted to begin meanwhile.
    pub fn end(&self) -> bool {
        let mut state = self.state.lock();
        self.since_us.store(0, Ordering::Release);
        std::mem::take(&mut *state).another
    }

    /// Whether appends have been held for long by the flush under way.
    pub fn is_slow(&self) -> bool {
        let since_us = self.since_us.load(Ordering::Acquire);
        since_us != 0 && self.now_us() - since_us > SLOW_AFTER.as_micros() as u64
    }

    fn now_us(&self) -> u64 {
        self.born.elapsed().as_micros() as u64 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_flush_is_under_way_at_a_time_and_who_came_meanwhile_is_remembered_once() {
        let flight = Flight::new();
        assert!(flight.begin());
        assert!(!flight.begin() && !flight.begin());
        assert!(flight.end(), "another is wanted");
        assert!(flight.begin());
        assert!(!flight.end());
        assert!(!flight.is_slow(), "none is under way");
    }
}
