//! From a topic's resolved settings to what its logs read.
//!
//! `cluster` knows the settings and not the logs, `storage` knows the logs and not the settings: this is where
//! they meet. Pure; called by `registry.rs` when a partition opens or its topic's settings change.

use logspine_cluster::metadata::configs::{TimestampType, TopicConfig};
use logspine_protocol::batch;
use logspine_storage::LogConfig;
use logspine_storage::config::CleanupPolicy;

pub fn log_config(topic: &TopicConfig, producer_id_expiration_ms: i64) -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: topic.cleanup_policy.delete,
            compact: topic.cleanup_policy.compact,
        },
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        segment_bytes: topic.segment_bytes,
        // A record must not wait in the active segment for longer than it may stay uncompacted.
        segment_ms: match topic.cleanup_policy.compact {
            true => topic.segment_ms.min(topic.max_compaction_lag_ms),
            false => topic.segment_ms,
        },
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: topic.segment_index_bytes,
        index_interval_bytes: topic.index_interval_bytes,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        delete_retention_ms: topic.delete_retention_ms,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        flush_messages: topic.flush_messages,
        max_message_bytes: topic.max_message_bytes,
        message_timestamp_type: match topic.message_timestamp_type {
            TimestampType::CreateTime => batch::TimestampType::CreateTime,
            TimestampType::LogAppendTime => batch::TimestampType::LogAppendTime,
        },
        producer_id_expiration_ms,
        is_flushed_after_open: true,
        ..LogConfig::default()
    }
}
