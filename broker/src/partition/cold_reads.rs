//! The threads that wait for the disk in place of the network threads, and the bound on what replays may cache.
//!
//! A fetch whose bytes are not in memory, or not verified since they came from the disk, is read here: verified, and
//! by that brought into the page cache, from where `sendfile` takes it. `THREADS` and `QUEUE_MAX` are the bounds;
//! where the queue is full a fetch waits its turn. What reads of old data brought in is dropped from the page cache
//! oldest first once it is more than `fetch.replay.cache.bytes`, so that a replay never pushes out the tail.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logspine_protocol::types::Offset;
use logspine_replica::{Isolation, PartitionView, ReadBudget};
use logspine_storage::{BroughtIn, LogSlice, ReadError, StorageError};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

const THREADS: usize = 4;

/// Reads that may wait for a thread; whoever comes later waits without a place.
const QUEUE_MAX: usize = 256;

/// Read and verified at once for whoever reads on: some thousand records, a few milliseconds of a disk.
const READ_AHEAD_BYTES: u64 = 4 << 20;

/// Pieces that are remembered for being dropped, however small they are.
const PIECES_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// Held by the broker; the threads end with it.
pub struct ColdReads {
    jobs: mpsc::Sender<Job>,
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
        let (jobs, queue) = mpsc::channel::<Job>(QUEUE_MAX);
        let queue = Arc::new(Mutex::new(queue));
        for number in 0..THREADS {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("cold-read-{number}")).spawn(move || {
                // The lock is held while waiting: whoever has it gets the next job, the others stand behind.
                while let Some(job) = { queue.lock().blocking_recv() } {
                    job();
                }
            })?;
        }
        let replayed = Replayed { pieces: VecDeque::new(), bytes: 0, bytes_max: replay_cache_bytes };
        Ok(ColdReads { jobs, replayed: Arc::new(Mutex::new(replayed)), waiting: AtomicUsize::new(0) })
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
        self.run(move || wanted.read(&replayed)).await.unwrap_or_else(|gone| Err(gone.into()))
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
        let _ = self.jobs.try_send(Box::new(move || drop(wanted.read(&replayed))));
    }

    /// Brings a slice back that left the page cache while its reader was slow.
    pub async fn bring_back(&self, slice: &LogSlice) -> io::Result<()> {
        let slice = slice.clone();
        let result = self.run(move || slice.bring_back()).await.map_err(io::Error::other)?;
        result.map_err(io::Error::other)
    }

    /// Runs what may wait for the disk.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StorageError> {
        let _counted = Counted::new(&self.waiting);
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
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
        self.jobs.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
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
    async fn a_full_queue_makes_the_next_read_wait_and_loses_none() {
        let pool = Arc::new(ColdReads::start(0).unwrap());
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let reads = THREADS + QUEUE_MAX + 10;
        let tasks: Vec<_> = (0..reads)
            .map(|number| {
                let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
                tokio::spawn(async move {
                    pool.run(move || {
                        let _ = gate.lock().recv();
                        number
                    })
                    .await
                    .unwrap()
                })
            })
            .collect();
        while pool.waiting() < reads {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.jobs.capacity(), 0, "the queue is full");
        (0..reads).for_each(|_| open.send(()).unwrap());
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap());
        }
        assert_eq!(done, (0..reads).collect::<Vec<_>>());
        assert_eq!(pool.waiting(), 0);
    }

    #[tokio::test]
    async fn a_read_whose_connection_is_gone_is_not_made() {
        let pool = ColdReads::start(0).unwrap();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let mut held: Vec<_> = (0..THREADS)
            .map(|_| {
                let gate = Arc::clone(&gate);
                Box::pin(pool.run(move || gate.lock().recv()))
            })
            .collect();
        for read in &mut held {
            assert!(futures::poll!(read.as_mut()).is_pending());
        }
        let was_made = Arc::new(AtomicUsize::new(0));
        {
            let was_made = Arc::clone(&was_made);
            let mut given_up = Box::pin(pool.run(move || was_made.fetch_add(1, Ordering::SeqCst)));
            assert!(futures::poll!(given_up.as_mut()).is_pending());
        }
        (0..THREADS).for_each(|_| open.send(()).unwrap());
        for read in held {
            read.await.unwrap().unwrap();
        }
        pool.run(|| ()).await.unwrap();
        assert_eq!(was_made.load(Ordering::SeqCst), 0);
    }
}
