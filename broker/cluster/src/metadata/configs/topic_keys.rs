//! The rows of topic keys, in name order. Kafka: `LogConfig`, `TopicConfig`, `ServerTopicConfigSynonyms` (4.3).

use super::key::Allowed::{Any, AtLeast, Between, GzipLevel, ListOf, OneOf, Ratio, ThrottledReplicas};
use super::key::ConfigType::{Boolean, Double, Int, List, Long, String};
use super::key::Status::{Accepted, Fixed, Honoured, Refused};
use super::key::{ConfigKey, Synonym, Unit};

const LONG_MAX: &str = "9223372036854775807";

const NO_TIERING: &str = "there is no remote storage; every record stays on the broker's own disk";
const ONE_LZ4_LEVEL: &str = "the lz4 encoder here has one level, a fast one; readers see no difference";
const NO_REASSIGNMENT: &str =
    "brokers do not copy partitions to each other yet, so there is nothing to throttle";

const fn same(name: &'static str) -> Synonym {
    Synonym { name, unit: Unit::Same }
}

const fn row(
    name: &'static str,
    kind: super::key::ConfigType,
    default: &'static str,
    allowed: super::key::Allowed,
    status: super::key::Status,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey::new(name, kind, Some(default), allowed, status, doc)
}

/// Every topic key.
pub const TOPIC_KEYS: &[ConfigKey] = &[
    row(
        "cleanup.policy",
        List,
        "delete",
        ListOf(&["compact", "delete"]),
        Honoured,
        "delete: old segments go by time and size. compact: the last record of each key stays. Both may stand \
         together; an empty list keeps everything.",
    )
    .synonyms(&[same("log.cleanup.policy")]),
    row(
        "compression.gzip.level",
        Int,
        "-1",
        GzipLevel,
        Honoured,
        "Level of gzip where the broker compresses.",
    )
    .synonyms(&[same("compression.gzip.level")]),
    row(
        "compression.lz4.level",
        Int,
        "9",
        Between(1, 17),
        Accepted(ONE_LZ4_LEVEL),
        "Level of lz4 where the broker compresses.",
    )
    .synonyms(&[same("compression.lz4.level")]),
    row(
        "compression.type",
        String,
        "producer",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        Honoured,
        "Codec of stored batches; producer keeps them as they came. Any other is applied by the broker to batches that \
         come with another codec, before max.message.bytes is applied once more.",
    )
    .synonyms(&[same("compression.type")]),
    row(
        "compression.zstd.level",
        Int,
        "3",
        Between(-131_072, 22),
        Honoured,
        "Level of zstd where the broker compresses.",
    )
    .synonyms(&[same("compression.zstd.level")]),
    row(
        "delete.retention.ms",
        Long,
        "86400000",
        AtLeast(0),
        Honoured,
        "How long compaction keeps a tombstone, so that every reader of the whole log sees it.",
    )
    .synonyms(&[same("log.cleaner.delete.retention.ms")]),
    row(
        "file.delete.delay.ms",
        Long,
        "60000",
        AtLeast(0),
        Honoured,
        "How long a removed segment stays on disk under the name *.deleted.",
    )
    .synonyms(&[same("log.segment.delete.delay.ms")]),
    row(
        "flush.messages",
        Long,
        "1",
        AtLeast(1),
        Honoured,
        "Records that may wait for a sync. 1: acks=all answers after the data is on stable storage, and consumers \
         see only what is. The largest value leaves syncing to the operating system, as Kafka does.",
    )
    .synonyms(&[same("log.flush.interval.messages")])
    .differs(
        Some(LONG_MAX),
        "an acknowledged record survives a power cut; one sync serves every request that waits",
    ),
    row(
        "flush.ms",
        Long,
        LONG_MAX,
        AtLeast(0),
        Honoured,
        "How long a record may wait for a sync, where flush.messages lets it wait.",
    )
    .synonyms(&[same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")]),
    row(
        "follower.replication.throttled.replicas",
        List,
        "",
        ThrottledReplicas,
        Refused(NO_REASSIGNMENT),
        "Replicas whose follower side is throttled.",
    ),
    row(
        "index.interval.bytes",
        Int,
        "4096",
        AtLeast(0),
        Honoured,
        "Bytes of records between two entries of the offset index.",
    )
    .synonyms(&[same("log.index.interval.bytes")]),
    row(
        "leader.replication.throttled.replicas",
        List,
        "",
        ThrottledReplicas,
        Refused(NO_REASSIGNMENT),
        "Replicas whose leader side is throttled.",
    ),
    row(
        "local.retention.bytes",
        Long,
        "-2",
        AtLeast(-2),
        Refused(NO_TIERING),
        "Bytes of a tiered partition that stay on the broker; -2 follows retention.bytes.",
    )
    .synonyms(&[same("log.local.retention.bytes")]),
    row(
        "local.retention.ms",
        Long,
        "-2",
        AtLeast(-2),
        Refused(NO_TIERING),
        "How long records of a tiered partition stay on the broker; -2 follows retention.ms.",
    )
    .synonyms(&[same("log.local.retention.ms")]),
    row(
        "max.compaction.lag.ms",
        Long,
        LONG_MAX,
        AtLeast(1),
        Honoured,
        "A record is compacted at the latest after this time.",
    )
    .synonyms(&[same("log.cleaner.max.compaction.lag.ms")]),
    row(
        "max.message.bytes",
        Int,
        "1048588",
        AtLeast(0),
        Honoured,
        "Largest batch, after compression, that the topic takes.",
    )
    .synonyms(&[same("message.max.bytes")]),
    row(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        AtLeast(0),
        Honoured,
        "A record may be this far ahead of the broker's clock.",
    )
    .synonyms(&[same("log.message.timestamp.after.max.ms")]),
    row(
        "message.timestamp.before.max.ms",
        Long,
        LONG_MAX,
        AtLeast(0),
        Honoured,
        "A record may be this far behind the broker's clock.",
    )
    .synonyms(&[same("log.message.timestamp.before.max.ms")]),
    row(
        "message.timestamp.type",
        String,
        "CreateTime",
        OneOf(&["CreateTime", "LogAppendTime"]),
        Honoured,
        "Whether a record bears its producer's time or the time of its append.",
    )
    .synonyms(&[same("log.message.timestamp.type")]),
    row(
        "message.validation",
        String,
        "batch",
        OneOf(&["batch", "record"]),
        Honoured,
        "How far the records of a produced batch are checked. batch: header and checksum, every record where there \
         is no compression, and the first compressed batch of each connection and codec. record: every record of \
         every batch, inflated first, as Kafka does. Where a topic asks something of each record (a key, a largest \
         age, another codec) all are checked in any case.",
    )
    .synonyms(&[same("log.message.validation")])
    .differs(None, "inflating costs several times what the rest of an append does; see decision 0022"),
    row(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        Ratio,
        Honoured,
        "Share of a log that must be uncompacted before the cleaner works on it.",
    )
    .synonyms(&[same("log.cleaner.min.cleanable.ratio")]),
    row(
        "min.compaction.lag.ms",
        Long,
        "0",
        AtLeast(0),
        Honoured,
        "A record is never compacted before this time.",
    )
    .synonyms(&[same("log.cleaner.min.compaction.lag.ms")]),
    row(
        "min.insync.replicas",
        Int,
        "1",
        AtLeast(1),
        Honoured,
        "Replicas that must be in sync before acks=all is accepted.",
    )
    .synonyms(&[same("min.insync.replicas")]),
    row(
        "preallocate",
        Boolean,
        "false",
        Any,
        Fixed("space is reserved ahead in pieces for every segment; a whole segment at once is not offered"),
        "Reserve a new segment's whole size when it is created.",
    )
    .synonyms(&[same("log.preallocate")]),
    row(
        "remote.log.copy.disable",
        Boolean,
        "false",
        Any,
        Refused(NO_TIERING),
        "Stop copying segments to remote storage.",
    ),
    row(
        "remote.log.delete.on.disable",
        Boolean,
        "false",
        Any,
        Refused(NO_TIERING),
        "Drop what is in remote storage when it is disabled.",
    ),
    row(
        "remote.storage.enable",
        Boolean,
        "false",
        Any,
        Refused(NO_TIERING),
        "Keep old segments in remote storage.",
    ),
    row(
        "retention.bytes",
        Long,
        "-1",
        Any,
        Honoured,
        "Size of a partition above which its oldest segments are removed; -1 is no limit.",
    )
    .synonyms(&[same("log.retention.bytes")]),
    row(
        "retention.ms",
        Long,
        "604800000",
        AtLeast(-1),
        Honoured,
        "Age above which a segment is removed, by the largest timestamp in it; -1 is no limit.",
    )
    .synonyms(&[
        same("log.retention.ms"),
        Synonym { name: "log.retention.minutes", unit: Unit::MinutesToMs },
        Synonym { name: "log.retention.hours", unit: Unit::HoursToMs },
    ]),
    row(
        "segment.bytes",
        Int,
        "1073741824",
        AtLeast(1_048_576),
        Honoured,
        "Size above which a new segment is begun.",
    )
    .synonyms(&[same("log.segment.bytes")]),
    row(
        "segment.index.bytes",
        Int,
        "10485760",
        AtLeast(4),
        Honoured,
        "Size of an index file; a full one begins a new segment.",
    )
    .synonyms(&[same("log.index.size.max.bytes")]),
    row(
        "segment.jitter.ms",
        Long,
        "0",
        AtLeast(0),
        Honoured,
        "Up to this much is taken off segment.ms, so that not all segments roll at once.",
    )
    .synonyms(&[
        same("log.roll.jitter.ms"),
        Synonym { name: "log.roll.jitter.hours", unit: Unit::HoursToMs },
    ]),
    row(
        "segment.ms",
        Long,
        "604800000",
        AtLeast(1),
        Honoured,
        "Age above which a new segment is begun.",
    )
    .synonyms(&[same("log.roll.ms"), Synonym { name: "log.roll.hours", unit: Unit::HoursToMs }]),
    row(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        Any,
        Accepted("every partition has one replica; a leader outside of the in-sync set is never elected"),
        "Whether a replica outside of the in-sync set may lead when no other is left, losing records.",
    )
    .synonyms(&[same("unclean.leader.election.enable")]),
];
