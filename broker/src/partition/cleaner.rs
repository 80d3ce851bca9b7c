//! The cleaner: threads that compact logs, the dirtiest first, as long as one is due.
//!
//! Nothing but short steps happens under a partition's lock: appends never wait for a compaction. What all threads
//! read and write is throttled together; the map of keys is allocated for a run and given back. A damaged batch
//! marks its partition as uncleanable, until a restart or its deletion, and leaves it in service. After any other
//! failure (a full disk) the thread waits for log.cleaner.backoff.ms and tries again. Kafka: `LogCleaner`,
//! `LogCleanerManager`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logspine_protocol::types::{Offset, TopicId};
use logspine_storage::compaction::CompactionStats;
use logspine_storage::{Cleanable, CompactionError, KeyMemory, LogDir, Pace};
use parking_lot::{Condvar, Mutex};
use tracing::{debug, error, info, warn};

use super::handle::{PartitionError, PartitionHandle};
use super::registry::Registry;
use crate::clock;
use crate::config::CleanerConfig;
use crate::metrics::Metrics;

/// After so many pauses all compacted logs are looked at although nothing moved: some get due with time alone.
const LOOK_ANYWAY_PAUSES: u64 = 4;

/// A throttled thread sleeps for no less than this.
const SLEEP_MIN: Duration = Duration::from_millis(20);

type Key = (TopicId, i32);

#[derive(Default)]
struct Claims {
    /// Logs that a thread works on.
    in_progress: BTreeSet<Key>,
    /// Logs with a damaged batch.
    uncleanable: BTreeSet<Key>,
}

struct Shared {
    registry: Arc<Registry>,
    config: CleanerConfig,
    metrics: Arc<Metrics>,
    claims: Mutex<Claims>,
    /// Until when the bytes of all threads were paid for.
    paid_until: Mutex<Instant>,
    looked: Mutex<Option<Instant>>,
    stops: AtomicBool,
    /// Beside `stops`, for whoever sleeps.
    sleeping: Mutex<()>,
    told: Condvar,
}

/// The running threads; none if the cleaner is disabled.
pub struct Cleaner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Cleaner {
    pub fn start(
        registry: Arc<Registry>,
        config: &CleanerConfig,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Cleaner> {
        let shared = Arc::new(Shared {
            registry,
            config: config.clone(),
            metrics,
            claims: Mutex::default(),
            paid_until: Mutex::new(Instant::now()),
            looked: Mutex::default(),
            stops: AtomicBool::new(false),
            sleeping: Mutex::default(),
            told: Condvar::new(),
        });
        let start = |number: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name(format!("cleaner-{number}")).spawn(move || shared.work())
        };
        let threads = (0..config.threads).map(start).collect::<Result<_, _>>()?;
        Ok(Cleaner { shared, threads })
    }

    /// Ends runs where they are; what they have written is removed.
    pub fn stop(self) {
        self.shared.stops.store(true, Ordering::Release);
        drop(self.shared.sleeping.lock());
        self.shared.told.notify_all();
        for thread in self.threads {
            if thread.join().is_err() {
                error!("a cleaner thread panicked");
            }
        }
    }
}

/// Keeps one thread to its share of the disk, and ends its run when the broker stops.
struct Throttle<'s>(&'s Shared);

impl Pace for Throttle<'_> {
    fn io(&mut self, bytes: u64) -> bool {
        let rate = self.0.config.io_max_bytes_per_second;
        if rate < f64::MAX {
            let cost = Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX);
            let now = Instant::now();
            let until = {
                let mut paid_until = self.0.paid_until.lock();
                *paid_until = (*paid_until).max(now).checked_add(cost).unwrap_or(now);
                *paid_until
            };
            if until.saturating_duration_since(now) >= SLEEP_MIN {
                self.0.sleep_until(until);
            }
        }
        !self.0.stops.load(Ordering::Acquire)
    }
}

impl Shared {
    fn work(&self) {
        while !self.stops.load(Ordering::Acquire) {
            if !self.clean_dirtiest() {
                self.sleep_until(Instant::now() + Duration::from_millis(self.config.backoff_ms));
            }
        }
    }

    fn sleep_until(&self, deadline: Instant) {
        let mut sleeping = self.sleeping.lock();
        while !self.stops.load(Ordering::Acquire) {
            if self.told.wait_until(&mut sleeping, deadline).timed_out() {
                return;
            }
        }
    }

    /// False if there is nothing to do now, or it did not work.
    fn clean_dirtiest(&self) -> bool {
        if !self.is_worth_a_look(Instant::now()) {
            return false;
        }
        let now_ms = clock::retention_ms();
        let Some((partition, cleanable)) = self.dirtiest(now_ms) else { return false };
        // There may be another, and this one may fail.
        self.registry.moved().note_dirt();
        let key = (partition.topic_id, partition.index);
        if !self.claims.lock().in_progress.insert(key) {
            // Another thread was faster; there may be a second one that is due.
            return false;
        }
        let started = Instant::now();
        let result = self.clean(&partition, cleanable, now_ms);
        self.claims.lock().in_progress.remove(&key);
        self.report(&partition, started.elapsed(), result)
    }

