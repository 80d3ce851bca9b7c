//! Reads every byte of every partition once in `log.scrub.interval.ms`, so that rot is found before a consumer needs
//! the bytes.
//!
//! One thread with one deadline: a piece, then a pause that makes the pass take as long as it may, but never faster
//! than `log.scrub.max.bytes.per.second`. A terabyte in the default week is 1.7 MB/s and less than a thousandth of a
//! core. The page cache is left as it was. Where it stands is kept in `scrub-offset-checkpoint`, so that a broker
//! that is restarted every day still comes to the end. The replicas are listed once a minute at most, so that a piece
//! costs the same among a hundred thousand of them. What it finds is told as a consumer's read tells it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use logspine_protocol::types::Offset;
use logspine_storage::checkpoint::{self, Offsets};
use tracing::{error, info, warn};

use super::handle::PartitionHandle;
use super::housekeeping::Stop;
use super::registry::Registry;
use crate::config::ScrubConfig;
use crate::metrics::ScrubMetrics;

/// Read between two pauses, a batch more or less.
const PIECE_BYTES: u64 = 1 << 20;

/// A small broker reads a piece this often, although it has much more time.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// How long a list of the replicas is good; one that is made meanwhile is empty anyway.
const LIST_EVERY: Duration = Duration::from_secs(60);

/// How often the position is written while it moves.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);

const CHECKPOINT: &str = "scrub-offset-checkpoint";

/// The running thread.
pub struct Scrubber {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

struct Worker {
    registry: Arc<Registry>,
    config: ScrubConfig,
    metrics: ScrubMetrics,
    at: Position,
    list: List,
    /// Bytes read in this pass.
    done_bytes: u64,
    written: (Position, Instant),
}

/// Where the scrubber stands: within the first partition at or behind this one, in the order of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    topic: String,
    partition: i32,
    offset: Offset,
}

/// The replicas from where the scrubber stands on, in the order of names.
struct List {
    ahead: std::vec::IntoIter<Weak<PartitionHandle>>,
    /// Of all replicas, those behind included.
    total_bytes: u64,
    /// `None`: not yet.
    made: Option<Instant>,
}

impl List {
    fn of(registry: &Registry, at: &Position) -> List {
        let mut partitions = registry.all();
        let total_bytes = partitions.iter().map(|partition| partition.view().size_bytes()).sum();
        partitions.retain(|partition| key(partition) >= (at.topic.as_str(), at.partition));
        partitions.sort_by(|a, b| key(a).cmp(&key(b)));
        // A replica that is deleted meanwhile is not kept.
        let ahead: Vec<_> = partitions.iter().map(Arc::downgrade).collect();
        List { ahead: ahead.into_iter(), total_bytes, made: Some(Instant::now()) }
    }
}

fn key(partition: &PartitionHandle) -> (&str, i32) {
    (&partition.topic, partition.index)
}

impl Scrubber {
    /// Starts where the last process stopped; `None` if scrubbing is switched off.
    pub fn start(
        registry: Arc<Registry>,
        config: ScrubConfig,
        metrics: ScrubMetrics,
    ) -> std::io::Result<Option<Scrubber>> {
        if config.interval_ms == 0 {
            return Ok(None);
        }
        let stop = Arc::<Stop>::default();
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("scrubber".to_owned()).spawn(move || {
            let at = read_position(&registry);
            let written = (at.clone(), Instant::now());
            // The replicas open meanwhile; one that is not there yet must not be taken for one that is done.
            let list = List { ahead: Vec::new().into_iter(), total_bytes: 0, made: None };
            let mut worker = Worker { registry, config, metrics, at, list, done_bytes: 0, written };
            let mut pause = LIST_EVERY.min(Duration::from_millis(config.interval_ms));
            while !told.wait_until(Instant::now() + pause) {
                let bytes = worker.step();
                pause = worker.pause_after(bytes);
                worker.checkpoint(CHECKPOINT_EVERY);
            }
            worker.checkpoint(Duration::ZERO);
        })?;
        Ok(Some(Scrubber { stop, thread }))
    }

    pub fn stop(self) {
        self.stop.tell();
        if self.thread.join().is_err() {
            error!("the scrubber's thread panicked");
        }
    }
}

impl Worker {
    /// How long a piece of `bytes` may take, so that the pass ends in time.
    fn pause_after(&self, bytes: u64) -> Duration {
        pause(bytes, self.list.total_bytes, &self.config)
    }

