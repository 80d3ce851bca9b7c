//! A topic's settings as numbers: what a log, and whoever checks a batch, reads.
//!
//! Resolved from the layers once per change of the metadata, by the publisher. A value that does not parse (a
//! record of a newer version, a typing error in the file) falls back to the key's default: a committed record is
//! never a reason to stop.

use super::resolve::{Layers, resolve_topic};
use super::topic_key;

/// Whether a record bears its producer's time or that of its append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// Who compresses batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// The producer, as it likes.
    Producer,
    Uncompressed,
    Gzip {
        level: i32,
    },
    Snappy,
    Lz4,
    Zstd {
        level: i32,
    },
}

/// What may be removed from a log. Neither flag: everything stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

/// The settings of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    pub cleanup_policy: CleanupPolicy,
    pub delete_retention_ms: i64,
    pub compression_type: CompressionType,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    /// The largest value: no record is synced for its age.
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    /// In millionths.
    pub min_cleanable_dirty_ratio_ppm: u32,
    pub min_compaction_lag_ms: i64,
    /// `message.validation=record`
    pub is_validated_by_record: bool,
    pub min_insync_replicas: i32,
    /// -1 = no limit.
    pub retention_bytes: i64,
    /// -1 = no limit.
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
}

impl TopicConfig {
    pub fn resolve(layers: &Layers<'_>) -> Self {
        let timestamp_type = match text("message.timestamp.type", layers).as_str() {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        };
        Self {
            cleanup_policy: CleanupPolicy::parse(&text("cleanup.policy", layers)),
            delete_retention_ms: number("delete.retention.ms", layers),
            compression_type: compression_type(layers),
            file_delete_delay_ms: number("file.delete.delay.ms", layers),
            flush_messages: number("flush.messages", layers),
            flush_ms: number("flush.ms", layers),
            index_interval_bytes: number("index.interval.bytes", layers),
            max_compaction_lag_ms: number("max.compaction.lag.ms", layers),
            max_message_bytes: number("max.message.bytes", layers),
            message_timestamp_after_max_ms: number("message.timestamp.after.max.ms", layers),
            message_timestamp_before_max_ms: number("message.timestamp.before.max.ms", layers),
            message_timestamp_type: timestamp_type,
            min_cleanable_dirty_ratio_ppm: millionths(number("min.cleanable.dirty.ratio", layers)),
            min_compaction_lag_ms: number("min.compaction.lag.ms", layers),
            is_validated_by_record: text("message.validation", layers) == "record",
            min_insync_replicas: number("min.insync.replicas", layers),
            retention_bytes: number("retention.bytes", layers),
            retention_ms: number("retention.ms", layers),
            segment_bytes: number("segment.bytes", layers),
            segment_index_bytes: number("segment.index.bytes", layers),
            segment_jitter_ms: number("segment.jitter.ms", layers),
            segment_ms: number("segment.ms", layers),
        }
    }
}

impl CleanupPolicy {
    fn parse(list: &str) -> Self {
        let has = |word: &str| list.split(',').any(|element| element.trim() == word);
        Self { delete: has("delete"), compact: has("compact") }
    }
}

fn millionths(ratio: f64) -> u32 {
    (ratio.clamp(0.0, 1.0) * 1e6).round() as u32
}

fn compression_type(layers: &Layers<'_>) -> CompressionType {
    match text("compression.type", layers).as_str() {
        "uncompressed" => CompressionType::Uncompressed,
        "gzip" => CompressionType::Gzip { level: number("compression.gzip.level", layers) },
        "snappy" => CompressionType::Snappy,
        "lz4" => CompressionType::Lz4,
        "zstd" => CompressionType::Zstd { level: number("compression.zstd.level", layers) },
        _ => CompressionType::Producer,
    }
}

fn text(name: &str, layers: &Layers<'_>) -> String {
    let key = topic_key(name).expect("the name stands in the table");
    resolve_topic(key, layers).value.unwrap_or_default()
}

fn number<N: std::str::FromStr>(name: &str, layers: &Layers<'_>) -> N {
    let key = topic_key(name).expect("the name stands in the table");
    let default =
        || key.default.and_then(|value| value.parse().ok()).expect("the default parses: a test checks all");
    text(name, layers).trim().parse().unwrap_or_else(|_| default())
}