    /// Whether anything moved since the last look, or that was long ago.
    fn is_worth_a_look(&self, now: Instant) -> bool {
        let mut looked = self.looked.lock();
        let anyway = Duration::from_millis(self.config.backoff_ms.saturating_mul(LOOK_ANYWAY_PAUSES));
        let is_worth = self.registry.moved().take_dirt()
            || looked.is_none_or(|looked| now.saturating_duration_since(looked) >= anyway);
        if is_worth {
            *looked = Some(now);
        }
        is_worth
    }

    /// The log with the largest dirty share of those that are due.
    fn dirtiest(&self, now_ms: i64) -> Option<(Arc<PartitionHandle>, Cleanable)> {
        let log_dir = self.registry.log_dir();
        let checkpoints = log_dir.cleaned().unwrap_or_else(|error| {
            error!("everything counts as dirty: {error}");
            Default::default()
        });
        let (mut dirtiest, mut max_ratio) = (None, 0.0_f64);
        let partitions = self.registry.compacted();
        self.forget_all_but(&partitions);
        for partition in partitions {
            if self.is_taken(&partition) {
                continue;
            }
            let Ok(scope) = partition.with(|replica| replica.compaction_scope()) else { continue };
            let key = (partition.topic.to_string(), partition.index);
            let cleanable = scope.cleanable(checkpoints.get(&key).copied(), now_ms);
            let ratio = cleanable.dirty_ratio();
            max_ratio = max_ratio.max(ratio);
            let min_ratio = f64::from(partition.config().min_cleanable_dirty_ratio_ppm) / 1e6;
            let is_dirtier =
                dirtiest.as_ref().is_none_or(|(_, other): &(_, Cleanable)| ratio > other.dirty_ratio());
            if cleanable.is_due(min_ratio) && is_dirtier {
                dirtiest = Some((partition, cleanable));
            }
        }
        self.metrics.cleaner.looked(max_ratio);
        dirtiest
    }

    fn is_taken(&self, partition: &PartitionHandle) -> bool {
        let key = (partition.topic_id, partition.index);
        let claims = self.claims.lock();
        claims.in_progress.contains(&key) || claims.uncleanable.contains(&key) || !partition.is_healthy()
    }

    /// Deleted partitions are uncleanable no more.
    fn forget_all_but(&self, partitions: &[Arc<PartitionHandle>]) {
        let mut claims = self.claims.lock();
        if claims.uncleanable.is_empty() {
            return;
        }
        let is_there = |key: &Key| partitions.iter().any(|one| (one.topic_id, one.index) == *key);
        claims.uncleanable.retain(is_there);
        self.metrics.cleaner.keep_uncleanable(|topic, index| {
            partitions.iter().any(|one| &*one.topic == topic && one.index == index)
        });
    }

    fn clean(
        &self,
        partition: &PartitionHandle,
        cleanable: Cleanable,
        now_ms: i64,
    ) -> Result<CompactionStats, CompactionError> {
        let closed = |_: PartitionError| CompactionError::Overtaken;
        let begun = partition.with(|replica| replica.begin_compaction(cleanable, now_ms));
        let mut compaction = begun.map_err(closed)??;
        let memory = KeyMemory {
            bytes: self.config.dedupe_buffer_bytes / self.config.threads.max(1) as u64,
            load_factor: self.config.load_factor,
        };
        compaction.map_keys(memory, &mut Throttle(self))?;
        while let Some(replacement) = compaction.clean_next(&mut Throttle(self))? {
            partition.swap_in(replacement, now_ms)?;
        }
        self.checkpoint(partition, compaction.end_offset());
        Ok(compaction.stats())
    }

    fn checkpoint(&self, partition: &PartitionHandle, offset: Offset) {
        let log_dir: &LogDir = self.registry.log_dir();
        if let Err(error) = log_dir.write_cleaned(&partition.topic, partition.index, offset) {
            warn!(topic = %partition.topic, partition = partition.index, "it will be compacted again: {error}");
        }
    }

    /// Returns whether the next log may follow at once.
    fn report(
        &self,
        partition: &PartitionHandle,
        took: Duration,
        result: Result<CompactionStats, CompactionError>,
    ) -> bool {
        let (topic, index) = (&partition.topic, partition.index);
        match result {
            Ok(CompactionStats { keys, bytes_before, bytes_after }) => {
                self.metrics.cleaner.cleaned(took, bytes_before, bytes_after);
                info!(%topic, partition = index, keys, bytes_before, bytes_after, ?took, "compacted");
                return true;
            }
            Err(CompactionError::Stopped) => debug!(%topic, partition = index, "compaction stopped"),
            Err(CompactionError::Overtaken) => debug!(%topic, partition = index, "compaction overtaken"),
            Err(CompactionError::Damaged(damage)) => {
                error!(%topic, partition = index, "the partition is not compacted any more: {damage}");
                self.claims.lock().uncleanable.insert((partition.topic_id, index));
                self.metrics.cleaner.uncleanable(topic, index);
            }
            Err(error) => error!(%topic, partition = index, "not compacted this time: {error}"),
        }
        false
    }
}
