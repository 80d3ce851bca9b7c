//! Appends to a partition whose disk is slow, one after the other on a thread that may block.
//!
//! A write may block as long as a sync of the same file does, and a network thread that blocks holds all of its
//! connections. So once a flush takes long, appends queue here, in the order in which they came, until the queue is
//! empty again. Bounded in bytes; whoever finds it full is refused and tries again. Used by `handle.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logspine_replica::{Appended, LeaderAppend};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::handle::{PartitionError, PartitionHandle};

/// Batches of one partition that may wait for its disk.
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;

type Answer = Result<Appended, PartitionError>;

struct Job {
    batches: Vec<u8>,
    append: LeaderAppend,
    answer: oneshot::Sender<Answer>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    is_served: bool,
}

#[derive(Default)]
pub struct SlowLane {
    queue: Mutex<Queue>,
    /// Appends that are queued or under way; read without the lock by every append.
    waiting: AtomicUsize,
}

impl SlowLane {
    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Queues an append. The answer never comes if the broker stops first.
    pub fn enter(
        &self,
        partition: &Arc<PartitionHandle>,
        batches: &[u8],
        append: LeaderAppend,
    ) -> Result<oneshot::Receiver<Answer>, PartitionError> {
        let mut queue = self.queue.lock();
        if queue.bytes + batches.len() > QUEUED_BYTES_MAX {
            return Err(PartitionError::TooSlow { queued_bytes: queue.bytes });
        }
        let (answer, answered) = oneshot::channel();
        queue.bytes += batches.len();
        queue.jobs.push_back(Job { batches: batches.to_vec(), append, answer });
        self.waiting.fetch_add(1, Ordering::AcqRel);
        if !queue.is_served {
            queue.is_served = true;
            let partition = Arc::clone(partition);
            tokio::task::spawn_blocking(move || partition.serve_slow_lane());
        }
        Ok(answered)
    }

    /// Carries out everything that is queued. Blocks as the disk does.
    pub fn serve(&self, carry_out: impl Fn(&[u8], LeaderAppend) -> Answer) {
        while let Some(job) = self.next() {
            // Whoever asked may be gone.
            let _ = job.answer.send(carry_out(&job.batches, job.append));
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        let job = queue.jobs.pop_front();
        match &job {
            Some(job) => queue.bytes -= job.batches.len(),
            None => queue.is_served = false,
        }
        job
    }
}
