//! The threads that wait for the disk in place of the network threads, and the bound on what replays may cache.
//!
//! A fetch whose bytes are not in memory, or not verified since they came from the disk, is read here: verified, and
//! by that brought into the page cache, from where `sendfile` takes it. `THREADS` and `QUEUE_MAX` are the bounds;
//! where the queue is full a fetch waits its turn. One log is read by one thread at a time (`cold_queue`): readers
//! that go side by side find in memory what the first of them read. What reads of old data brought in is dropped from
//! the page cache oldest first once it is more than `fetch.replay.cache.bytes`, so that a replay never pushes out the
//! tail.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logspine_protocol::types::Offset;
use logspine_replica::{Isolation, PartitionView, ReadBudget};
use logspine_storage::{BroughtIn, LogSlice, ReadError, StorageError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::cold_queue::{ColdQueue, Job};

const THREADS: usize = 4;

/// Whoever has to be answered at once runs before a thread that reads old data: verifying is work for the processor.
const NICE: i32 = 10;

/// Read and verified at once for whoever reads on: some thousand records, a few milliseconds of a disk.
const READ_AHEAD_BYTES: u64 = 4 << 20;

/// Pieces that are remembered for being dropped, however small they are.
const PIECES_MAX: usize = 1024;

/// Held by the broker; the threads end with it.
pub struct ColdReads {
    queue: Arc<ColdQueue>,
    replayed: Arc<Mutex<Replayed>>,
    waiting: AtomicUsize,
}

/// What old reads brought into the page cache, oldest first.
struct Replayed {
    pieces: VecDeque<BroughtIn>,
    bytes: u64,
    bytes_max: u64,
}

/// One read that is asked for.
struct Wanted {
    view: Arc<PartitionView>,
    from: Offset,
    limit: Offset,
    budget: ReadBudget,
}

impl Replayed {
    /// Takes a piece in; returns those that are to be dropped. The newest is about to be sent and stays.
    fn note(&mut self, piece: BroughtIn) -> Vec<BroughtIn> {
        self.bytes += piece.len_bytes();
        self.pieces.push_back(piece);
        let mut surplus = Vec::new();
        while self.pieces.len() > 1 && (self.bytes > self.bytes_max || self.pieces.len() > PIECES_MAX) {
            let Some(oldest) = self.pieces.pop_front() else { break };
            self.bytes -= oldest.len_bytes();
            surplus.push(oldest);
        }
        surplus
    }
}

impl ColdReads {
    /// Starts the threads.
    pub fn start(replay_cache_bytes: u64) -> io::Result<ColdReads> {
        let queue = Arc::new(ColdQueue::new());
        for number in 0..THREADS {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("cold-read-{number}")).spawn(move || {
                // Of this thread only; where it is refused, reads compete with answers.
                let _ = rustix::process::setpriority_process(None, NICE);
                queue.serve();
            })?;
        }
        let replayed = Replayed { pieces: VecDeque::new(), bytes: 0, bytes_max: replay_cache_bytes };
        Ok(ColdReads { queue, replayed: Arc::new(Mutex::new(replayed)), waiting: AtomicUsize::new(0) })
    }

    /// Fetches that wait for the disk at this moment.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Bytes in the page cache because old data was read.
    pub fn replayed_bytes(&self) -> u64 {
        self.replayed.lock().bytes
    }

    /// Reads and verifies on the pool; the slice is in the page cache then.
    pub async fn read(
        &self,
        view: &Arc<PartitionView>,
        from: Offset,
        isolation: Isolation,
        budget: ReadBudget,
    ) -> Result<LogSlice, ReadError> {
        let wanted = Wanted { view: Arc::clone(view), from, limit: view.limit(isolation), budget };
        let replayed = Arc::clone(&self.replayed);
        let log = Some(log_of(view));
        self.run(log, move || wanted.read(&replayed)).await.unwrap_or_else(|gone| Err(gone.into()))
    }

    /// The same for a read that nobody waits for: it is in memory when the next fetch asks. Left out when busy.
    pub fn read_ahead(
        &self,
        view: &Arc<PartitionView>,
        from: Offset,
        isolation: Isolation,
        budget: ReadBudget,
    ) {
        let wanted = Wanted { view: Arc::clone(view), from, limit: view.limit(isolation), budget };
        let replayed = Arc::clone(&self.replayed);
        // An error is met again by whoever asks.
        self.queue.try_push(Job::of(Some(log_of(view)), move || drop(wanted.read(&replayed))));
    }

    /// Brings a slice back that left the page cache while its reader was slow.
    pub async fn bring_back(&self, slice: &LogSlice) -> io::Result<()> {
        let slice = slice.clone();
        let result = self.run(None, move || slice.bring_back()).await.map_err(io::Error::other)?;
        result.map_err(io::Error::other)
    }

    /// Runs what may wait for the disk; of one log one at a time.
    async fn run<T: Send + 'static>(
        &self,
        log: Option<usize>,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let _counted = Counted::new(&self.waiting);
        let (answer, answered) = oneshot::channel();
        let job = Job::of(log, move || {
            // Nobody waits any more for one whose connection is gone.
            if !answer.is_closed() {
                let _ = answer.send(read());
            }
        });
        let gone = || StorageError::Io {
            action: "wait for a read of",
            path: "the log".into(),
            source: io::Error::other("the pool for cold reads is gone"),
        };
        self.queue.push(job).await;
        answered.await.map_err(|_| gone())
    }
}

impl Drop for ColdReads {
    fn drop(&mut self) {
        self.queue.close();
    }
}

/// What tells one log from another as long as both are there.
fn log_of(view: &Arc<PartitionView>) -> usize {
    Arc::as_ptr(view).addr()
}

impl Wanted {
    fn read(self, replayed: &Mutex<Replayed>) -> Result<LogSlice, ReadError> {
        let Wanted { view, from, limit, budget } = self;
        let ReadBudget { bytes_max, at_least_one_batch } = budget;
        // Another reader of the same range may have come first.
        if let Some(slice) = view.log().try_read(from, limit, bytes_max, at_least_one_batch)? {
            return Ok(slice);
        }
        let read = view.log().read_verified(from, limit, bytes_max, at_least_one_batch, READ_AHEAD_BYTES)?;
        if let Some(piece) = read.brought_in {
            let surplus = { replayed.lock().note(piece) };
            surplus.into_iter().for_each(BroughtIn::evict);
        }
        Ok(read.slice)
    }
}

/// Counts somebody who waits, until dropped.
struct Counted<'c>(&'c AtomicUsize);

impl Counted<'_> {
    fn new(count: &AtomicUsize) -> Counted<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_whose_connection_is_gone_is_not_made() {
        let pool = ColdReads::start(0).unwrap();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut held: Vec<_> = (0..THREADS)
            .map(|_| {
                let gate = Arc::clone(&gate);
                Box::pin(pool.run(None, move || gate.lock().recv()))
            })
            .collect();
        for read in &mut held {
            assert!(futures::poll!(read.as_mut()).is_pending());
        }
        let was_made = Arc::new(AtomicUsize::new(0));
        {
            let was_made = Arc::clone(&was_made);
            let mut given_up = Box::pin(pool.run(None, move || was_made.fetch_add(1, Ordering::SeqCst)));
            assert!(futures::poll!(given_up.as_mut()).is_pending());
        }
        (0..THREADS).for_each(|_| open.send(()).unwrap());
        for read in held {
            read.await.unwrap().unwrap();
        }
        pool.run(None, || ()).await.unwrap();
        assert_eq!(was_made.load(Ordering::SeqCst), 0);
    }
}
