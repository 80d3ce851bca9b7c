//! What a data directory needs now and then: retention, the checkpoint files, and the freeing of deleted bytes.
//!
//! One thread with one deadline per duty. Retention every log.retention.check.interval.ms; recovery points and
//! log starts every log.flush.offset.checkpoint.interval.ms, or after many bytes; high watermarks every
//! replica.high.watermark.checkpoint.interval.ms; all of them only if something moved, so that thousands of idle
//! partitions cost nothing. Then also what may be freed is collected, and goes piece by piece in between
//! (`reclaim.rs`). Errors are logged and tried again.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logspine_storage::StorageError;
use parking_lot::{Condvar, Mutex};
use tracing::{debug, error, info};

use super::disk_health::{DiskState, disk_error};
use super::reclaim::Reclaim;
use super::registry::Registry;
use crate::clock;
use crate::config::LogDirConfig;

/// One duty and when it is due next.
struct Duty {
    interval: Duration,
    due: Instant,
}

impl Duty {
    fn every(interval_ms: u64, now: Instant) -> Duty {
        let interval = Duration::from_millis(interval_ms);
        Duty { interval, due: now + interval }
    }

    /// True, and due again one interval from now, if its time has come.
    fn take(&mut self, now: Instant) -> bool {
        let is_due = now >= self.due;
        if is_due {
            self.due = now + self.interval;
        }
        is_due
    }
}

/// How a thread that sleeps until its next deadline is told to end.
#[derive(Default)]
pub(super) struct Stop {
    stops: Mutex<bool>,
    told: Condvar,
}

/// The running thread.
pub struct Housekeeping {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

struct Worker {
    registry: Arc<Registry>,
    retention: Duty,
    checkpoints: Duty,
    high_watermarks: Duty,
    reclaim: Reclaim,
}

/// After so many bytes the recovery points are written before their time: a start after a crash checks as much.
const CHECKPOINT_BYTES: u64 = 512 << 20;

/// A larger active segment is not synced before the checkpoint's time: it is read at a gigabyte a second after a crash,
/// rolls soon if it grows fast, and would hold its producers up. What thousands of small ones hold is what takes long.
const SMALL_BYTES: u64 = 64 << 20;

/// How long duties wait, again and again, for logs that are still to be opened.
const OPENING_PAUSE: Duration = Duration::from_secs(1);

impl Housekeeping {
    pub fn start(registry: Arc<Registry>, config: &LogDirConfig) -> std::io::Result<Housekeeping> {
        let now = Instant::now();
        let mut worker = Worker {
            retention: Duty::every(config.retention_check_interval_ms, now),
            checkpoints: Duty::every(config.flush_offset_checkpoint_interval_ms, now),
            high_watermarks: Duty::every(config.high_watermark_checkpoint_interval_ms, now),
            reclaim: Reclaim::default(),
            registry,
        };
        let stop = Arc::<Stop>::default();
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("housekeeping".to_owned()).spawn(move || {
            while !told.wait_until(worker.next_due()) {
                worker.work(Instant::now());
            }
        })?;
        Ok(Housekeeping { stop, thread })
    }

    pub fn stop(self) {
        self.stop.tell();
        if self.thread.join().is_err() {
            error!("the housekeeping thread panicked");
        }
    }
}

impl Stop {
    pub fn tell(&self) {
        *self.stops.lock() = true;
        self.told.notify_all();
    }

    /// True if it is time to stop, false at the deadline.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let mut stops = self.stops.lock();
        while !*stops {
            if self.told.wait_until(&mut stops, deadline).timed_out() {
                break;
            }
        }
        *stops
    }
}

impl Worker {
    fn next_due(&self) -> Instant {
        let due = self.retention.due.min(self.checkpoints.due).min(self.high_watermarks.due);
        self.reclaim.due().map_or(due, |reclaim| reclaim.min(due))
    }

    fn work(&mut self, now: Instant) {
        // What a log says of itself that is being opened is not settled: the files on disk stay until it is.
        if self.registry.opening() > 0 {
            self.put_off(now);
            return self.reclaim.work(now);
        }
        if self.retention.take(now) {
            self.enforce_retention();
        }
        if self.checkpoints.take(now) {
            self.checkpoint_positions(u64::MAX);
        } else if self.registry.moved().bytes() >= CHECKPOINT_BYTES {
            self.checkpoint_positions(SMALL_BYTES);
        }
        if self.high_watermarks.take(now) {
            self.checkpoint_high_watermarks();
            self.look_for_room();
            self.reclaim.collect(self.registry.take_unlinks(clock::retention_ms()), now);
        }
        self.reclaim.work(now);
    }

    fn put_off(&mut self, now: Instant) {
        for duty in [&mut self.retention, &mut self.checkpoints, &mut self.high_watermarks] {
            duty.due = duty.due.max(now + OPENING_PAUSE);
        }
    }

    /// On a full disk that nobody writes to.
    fn look_for_room(&self) {
        if self.registry.disk().state() == DiskState::Full {
            self.registry.disk().look();
        }
    }

    fn enforce_retention(&self) {
        let (now_ms, steady_ms) = (clock::retention_ms(), clock::steady_ms());
        for partition in self.registry.all() {
            match partition.enforce_retention(now_ms, steady_ms) {
                Ok(retained) if retained.deleted_segments == 0 => {}
                Ok(retained) => {
                    let (segments, bytes) = (retained.deleted_segments, retained.deleted_bytes);
                    info!(topic = %partition.topic, partition = partition.index, segments, bytes, "retention");
                }
                Err(error) => {
                    error!(topic = %partition.topic, partition = partition.index, "retention: {error}");
                }
            }
        }
    }

    /// An idle broker writes nothing. What is only in the page cache is on disk by the next time, so that a start
    /// after a crash never has more to check than was written between two checkpoints.
    fn checkpoint_positions(&self, flushed_active_bytes_max: u64) {
        if !self.registry.moved().take_position() {
            return;
        }
        if let Err(error) = self.registry.write_positions() {
            self.not_written("checkpoints", &error);
            self.registry.moved().note(0);
        }
        for partition in self.registry.all() {
            partition.flush_behind(flushed_active_bytes_max);
        }
    }

    /// A full or read-only disk has been told of, and is told again by nobody.
    fn not_written(&self, what: &str, error: &StorageError) {
        if let Some(error) = disk_error(error) {
            self.registry.disk().failed(error);
        }
        match self.registry.disk().state() {
            DiskState::Writable => error!("cannot write the {what}: {error}"),
            DiskState::Full | DiskState::ReadOnly => debug!("cannot write the {what}: {error}"),
        }
    }

    fn checkpoint_high_watermarks(&self) {
        if !self.registry.moved().take_watermark() {
            return;
        }
        if let Err(error) = self.registry.write_high_watermarks() {
            self.not_written("high watermarks", &error);
            self.registry.moved().note(0);
        }
    }
}