    /// Reads one piece; how much there was.
    fn step(&mut self) -> u64 {
        if self.list.made.is_none_or(|made| made.elapsed() >= LIST_EVERY) {
            self.list = List::of(&self.registry, &self.at);
        }
        let Some(partition) = self.list.ahead.as_slice().first() else {
            self.end_pass();
            return PIECE_BYTES;
        };
        let Some(partition) = partition.upgrade() else {
            self.list.ahead.next();
            return 0;
        };
        let is_same = key(&partition) == (self.at.topic.as_str(), self.at.partition);
        let from = if is_same { self.at.offset } else { Offset(0) };
        let (next, bytes) = scrub(&partition, from);
        self.done_bytes += bytes;
        self.metrics.bytes.inc_by(bytes);
        self.metrics.pass_bytes.set(self.done_bytes as i64);
        match next {
            Some(offset) => self.at = Position::of(&partition, offset),
            // Behind it: the next one is found by its name.
            None => {
                self.at = Position { partition: partition.index + 1, ..Position::of(&partition, Offset(0)) };
                self.list.ahead.next();
            }
        }
        bytes
    }

    fn end_pass(&mut self) {
        info!(bytes = self.done_bytes, "the scrubber has read everything once");
        self.metrics.passes.inc();
        (self.at, self.done_bytes) = (Position::default(), 0);
        self.list = List::of(&self.registry, &self.at);
    }

    /// An idle broker writes nothing: only a position that moved.
    fn checkpoint(&mut self, every: Duration) {
        if self.at == self.written.0 || self.written.1.elapsed() < every {
            return;
        }
        let Position { topic, partition, offset } = self.at.clone();
        let offsets = match topic.as_str() {
            "" => Offsets::new(),
            _ => Offsets::from([((topic, partition), offset)]),
        };
        if let Err(error) =
            checkpoint::write(&**self.registry.log_dir().disk(), &path(&self.registry), &offsets)
        {
            error!("cannot write how far the scrubber is: {error}");
        }
        self.written = (self.at.clone(), Instant::now());
    }
}

impl Position {
    fn of(partition: &PartitionHandle, offset: Offset) -> Position {
        Position { topic: partition.topic.to_string(), partition: partition.index, offset }
    }
}

/// Reads a piece of one partition: where to go on in it, and how much was read.
fn scrub(partition: &PartitionHandle, from: Offset) -> (Option<Offset>, u64) {
    match partition.view().log().scrub(from, PIECE_BYTES) {
        Ok(scrubbed) => (scrubbed.next, scrubbed.bytes),
        Err(error) => {
            warn!(topic = %partition.topic, partition = partition.index, "the scrubber leaves it out: {error}");
            (None, 0)
        }
    }
}

fn pause(bytes: u64, total_bytes: u64, config: &ScrubConfig) -> Duration {
    let in_time = total_bytes.saturating_mul(1000) / config.interval_ms;
    let bytes_per_second = in_time.clamp(1, config.max_bytes_per_second.max(1));
    let pause = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
    pause.min(PAUSE_MAX).min(Duration::from_millis(config.interval_ms))
}

fn path(registry: &Registry) -> PathBuf {
    registry.log_dir().path().join(CHECKPOINT)
}

/// A position that cannot be read is worth a warning and a new pass.
fn read_position(registry: &Registry) -> Position {
    match checkpoint::read(&**registry.log_dir().disk(), &path(registry)) {
        Ok(offsets) => {
            offsets.into_iter().next().map_or_else(Position::default, |((topic, partition), offset)| {
                Position { topic, partition, offset }
            })
        }
        Err(error) => {
            warn!("the scrubber begins anew: {error}");
            Position::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_pass_takes_the_interval_unless_that_is_too_fast_for_the_disk_or_too_slow_to_matter() {
        let week = ScrubConfig { interval_ms: 7 * DAY_MS, max_bytes_per_second: 16 << 20 };
        let terabyte = pause(PIECE_BYTES, 1 << 40, &week);
        assert!((0.5..0.65).contains(&terabyte.as_secs_f64()), "{terabyte:?}");
        let too_much = pause(PIECE_BYTES, 1 << 50, &week);
        assert_eq!(too_much, Duration::from_secs_f64(1.0 / 16.0));
        assert_eq!(pause(PIECE_BYTES, 0, &week), PAUSE_MAX);
    }
}
