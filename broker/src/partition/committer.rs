//! Group commit: a few threads per data directory that flush whichever partition waits.
//!
//! Each takes one partition and does the three steps of `replica::Partition`: begin under the lock, sync without it,
//! end under the lock, which moves the watermark and wakes. What is appended to a partition while its flush is under
//! way shares the next one, which starts when this one ends. Partitions do not wait for each other: a sync that the
//! disk holds holds one thread. What was only written is flushed when nobody waits for anything else. When there is
//! nothing to flush the threads sleep without a timer.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::handle::PartitionHandle;
use crate::metrics::Metrics;

/// Partitions that are synced at the same time; measured in docs/decisions/0011. One more than that many held syncs
/// hold everybody.
const SYNC_THREADS: usize = 8;

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Arc<PartitionHandle>>,
    /// Nobody waits for these.
    later: VecDeque<Arc<PartitionHandle>>,
    stops: bool,
}

/// What producers and the threads share.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    came: Condvar,
}

/// The queues of partitions that want a flush. Bounded by the number of partitions: each stands in each once.
#[derive(Clone)]
pub struct Committer {
    shared: Arc<Shared>,
}

/// The running threads; `stop` first flushes whoever is queued.
pub struct CommitterThread {
    committer: Committer,
    threads: Vec<JoinHandle<()>>,
}

impl Committer {
    /// Starts the threads.
    pub fn start(metrics: Arc<Metrics>) -> std::io::Result<CommitterThread> {
        let committer = Committer { shared: Arc::default() };
        let spawn = |number: usize| {
            let (shared, metrics) = (Arc::clone(&committer.shared), Arc::clone(&metrics));
            std::thread::Builder::new().name(format!("sync-{number}")).spawn(move || {
                while let Some(partition) = shared.next() {
                    flush(&partition, &metrics);
                }
            })
        };
        let threads = (0..SYNC_THREADS).map(spawn).collect::<std::io::Result<Vec<_>>>()?;
        Ok(CommitterThread { committer, threads })
    }

    /// Has a partition flushed. The caller makes sure that it is queued only once.
    pub fn enqueue(&self, partition: Arc<PartitionHandle>) {
        self.shared.queue.lock().waiting.push_back(partition);
        self.shared.came.notify_one();
    }

    /// Has a partition flushed for which nobody waits.
    pub fn enqueue_later(&self, partition: Arc<PartitionHandle>) {
        self.shared.queue.lock().later.push_back(partition);
        self.shared.came.notify_one();
    }
}

impl CommitterThread {
    pub fn committer(&self) -> Committer {
        self.committer.clone()
    }

    /// Flushes what is queued and ends the threads.
    pub fn stop(self) {
        self.committer.shared.queue.lock().stops = true;
        self.committer.shared.came.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a sync thread panicked");
            }
        }
    }
}

impl Shared {
    /// Whoever waits longest, or has time; `None` to stop.
    fn next(&self) -> Option<Arc<PartitionHandle>> {
        let mut queue = self.queue.lock();
        loop {
            let queues = &mut *queue;
            if let Some(next) = queues.waiting.pop_front().or_else(|| queues.later.pop_front()) {
                return Some(next);
            }
            if queue.stops {
                return None;
            }
            self.came.wait(&mut queue);
        }
    }
}

fn flush(partition: &Arc<PartitionHandle>, metrics: &Metrics) {
    let timer = Instant::now();
    partition.flush();
    metrics.flush_rounds.inc();
    metrics.flush_seconds.observe(timer.elapsed().as_secs_f64());
}
