//! The names of Kafka's files: segments by base offset in 20 digits, partition directories `topic-N`.
//!
//! Nothing else in the crate formats or parses a name. Kafka: `LogFileUtils`, `UnifiedLog.parseTopicPartitionName`.

use std::path::{Path, PathBuf};

use logspine_protocol::types::{Offset, TopicId};

/// Suffix of record data.
pub const LOG: &str = "log";
/// Suffix of the offset index.
pub const INDEX: &str = "index";
/// Suffix of the time index.
pub const TIME_INDEX: &str = "timeindex";
/// Suffix of the index of aborted transactions.
pub const TXN_INDEX: &str = "txnindex";
/// Suffix of producer state.
pub const SNAPSHOT: &str = "snapshot";
/// Suffix of a file that waits for its unlink.
pub const DELETED: &str = ".deleted";
/// Ends the name of a partition directory that is on its way to where it belongs: `<topic id in hex>-moving`.
pub const MOVING: &str = "-moving";
/// Suffix of a small file's new content, before it takes the old one's place.
pub const TEMPORARY: &str = ".tmp";
/// Leader epochs of a partition.
pub const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";
/// Topic id of a partition.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Below these offsets everything is on stable storage.
pub const RECOVERY_POINT_CHECKPOINT: &str = "recovery-point-offset-checkpoint";
/// Where logs start.
pub const LOG_START_CHECKPOINT: &str = "log-start-offset-checkpoint";
/// High watermarks.
pub const REPLICATION_CHECKPOINT: &str = "replication-offset-checkpoint";
/// How far logs are compacted.
pub const CLEANER_CHECKPOINT: &str = "cleaner-offset-checkpoint";
/// The clean marker.
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
/// Who owns a data directory.
pub const META_PROPERTIES: &str = "meta.properties";
/// Held while a broker runs.
pub const LOCK: &str = ".lock";

/// The files of a data directory that are set aside if they cannot be read.
pub const OF_A_DATA_DIR: [&str; 5] = [
    RECOVERY_POINT_CHECKPOINT,
    LOG_START_CHECKPOINT,
    REPLICATION_CHECKPOINT,
    CLEANER_CHECKPOINT,
    CLEAN_SHUTDOWN,
];

/// The path of a segment's file, such as `dir/00000000000000000042.index`.
pub fn segment_file(dir: &Path, base_offset: Offset, suffix: &str) -> PathBuf {
    dir.join(format!("{:020}.{suffix}", base_offset.0))
}

/// Splits `00000000000000000042.index` into offset and suffix.
pub fn parse_segment_file(name: &str) -> Option<(Offset, &str)> {
    let (digits, suffix) = name.split_once('.')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Offset(digits.parse().ok()?), suffix))
}

/// Whether a name in a partition's directory is one that `disk::replace_file` gives to new content, and a crash leaves.
pub fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY)
        .is_some_and(|name| matches!(name, LEADER_EPOCH_CHECKPOINT | PARTITION_METADATA) || is_derived(name))
}

/// Whether a name is that of a segment's file that the segment's `.log` tells, too.
pub fn is_derived(name: &str) -> bool {
    matches!(parse_segment_file(name), Some((_, INDEX | TIME_INDEX | TXN_INDEX | SNAPSHOT)))
}

/// `topic-N`
pub fn partition_dir(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// Splits `topic-N`; the topic may hold dashes itself. Directories on their way out (`...-delete`) are no match.
pub fn parse_partition_dir(name: &str) -> Option<(&str, i32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    let partition: i32 = partition.parse().ok()?;
    (!topic.is_empty() && partition >= 0 && partition_dir(topic, partition) == name)
        .then_some((topic, partition))
}

/// The name of a partition directory that waits for its removal: `topic-N.<id in hex>-delete`. As in Kafka the
/// topic is cut so that the name stays within 255 bytes.
pub fn deleted_partition_dir(topic: &str, partition: i32, topic_id: TopicId) -> String {
    let suffix = format!("-{partition}.{:032x}-delete", u128::from_be_bytes(topic_id.0));
    let keep = topic.len().min(255 - suffix.len());
    format!("{}{suffix}", &topic[..keep])
}

/// The name of a directory of a topic while two of them change places.
pub fn moving_dir(topic_id: TopicId) -> String {
    format!("{:032x}{MOVING}", u128::from_be_bytes(topic_id.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kafka_and_parse_back() {
        let path = segment_file(Path::new("d"), Offset(42), INDEX);
        assert_eq!(path, Path::new("d/00000000000000000042.index"));
        assert_eq!(parse_segment_file("00000000000000000042.index"), Some((Offset(42), "index")));
        assert_eq!(parse_segment_file("00000000000000000042.log.deleted"), Some((Offset(42), "log.deleted")));
        for name in [
            "42.log",
            "0000000000000000004x.log",
            "leader-epoch-checkpoint",
            "99999999999999999999.log",
            "+0000000000000000042.log",
        ] {
            assert_eq!(parse_segment_file(name), None, "{name}");
        }
        assert_eq!(parse_partition_dir("my-topic-12"), Some(("my-topic", 12)));
        for name in ["topic", "-1", "topic-01", "topic-1.0f-delete", "topic-+1"] {
            assert!(!matches!(parse_partition_dir(name), Some((_, 1))), "{name}");
        }
        for name in ["leader-epoch-checkpoint.tmp", "00000000000000000042.txnindex.tmp"] {
            assert!(is_temporary(name), "{name}");
        }
        for name in ["notes.tmp", "00000000000000000042.log.tmp", "42.index.tmp", ".tmp"] {
            assert!(!is_temporary(name), "somebody else's: {name}");
        }
        let deleted = deleted_partition_dir(&"t".repeat(249), 7, TopicId([1; 16]));
        assert_eq!(deleted.len(), 255);
        assert!(deleted.ends_with("-7.01010101010101010101010101010101-delete"));
        assert_eq!(parse_partition_dir(&deleted), None);
    }
}
