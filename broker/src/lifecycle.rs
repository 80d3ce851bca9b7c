//! Where the process stands: starting, recovering, running, stopping; and who waits for it to stop.
//!
//! Written by `server.rs` and `shutdown.rs`, read by `admin/` and by every connection. States only move
//! forward. Recovery progress is two counters, so that `/status` can be asked while logs are being opened.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use tokio::sync::watch;

/// The states of `/status`, in the order in which they are passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    Starting = 0,
    Recovering = 1,
    Running = 2,
    Stopping = 3,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Recovering => "recovering",
            State::Running => "running",
            State::Stopping => "stopping",
        }
    }

    fn from_u8(value: u8) -> State {
        match value {
            0 => State::Starting,
            1 => State::Recovering,
            2 => State::Running,
            _ => State::Stopping,
        }
    }
}

pub struct Lifecycle {
    state: AtomicU8,
    partitions_done: AtomicU32,
    partitions_total: AtomicU32,
    started_ms: i64,
    stop: watch::Sender<bool>,
}

impl Lifecycle {
    pub fn new(started_ms: i64) -> Lifecycle {
        Lifecycle {
            state: AtomicU8::new(State::Starting as u8),
            partitions_done: AtomicU32::new(0),
            partitions_total: AtomicU32::new(0),
            started_ms,
            stop: watch::channel(false).0,
        }
    }

    pub fn state(&self) -> State {
        State::from_u8(self.state.load(Ordering::Acquire))
    }

    /// Moves forward; an earlier state than the present one is ignored.
    pub fn advance(&self, to: State) {
        self.state.fetch_max(to as u8, Ordering::AcqRel);
        if to == State::Stopping {
            self.stop.send_replace(true);
        }
    }

    /// True once metadata is replayed, listeners are open and all logs are recovered, until the stop begins. What is
    /// recovered is served before.
    pub fn is_ready(&self) -> bool {
        self.state() == State::Running
    }

    pub fn started_ms(&self) -> i64 {
        self.started_ms
    }

    /// A receiver that turns true when the broker begins to stop.
    pub fn stop_signal(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Called by whoever opens partitions at start.
    pub fn recovery_total(&self, partitions: u32) {
        self.partitions_total.store(partitions, Ordering::Relaxed);
    }

    pub fn recovery_one_done(&self) {
        self.partitions_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Partitions opened, and partitions to open.
    pub fn recovery(&self) -> (u32, u32) {
        (self.partitions_done.load(Ordering::Relaxed), self.partitions_total.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_only_move_forward_and_stopping_tells_everybody() {
        let lifecycle = Lifecycle::new(0);
        let stop = lifecycle.stop_signal();
        lifecycle.advance(State::Running);
        lifecycle.advance(State::Recovering);
        assert_eq!(lifecycle.state(), State::Running);
        assert!(!*stop.borrow());
        lifecycle.advance(State::Stopping);
        assert!(*stop.borrow());
        assert!(!lifecycle.is_ready());
    }
}
