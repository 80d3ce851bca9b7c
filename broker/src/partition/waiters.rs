//! Who waits for one partition: acks=all for the watermark to pass an end, fetches for enough new bytes.
//!
//! Register first, then look: nothing that happens in between is lost, because whoever moves the watermark
//! looks at the list after moving it. A fetch over many partitions is one `FetchWaiter` in many lists, with
//! one count of bytes still needed; it is woken once. Bytes count when the watermark passes them, not when
//! they are appended. Fetch sessions are told of every move, whether a fetch of theirs waits or not (`watch.rs`). Called by `handle.rs` (which moves things) and by `api/` (which waits).

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;
use logspine_protocol::types::Offset;
use parking_lot::Mutex;

use super::watch::Watch;

/// Appends whose bytes are not visible yet are remembered one by one up to this many, then together.
const APPENDS_REMEMBERED: usize = 1024;

/// A fetch that waits, shared by the lists of all its partitions.
#[derive(Debug, Default)]
pub struct FetchWaiter {
    bytes_needed: AtomicI64,
    is_due: AtomicBool,
    waker: AtomicWaker,
}

impl FetchWaiter {
    pub fn new(bytes_needed: i64) -> Arc<FetchWaiter> {
        Arc::new(FetchWaiter { bytes_needed: AtomicI64::new(bytes_needed), ..FetchWaiter::default() })
    }

    /// So many bytes were read after registering: they need not arrive any more.
    pub fn found(&self, bytes: i64) {
        self.arrived(bytes);
    }

    /// Resolves once enough bytes arrived or something else made looking worth while.
    pub async fn due(&self) {
        std::future::poll_fn(|context| {
            if self.is_due() {
                return Poll::Ready(());
            }
            self.waker.register(context.waker());
            if self.is_due() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(super) fn is_due(&self) -> bool {
        self.is_due.load(Ordering::Acquire)
    }

    pub(super) fn arrived(&self, bytes: i64) {
        if self.bytes_needed.fetch_sub(bytes, Ordering::AcqRel) <= bytes {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

struct CommitWaiter {
    id: u64,
    end_offset: Offset,
    waker: Waker,
}

#[derive(Default)]
struct Lists {
    commits: Vec<CommitWaiter>,
    next_id: u64,
    fetches: Vec<Arc<FetchWaiter>>,
    /// The sessions that read this partition, with its slot in each.
    watches: Vec<(Weak<Watch>, u32)>,
    /// Ends of appends that the watermark has not passed, with the bytes of each.
    unseen: VecDeque<(Offset, u64)>,
}

impl Lists {
    /// Tells the sessions; forgets those that are gone.
    fn tell(&mut self, bytes: u64, wakes: bool) {
        self.watches.retain(|(watch, slot)| {
            let watch = watch.upgrade();
            watch.inspect(|watch| watch.tell(*slot, bytes as i64, wakes)).is_some()
        });
    }
}

/// The waiters of one partition.
#[derive(Default)]
pub struct Waiters {
    lists: Mutex<Lists>,
}

impl Waiters {
    /// An append ended at `end_offset`; called under the partition's lock, in offset order.
    pub fn appended(&self, end_offset: Offset, bytes: u64) {
        let mut lists = self.lists.lock();
        let is_full = lists.unseen.len() >= APPENDS_REMEMBERED;
        match lists.unseen.back_mut().filter(|_| is_full) {
            Some(last) => *last = (end_offset, last.1 + bytes),
            None => lists.unseen.push_back((end_offset, bytes)),
        }
    }

    /// The watermark moved: wakes everybody that it lets go on.
    pub fn advanced(&self, high_watermark: Offset) {
        let mut lists = self.lists.lock();
        let mut bytes = 0;
        while let Some((_, size)) = lists.unseen.pop_front_if(|(end, _)| *end <= high_watermark) {
            bytes += size;
        }
        let is_passed = |waiter: &mut CommitWaiter| waiter.end_offset <= high_watermark;
        let mut passed = lists.commits.extract_if(.., is_passed).map(|waiter| waiter.waker);
        // The usual one waiter costs no allocation.
        let (first, more) = (passed.next(), passed.collect::<Vec<_>>());
        if bytes > 0 {
            lists.fetches.retain(|waiter| {
                waiter.arrived(bytes as i64);
                !waiter.is_due()
            });
        }
        lists.tell(bytes, false);
        // Whoever is woken comes for this lock.
        drop(lists);
        first.into_iter().chain(more).for_each(Waker::wake);
    }

    /// Nothing will come any more (the log failed, was closed, or lost its leadership): all look again.
    pub fn wake_all(&self) {
        let mut lists = self.lists.lock();
        lists.commits.drain(..).for_each(|waiter| waiter.waker.wake());
        lists.fetches.drain(..).for_each(|waiter| waiter.wake());
        lists.tell(0, true);
    }

    /// Something changed that a fetch answers with, and no records came.
    pub fn changed(&self) {
        self.lists.lock().tell(0, false);
    }

    /// From here on a session is told of every move, as long as it lives.
    pub fn watch(&self, watch: &Arc<Watch>, slot: u32) {
        let mut lists = self.lists.lock();
        lists
            .watches
            .retain(|(known, _)| known.strong_count() > 0 && !std::ptr::eq(known.as_ptr(), &**watch));
        lists.watches.push((Arc::downgrade(watch), slot));
    }

    pub fn register_fetch(&self, waiter: &Arc<FetchWaiter>) {
        self.lists.lock().fetches.push(Arc::clone(waiter));
    }

    pub fn unregister_fetch(&self, waiter: &Arc<FetchWaiter>) {
        self.lists.lock().fetches.retain(|other| !Arc::ptr_eq(other, waiter));
    }

    /// A future that is ready when `is_over` says so, asked at first and whenever the list is woken.
    pub fn wait<'a, T>(
        &'a self,
        end_offset: Offset,
        is_over: impl Fn() -> Option<T> + 'a + Unpin,
    ) -> impl Future<Output = T> + 'a {
        WaitCommitted { waiters: self, end_offset, is_over, registered: None }
    }

    fn register_commit(&self, end_offset: Offset, registered: &mut Option<u64>, waker: &Waker) {
        let mut lists = self.lists.lock();
        if let Some(id) = *registered
            && let Some(waiter) = lists.commits.iter_mut().find(|waiter| waiter.id == id)
        {
            waiter.waker.clone_from(waker);
            return;
        }
        let id = lists.next_id;
        lists.next_id += 1;
        lists.commits.push(CommitWaiter { id, end_offset, waker: waker.clone() });
        *registered = Some(id);
    }
}

/// One acks=all request, or one part of it, that waits for the watermark.
pub struct WaitCommitted<'a, F> {
    waiters: &'a Waiters,
    end_offset: Offset,
    is_over: F,
    registered: Option<u64>,
}

impl<T, F: Fn() -> Option<T> + Unpin> Future for WaitCommitted<'_, F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(over) = (self.is_over)() {
            return Poll::Ready(over);
        }
        let this = &mut *self;
        this.waiters.register_commit(this.end_offset, &mut this.registered, context.waker());
        // Looks again: the watermark may have moved between the first look and the registration.
        match (this.is_over)() {
            Some(over) => Poll::Ready(over),
            None => Poll::Pending,
        }
    }
}

