//! Group commit: one round of syncs serves every request that waits.
//!
//! A round is a synchronous function over the jobs of a data directory, run by a bounded number of threads; whoever
//! drives it begins flushes under the partitions' locks, runs the round without any, ends them under the locks,
//! wakes all, and starts the next round at once if somebody came meanwhile. A single job runs on the caller's
//! thread: the lone acks=all request pays for its fdatasync and nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::log::{FlushDone, FlushJob};

/// Runs all jobs, at most `parallelism` at a time, and gives each result back with its key, in the order given.
pub fn run_round<K: Send>(jobs: Vec<(K, FlushJob)>, parallelism: usize) -> Vec<(K, FlushDone)> {
    let workers = parallelism.min(jobs.len());
    if workers <= 1 {
        return jobs.into_iter().map(|(key, job)| (key, job.run())).collect();
    }
    let slots: Vec<Mutex<Slot<K>>> =
        jobs.into_iter().map(|(key, job)| Mutex::new(Slot::Waits(key, job))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut slot = slot.lock();
            if let Slot::Waits(key, job) = std::mem::replace(&mut *slot, Slot::Taken) {
                *slot = Slot::Done(key, job.run());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    slots
        .into_iter()
        .map(|slot| match slot.into_inner() {
            Slot::Done(key, done) => (key, done),
            Slot::Waits(..) | Slot::Taken => {
                unreachable!("every slot below the length was taken and finished")
            }
        })
        .collect()
}

enum Slot<K> {
    Waits(K, FlushJob),
    Taken,
    Done(K, FlushDone),
}
