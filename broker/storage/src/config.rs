//! The topic configs that a log honours, in Kafka's names and units, with Kafka's defaults.
//!
//! One default is ours: `flush.messages` is 1, so that acknowledged means on stable storage. A log reads this
//! struct only; where a value comes from (topic, broker, default) is decided above. Kafka: `LogConfig`.

use logspine_protocol::batch::TimestampType;

use crate::planted::Planted;

/// The value of a config that a log honours is not acceptable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Invalid value {value} for configuration {name}: {reason}")]
pub struct ConfigError {
    /// Kafka's name of the config.
    pub name: String,
    /// What was given.
    pub value: String,
    /// What would be accepted.
    pub reason: &'static str,
}

/// `cleanup.policy`: both may be set; neither means "keep for ever" (KIP-1161).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Whole segments go by age and size.
    pub delete: bool,
    /// The last value of each key stays.
    pub compact: bool,
}

/// How one log behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `cleanup.policy`
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`, -1 for no limit.
    pub retention_ms: i64,
    /// `retention.bytes`, -1 for no limit.
    pub retention_bytes: i64,
    /// `segment.bytes`
    pub segment_bytes: i32,
    /// `segment.ms`
    pub segment_ms: i64,
    /// `segment.jitter.ms`: each segment rolls earlier by up to this much.
    pub segment_jitter_ms: i64,
    /// `segment.index.bytes`: a full index rolls the segment.
    pub segment_index_bytes: i32,
    /// `index.interval.bytes`
    pub index_interval_bytes: i32,
    /// `file.delete.delay.ms`: between the rename to `.deleted` and the unlink.
    pub file_delete_delay_ms: i64,
    /// `delete.retention.ms`: how long compaction keeps a tombstone.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`: younger records are not compacted.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`: older ones are, however clean the log.
    pub max_compaction_lag_ms: i64,
    /// `flush.messages`: 1 acknowledges on stable storage, `i64::MAX` in the page cache.
    pub flush_messages: i64,
    /// `flush.ms`
    pub flush_ms: i64,
    /// `max.message.bytes`: largest batch.
    pub max_message_bytes: i32,
    /// `message.timestamp.type`
    pub message_timestamp_type: TimestampType,
    /// `producer.id.expiration.ms`, a broker config.
    pub producer_id_expiration_ms: i64,
    /// Whether the owner flushes soon after opening, so that a start after a crash need not wait for the disk: what is
    /// recovered then counts as durable only after the flush.
    pub is_flushed_after_open: bool,
    /// Bugs for tests; empty unless the cargo feature `planted` is on.
    pub planted: Planted,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            cleanup_policy: CleanupPolicy { delete: true, compact: false },
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            file_delete_delay_ms: 60_000,
            delete_retention_ms: 86_400_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            flush_messages: 1,
            flush_ms: i64::MAX,
            max_message_bytes: (1 << 20) + 12,
            message_timestamp_type: TimestampType::CreateTime,
            producer_id_expiration_ms: 86_400_000,
            is_flushed_after_open: false,
            planted: Planted::default(),
        }
    }
}

impl LogConfig {
    /// Sets one config by Kafka's name. `Ok(false)`: not a config of logs.
    pub fn set(&mut self, name: &str, value: &str) -> Result<bool, ConfigError> {
        let refuse = |reason| ConfigError { name: name.to_owned(), value: value.to_owned(), reason };
        let long = |min: i64| match value.trim().parse::<i64>() {
            Ok(number) if number >= min => Ok(number),
            _ => Err(refuse("a whole number that is not too small is needed")),
        };
        let int = |min: i64| i32::try_from(long(min)?).map_err(|_| refuse("it must fit into 32 bits"));
        match name {
            "cleanup.policy" => self.cleanup_policy = parse_cleanup_policy(value).map_err(refuse)?,
            "retention.ms" => self.retention_ms = long(-1)?,
            "retention.bytes" => self.retention_bytes = long(-1)?,
            "segment.bytes" => self.segment_bytes = int(1 << 20)?,
            "segment.ms" => self.segment_ms = long(1)?,
            "segment.jitter.ms" => self.segment_jitter_ms = long(0)?,
            "segment.index.bytes" => self.segment_index_bytes = int(4)?,
            "index.interval.bytes" => self.index_interval_bytes = int(0)?,
            "file.delete.delay.ms" => self.file_delete_delay_ms = long(0)?,
            "delete.retention.ms" => self.delete_retention_ms = long(0)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = long(0)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = long(1)?,
            "flush.messages" => self.flush_messages = long(1)?,
            "flush.ms" => self.flush_ms = long(0)?,
            "max.message.bytes" => self.max_message_bytes = int(0)?,
            "message.timestamp.type" => {
                self.message_timestamp_type = match value.trim() {
                    "CreateTime" => TimestampType::CreateTime,
                    "LogAppendTime" => TimestampType::LogAppendTime,
                    _ => return Err(refuse("it must be CreateTime or LogAppendTime")),
                }
            }
            "producer.id.expiration.ms" => self.producer_id_expiration_ms = long(1)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn parse_cleanup_policy(value: &str) -> Result<CleanupPolicy, &'static str> {
    let mut policy = CleanupPolicy { delete: false, compact: false };
    for part in value.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part {
            "delete" => policy.delete = true,
            "compact" => policy.compact = true,
            _ => return Err("it must be a list of compact, delete"),
        }
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::{CleanupPolicy, LogConfig};

    #[test]
    fn values_are_read_in_kafkas_words_and_bounds() {
        let mut config = LogConfig::default();
        assert_eq!(config.set("cleanup.policy", "compact, delete"), Ok(true));
        assert_eq!(config.cleanup_policy, CleanupPolicy { delete: true, compact: true });
        assert_eq!(config.set("retention.ms", "-1"), Ok(true));
        assert_eq!(config.retention_ms, -1);
        assert_eq!(config.set("min.insync.replicas", "2"), Ok(false));
        for (name, value) in [
            ("retention.ms", "-2"),
            ("segment.bytes", "1048575"),
            ("segment.bytes", "3000000000"),
            ("cleanup.policy", "shred"),
            ("message.timestamp.type", "createtime"),
            ("flush.messages", "0"),
            ("flush.messages", "many"),
        ] {
            let before = config.clone();
            assert!(config.set(name, value).is_err(), "{name}={value}");
            assert_eq!(config, before);
        }
    }
}