impl<F> Drop for WaitCommitted<'_, F> {
    fn drop(&mut self) {
        if let Some(id) = self.registered {
            self.waiters.lists.lock().commits.retain(|waiter| waiter.id != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(waiter: &FetchWaiter) -> bool {
        let mut due = std::pin::pin!(waiter.due());
        due.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_fetch_is_due_when_enough_bytes_are_visible_on_all_its_partitions_together() {
        let (left, right) = (Waiters::default(), Waiters::default());
        let fetch = FetchWaiter::new(100);
        left.register_fetch(&fetch);
        right.register_fetch(&fetch);
        left.appended(Offset(5), 60);
        assert!(!is_ready(&fetch), "appended is not visible");
        left.advanced(Offset(5));
        assert!(!is_ready(&fetch), "60 of 100 bytes");
        right.appended(Offset(9), 40);
        right.advanced(Offset(9));
        assert!(is_ready(&fetch));
    }

    #[test]
    fn bytes_count_only_as_far_as_the_watermark_passes_their_end() {
        let waiters = Waiters::default();
        let fetch = FetchWaiter::new(10);
        waiters.register_fetch(&fetch);
        waiters.appended(Offset(1), 8);
        waiters.appended(Offset(2), 8);
        waiters.advanced(Offset(1));
        assert!(!is_ready(&fetch));
        waiters.advanced(Offset(2));
        assert!(is_ready(&fetch));
    }

    #[test]
    fn what_a_read_found_after_registering_counts_as_arrived() {
        let waiters = Waiters::default();
        let fetch = FetchWaiter::new(10);
        waiters.register_fetch(&fetch);
        fetch.found(4);
        waiters.appended(Offset(1), 6);
        waiters.advanced(Offset(1));
        assert!(is_ready(&fetch));
    }

    #[test]
    fn a_commit_waiter_leaves_the_list_when_it_is_dropped_or_woken() {
        let waiters = Waiters::default();
        let watermark = AtomicI64::new(0);
        let passed = || (watermark.load(Ordering::Acquire) >= 3).then_some(());
        let mut context = Context::from_waker(Waker::noop());
        {
            let mut wait = std::pin::pin!(waiters.wait(Offset(3), passed));
            assert!(wait.as_mut().poll(&mut context).is_pending());
            assert_eq!(waiters.lists.lock().commits.len(), 1);
            waiters.advanced(Offset(2));
            assert_eq!(waiters.lists.lock().commits.len(), 1);
            watermark.store(3, Ordering::Release);
            waiters.advanced(Offset(3));
            assert!(wait.as_mut().poll(&mut context).is_ready());
        }
        {
            watermark.store(0, Ordering::Release);
            let mut wait = std::pin::pin!(waiters.wait(Offset(3), passed));
            assert!(wait.as_mut().poll(&mut context).is_pending());
        }
        assert!(waiters.lists.lock().commits.is_empty());
    }

    #[test]
    fn a_closed_partition_wakes_everybody() {
        let waiters = Waiters::default();
        let fetch = FetchWaiter::new(i64::MAX);
        waiters.register_fetch(&fetch);
        waiters.wake_all();
        assert!(is_ready(&fetch));
    }
}
