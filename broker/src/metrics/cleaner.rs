//! What the log cleaner did: how dirty the dirtiest log is, how long runs take, what they freed, and which
//! partitions cannot be compacted.
//!
//! Written by `partition/cleaner.rs`, read at scrape. The names are those that the JMX exporter makes of Kafka's
//! `LogCleaner` and `LogCleanerManager`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Exposition;

/// Counters of all cleaner threads.
#[derive(Debug, Default)]
pub struct CleanerFigures {
    dirty_percent: AtomicU64,
    /// When the logs were looked at last.
    looked: Mutex<Option<Instant>>,
    runs: AtomicU64,
    total_ms: AtomicU64,
    longest_ms: AtomicU64,
    reclaimed_bytes: AtomicU64,
    uncleanable: Mutex<BTreeSet<(Arc<str>, i32)>>,
}

impl CleanerFigures {
    /// All compacted logs were looked at.
    pub fn looked(&self, max_dirty_ratio: f64) {
        self.dirty_percent.store((max_dirty_ratio * 100.0) as u64, Ordering::Relaxed);
        *self.looked.lock() = Some(Instant::now());
    }

    /// One log was compacted.
    pub fn cleaned(&self, took: Duration, bytes_before: u64, bytes_after: u64) {
        let took_ms = took.as_millis() as u64;
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.total_ms.fetch_add(took_ms, Ordering::Relaxed);
        self.longest_ms.fetch_max(took_ms, Ordering::Relaxed);
        self.reclaimed_bytes.fetch_add(bytes_before.saturating_sub(bytes_after), Ordering::Relaxed);
    }

    pub fn uncleanable(&self, topic: &Arc<str>, index: i32) {
        self.uncleanable.lock().insert((Arc::clone(topic), index));
    }

    pub fn keep_uncleanable(&self, is_there: impl Fn(&str, i32) -> bool) {
        self.uncleanable.lock().retain(|(topic, index)| is_there(topic, *index));
    }

    pub(super) fn write(&self, page: &mut Exposition) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.family("kafka_log_logcleanermanager_max_dirty_percent");
        page.sample(&[], read(&self.dirty_percent));
        page.family("kafka_log_logcleanermanager_time_since_last_run_ms");
        page.sample(&[], self.looked.lock().map_or(0, |looked| looked.elapsed().as_millis()));
        page.family("kafka_log_logcleaner_runs_total");
        page.sample(&[], read(&self.runs));
        page.family("kafka_log_logcleaner_clean_time_seconds_total");
        page.sample(&[], read(&self.total_ms) as f64 / 1e3);
        page.family("kafka_log_logcleaner_max_clean_time_seconds");
        page.sample(&[], read(&self.longest_ms) as f64 / 1e3);
        page.family("kafka_log_logcleaner_reclaimed_bytes_total");
        page.sample(&[], read(&self.reclaimed_bytes));
        let uncleanable = self.uncleanable.lock();
        page.family("kafka_log_logcleanermanager_uncleanable_partitions_count");
        page.sample(&[], uncleanable.len());
        page.family("kafka_log_logcleanermanager_uncleanable_partition");
        for (topic, index) in uncleanable.iter() {
            page.sample(&[("topic", topic), ("partition", index)], 1);
        }
    }
}
