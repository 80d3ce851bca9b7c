//! What moved, of the many partitions that one fetch session reads: each tells, so that nobody has to look at all.
//!
//! A partition tells every watch in its list (`waiters.rs`) when its watermark, its log start or its leader changes,
//! and when it is closed. The watch remembers the partition's slot once, and passes the bytes on to the fetch that
//! waits, if one does. A fetch takes what is remembered and reads only that. Register first, then read, then rely on
//! being told. Called by `waiters.rs` and by `api/fetch/sessions.rs`.

use std::sync::Arc;

use parking_lot::Mutex;

use super::waiters::FetchWaiter;

/// Shared by a session and the lists of its partitions.
#[derive(Debug, Default)]
pub struct Watch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In the order in which they told; each once. Bounded by the session's partitions.
    moved: Vec<u32>,
    /// By slot, whether it stands in `moved`.
    is_noted: Vec<bool>,
    waiter: Option<Arc<FetchWaiter>>,
}

impl Watch {
    /// The partition in this slot moved, and so many bytes became visible in it. Without any, `wakes` says whether a
    /// waiting fetch should look all the same.
    pub(super) fn tell(&self, slot: u32, bytes: i64, wakes: bool) {
        let mut state = self.0.lock();
        let at = slot as usize;
        if state.is_noted.len() <= at {
            state.is_noted.resize(at + 1, false);
        }
        if !std::mem::replace(&mut state.is_noted[at], true) {
            state.moved.push(slot);
        }
        if let Some(waiter) = &state.waiter {
            match wakes {
                true => waiter.wake(),
                false => waiter.arrived(bytes),
            }
        }
    }

    /// The slots that told since the last call.
    pub fn take_moved(&self) -> Vec<u32> {
        let mut state = self.0.lock();
        let moved = std::mem::take(&mut state.moved);
        for slot in &moved {
            state.is_noted[*slot as usize] = false;
        }
        moved
    }

    /// From here on this fetch is told. One that waited before looks again, and so does not wait for ever.
    pub fn wait(&self, waiter: &Arc<FetchWaiter>) {
        if let Some(before) = self.0.lock().waiter.replace(Arc::clone(waiter)) {
            before.wake();
        }
    }

    /// The fetch does not wait any more.
    pub fn leave(&self, waiter: &Arc<FetchWaiter>) {
        self.0.lock().waiter.take_if(|waiting| Arc::ptr_eq(waiting, waiter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_remembered_once_until_it_is_taken() {
        let watch = Watch::default();
        watch.tell(3, 10, false);
        watch.tell(1, 10, false);
        watch.tell(3, 10, false);
        assert_eq!(watch.take_moved(), [3, 1]);
        assert!(watch.take_moved().is_empty());
        watch.tell(3, 10, false);
        assert_eq!(watch.take_moved(), [3]);
    }

    #[test]
    fn the_fetch_that_waits_gets_the_bytes_of_all_slots_and_one_that_left_gets_none() {
        let (watch, first, second) = (Watch::default(), FetchWaiter::new(20), FetchWaiter::new(20));
        watch.wait(&first);
        watch.tell(0, 10, false);
        assert!(!first.is_due());
        watch.tell(1, 10, false);
        assert!(first.is_due());
        watch.wait(&second);
        watch.leave(&first);
        watch.tell(0, 0, true);
        assert!(second.is_due(), "the one that left was another");
    }
}
