//! The reads that wait for a thread: first come, first served, and of one log one at a time.
//!
//! Readers that go side by side through the same old data ask for the same bytes at the same moment. Read one after the
//! other, the first brings them in and the others find them; at once, each would read and verify all of it. A log that
//! is being read is passed over, so it never holds more than one thread. At most `QUEUE_MAX` have a place; whoever comes
//! later waits for one. Called by `cold_reads.rs`.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Reads that may wait for a thread.
const QUEUE_MAX: usize = 256;

/// One read.
pub(super) struct Job {
    /// Whose: two with the same are not run at once. `None` runs beside all.
    log: Option<usize>,
    read: Box<dyn FnOnce() + Send>,
}

impl Job {
    pub fn of(log: Option<usize>, read: impl FnOnce() + Send + 'static) -> Job {
        Job { log, read: Box::new(read) }
    }
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// The logs that are being read, at most one for each thread.
    busy: Vec<usize>,
    is_closed: bool,
}

impl State {
    /// The oldest read whose log is not being read.
    fn next(&mut self) -> Option<Job> {
        let is_free = |job: &Job| job.log.is_none_or(|log| !self.busy.contains(&log));
        let at = self.jobs.iter().position(is_free)?;
        let job = self.jobs.remove(at)?;
        self.busy.extend(job.log);
        Some(job)
    }
}

/// Shared by those who ask and the threads that read.
pub(super) struct ColdQueue {
    state: Mutex<State>,
    changed: Condvar,
    places: Semaphore,
}

impl ColdQueue {
    pub fn new() -> ColdQueue {
        ColdQueue { state: Mutex::default(), changed: Condvar::new(), places: Semaphore::new(QUEUE_MAX) }
    }

    /// Waits for a place if there is none. After `close` the read is dropped.
    pub async fn push(&self, job: Job) {
        let place = self.places.acquire().await.expect("the places are never closed");
        self.enter(job, place);
    }

    /// Leaves the read out if there is no place.
    pub fn try_push(&self, job: Job) {
        if let Ok(place) = self.places.try_acquire() {
            self.enter(job, place);
        }
    }

    fn enter(&self, job: Job, place: SemaphorePermit<'_>) {
        let mut state = self.state.lock();
        if !state.is_closed {
            // The place is given back with the read's turn.
            place.forget();
            state.jobs.push_back(job);
            self.changed.notify_one();
        }
    }

    /// Reads until `close`: what a thread of the pool does.
    pub fn serve(&self) {
        let mut state = self.state.lock();
        while !state.is_closed {
            let Some(Job { log, read }) = state.next() else {
                self.changed.wait(&mut state);
                continue;
            };
            drop(state);
            self.places.add_permits(1);
            read();
            state = self.state.lock();
            if let Some(log) = log {
                state.busy.retain(|busy| *busy != log);
                // A read of this log may have been passed over; this thread takes one, another the next.
                self.changed.notify_one();
            }
        }
    }

    /// Ends the threads and drops what still waits.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.jobs.clear();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    fn threads(queue: &Arc<ColdQueue>, count: usize) -> Vec<std::thread::JoinHandle<()>> {
        let serve = |_| {
            let queue = Arc::clone(queue);
            std::thread::spawn(move || queue.serve())
        };
        (0..count).map(serve).collect()
    }

    fn close(queue: &ColdQueue, threads: Vec<std::thread::JoinHandle<()>>) {
        queue.close();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[tokio::test]
    async fn a_log_that_is_being_read_is_passed_over_and_others_are_read_meanwhile() {
        let queue = Arc::new(ColdQueue::new());
        let (said, says) = mpsc::channel();
        let (open, gate) = mpsc::channel::<()>();
        let job = |log, name: &'static str| {
            let said = said.clone();
            Job::of(Some(log), move || said.send(name).unwrap())
        };
        let begun = said.clone();
        let held = Job::of(Some(1), move || {
            begun.send("first of 1").unwrap();
            gate.recv().unwrap();
        });
        let threads = threads(&queue, 2);
        queue.push(held).await;
        assert_eq!(says.recv().unwrap(), "first of 1");
        queue.push(job(1, "second of 1")).await;
        queue.push(job(2, "first of 2")).await;
        queue.push(job(3, "first of 3")).await;
        assert_eq!([says.recv().unwrap(), says.recv().unwrap()], ["first of 2", "first of 3"]);
        assert_eq!(says.try_recv(), Err(mpsc::TryRecvError::Empty), "one of a log at a time");
        open.send(()).unwrap();
        assert_eq!(says.recv().unwrap(), "second of 1");
        close(&queue, threads);
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_next_read_wait_and_loses_none() {
        let queue = Arc::new(ColdQueue::new());
        let (said, says) = mpsc::channel();
        let job = |number: usize| {
            let said = said.clone();
            Job::of(None, move || said.send(number).unwrap())
        };
        for number in 0..QUEUE_MAX {
            queue.push(job(number)).await;
        }
        let mut late = Box::pin(queue.push(job(QUEUE_MAX)));
        assert!(futures::poll!(late.as_mut()).is_pending());
        queue.try_push(job(usize::MAX));
        let threads = threads(&queue, 1);
        late.await;
        let done: Vec<usize> = says.iter().take(QUEUE_MAX + 1).collect();
        assert_eq!(done, (0..=QUEUE_MAX).collect::<Vec<_>>(), "and what nobody waits for is left out");
        close(&queue, threads);
    }

    #[tokio::test]
    async fn what_waits_when_the_pool_ends_is_dropped_and_whoever_waits_is_told() {
        let queue = ColdQueue::new();
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let job = Job::of(None, move || answer.send(()).unwrap_or_default());
        queue.push(job).await;
        queue.close();
        assert!(answered.await.is_err());
    }
}
