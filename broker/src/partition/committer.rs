//! Group commit: one thread per data directory that runs rounds of flushes.
//!
//! A round takes every partition that somebody waits for and does the three steps of `replica::Partition`:
//! begin under the lock, sync without it, end under the lock, which moves the watermark and wakes. While a
//! round syncs, others queue up and form the next one, which starts at once; when nobody waits the thread
//! sleeps without a timer. The partitions of one round run side by side on a small pool; each is begun when its
//! turn comes, so that its sync has whatever was appended by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::handle::PartitionHandle;
use crate::metrics::Metrics;

/// Threads that sync beside the committer itself; measured in docs/decisions/0011.
const SYNC_THREADS: usize = 7;

#[derive(Default)]
struct Queue {
    waiting: Vec<Arc<PartitionHandle>>,
    stops: bool,
}

/// What producers and the committer share.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
}

/// The queue of partitions that want a flush. Bounded by the number of partitions: each stands in it once.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
}

/// The running thread; `stop` runs a last round for whoever is queued.
pub struct CommitterThread {
    committer: Committer,
    thread: JoinHandle<()>,
}

impl Committer {
    /// Starts the thread.
    pub fn start(metrics: Arc<Metrics>) -> std::io::Result<CommitterThread> {
        let committer = Committer { shared: Arc::default() };
        let pool = SyncPool::start()?;
        let shared = Arc::clone(&committer.shared);
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
            // Lives as long as the thread: a round of known size allocates nothing.
            let mut round = Vec::new();
            while shared.next_round(&mut round) {
                let timer = Instant::now();
                run_round(&pool, &mut round);
                metrics.flush_rounds.inc();
                metrics.flush_seconds.observe(timer.elapsed().as_secs_f64());
            }
            pool.stop();
        })?;
        Ok(CommitterThread { committer, thread })
    }

    /// Takes a partition into the next round. The caller makes sure that it is queued only once.
    pub fn enqueue(&self, partition: Arc<PartitionHandle>) {
        let mut queue = self.shared.queue.lock();
        queue.waiting.push(partition);
        // One notification per round is enough: the thread takes all that is there.
        if queue.waiting.len() == 1 {
            self.shared.came.notify_one();
        }
    }
}

impl CommitterThread {
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }

    /// Flushes what is queued and ends the thread.
    pub fn stop(self) {
        self.committer.shared.queue.lock().stops = true;
        self.committer.shared.came.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the committer thread panicked");
        }
    }
}

impl Shared {
    /// Fills the empty `round` with everybody who waits; false to stop.
    fn next_round(&self, round: &mut Vec<Arc<PartitionHandle>>) -> bool {
        let mut queue = self.queue.lock();
        while queue.waiting.is_empty() {
            if queue.stops {
                return false;
            }
            self.came.wait(&mut queue);
        }
        std::mem::swap(&mut queue.waiting, round);
        true
    }
}

/// Carries out a round; leaves it empty.
fn run_round(pool: &SyncPool, round: &mut Vec<Arc<PartitionHandle>>) {
    if round.len() > 1 {
        return pool.run(round);
    }
    round.drain(..).for_each(|partition| partition.flush());
}

#[derive(Default)]
struct Jobs {
    open: VecDeque<Arc<PartitionHandle>>,
    running: usize,
    stops: bool,
}

#[derive(Default)]
struct PoolShared {
    jobs: Mutex<Jobs>,
    came: Condvar,
    all_done: Condvar,
}

/// A few threads that sync files of one round at the same time.
struct SyncPool {
    shared: Arc<PoolShared>,
    threads: Vec<JoinHandle<()>>,
}

impl SyncPool {
    fn start() -> std::io::Result<SyncPool> {
        let shared = Arc::<PoolShared>::default();
        let spawn = |number: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("sync-{number}"))
                .spawn(move || while shared.work_one(true) {})
        };
        let threads = (0..SYNC_THREADS).map(spawn).collect::<std::io::Result<Vec<_>>>()?;
        Ok(SyncPool { shared, threads })
    }

    /// Runs the syncs of a round and returns when the last one has ended. The caller works too.
    fn run(&self, jobs: &mut Vec<Arc<PartitionHandle>>) {
        self.shared.jobs.lock().open.extend(jobs.drain(..));
        self.shared.came.notify_all();
        while self.shared.work_one(false) {}
        let mut jobs = self.shared.jobs.lock();
        while jobs.running > 0 || !jobs.open.is_empty() {
            self.shared.all_done.wait(&mut jobs);
        }
    }

    fn stop(self) {
        self.shared.jobs.lock().stops = true;
        self.shared.came.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a sync thread panicked");
            }
        }
    }
}

impl PoolShared {
    /// Does one job. False when there is none and `waits` is not wanted, or when the pool stops.
    fn work_one(&self, waits: bool) -> bool {
        let mut jobs = self.jobs.lock();
        let partition = loop {
            match jobs.open.pop_front() {
                Some(job) => break job,
                None if jobs.stops || !waits => return false,
                None => self.came.wait(&mut jobs),
            }
        };
        jobs.running += 1;
        drop(jobs);
        partition.flush();
        let mut jobs = self.jobs.lock();
        jobs.running -= 1;
        if jobs.running == 0 && jobs.open.is_empty() {
            self.all_done.notify_all();
        }
        true
    }
}
