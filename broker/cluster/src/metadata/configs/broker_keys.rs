//! The rows of broker keys, in name order. Kafka: `AbstractKafkaConfig` (4.3); the last words of a row are ours.
//!
//! A key that gives topics their default is dynamic, because topic settings are resolved anew with every change
//! of the metadata; all others are read when the broker starts.

use super::key::Allowed::{Any, AtLeast, Between, GzipLevel, ListOf, OneOf, Ratio};
use super::key::ConfigKey;
use super::key::ConfigType::{Boolean, Double, Int, List, Long, Short, String};
use super::key::Status::{Accepted, Fixed, Honoured, Refused};

const LONG_MAX: &str = "9223372036854775807";

const ALWAYS_CONTROLLED: &str = "a broker that is asked to stop always stops in order";
const NO_KIP848: &str =
    "the new consumer group protocol is not advertised, and clients fall back to the classic one";
const NO_RATE: &str = "connections are bounded in number, not in rate";
const NO_SECURITY: &str =
    "there is no authorizer; a broker that ignored this would be open where it should not";
const NO_SELECTOR: &str = "consumers read from the leader, the only replica";
const NO_SHARE: &str = "share groups are not advertised";
const NO_TIERING: &str = "there is no remote storage; every record stays on the broker's own disk";
const NO_TXN: &str = "transactions are not advertised";
const ONE_LZ4_LEVEL: &str = "the lz4 encoder here has one level, a fast one; readers see no difference";
const ONE_BROKER: &str = "one broker is the whole cluster; it has nobody to talk to";
const ONE_DIRECTORY: &str = "there is one data directory";
const ONE_REPLICA: &str = "every partition has one replica, which leads";
const ONE_VOTER: &str = "the metadata log has one voter, which leads at once";
const OTHER_THREADS: &str = "threads and buffers are shaped differently here and need no size";
const SPACE_AHEAD: &str =
    "space is reserved ahead in pieces for every segment; a whole segment at once is not offered";

/// Every broker key that is listed.
pub const BROKER_KEYS: &[ConfigKey] = &[
    ConfigKey::new("admin.listeners", List, None, Any, Honoured, "Addresses of the admin HTTP: health, metrics, status.").differs(None, "Kafka has no admin HTTP; without a configuration file it is http://127.0.0.1:9644, with one it opens only where set"),
    ConfigKey::new("advertised.listeners", List, None, Any, Honoured, "Addresses that clients are told to connect to."),
    ConfigKey::new("authorizer.class.name", String, Some(""), Any, Refused(NO_SECURITY), "Class that decides who may do what."),
    ConfigKey::new("auto.create.topics.enable", Boolean, Some("true"), Any, Honoured, "Whether asking for an unknown topic's metadata creates it."),
    ConfigKey::new("auto.leader.rebalance.enable", Boolean, Some("true"), Any, Accepted(ONE_REPLICA), "Whether leadership moves back to the preferred replica by itself."),
    ConfigKey::new("background.threads", Int, Some("10"), AtLeast(1), Accepted(OTHER_THREADS), "Threads for background work."),
    ConfigKey::new("broker.heartbeat.interval.ms", Int, Some("2000"), Any, Accepted(ONE_BROKER), "How often a broker tells the controller that it lives."),
    ConfigKey::new("broker.id", Int, Some("-1"), Any, Honoured, "Older name of node.id."),
    ConfigKey::new("broker.rack", String, None, Any, Honoured, "Rack of this broker, told in metadata and used to spread replicas."),
    ConfigKey::new("broker.session.timeout.ms", Int, Some("9000"), Any, Accepted(ONE_BROKER), "Silence after which the controller fences a broker."),
    ConfigKey::new("cluster.id", String, None, Any, Honoured, "The cluster this broker must belong to; the start is refused over the data of another.").differs(None, "Kafka takes it from a format step; here an empty directory formats itself, and this key guards against a foreign one"),
    ConfigKey::new("compression.gzip.level", Int, Some("-1"), GzipLevel, Honoured, "Level of gzip where the broker compresses; default of the topic key.").dynamic(),
    ConfigKey::new("compression.lz4.level", Int, Some("9"), Between(1, 17), Accepted(ONE_LZ4_LEVEL), "Level of lz4 where the broker compresses; default of the topic key.").dynamic(),
    ConfigKey::new("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Honoured, "Codec of stored batches; default of the topic key.").dynamic(),
    ConfigKey::new("compression.zstd.level", Int, Some("3"), Between(-131_072, 22), Honoured, "Level of zstd where the broker compresses; default of the topic key.").dynamic(),
    ConfigKey::new("connections.max.idle.ms", Long, Some("600000"), Any, Honoured, "A connection that is silent for longer is closed."),
    ConfigKey::new("connections.max.stall.ms", Long, Some("30000"), AtLeast(1), Honoured, "How long a connection that sent a part of a request may send, or get memory for, nothing more.").differs(None, "halves of requests hold memory that others wait for"),
    ConfigKey::new("controlled.shutdown.enable", Boolean, Some("true"), Any, Fixed(ALWAYS_CONTROLLED), "Whether a broker hands over its leadership before it stops."),
    ConfigKey::new("controller.listener.names", List, None, Any, Honoured, "Listeners of the controller role; they are not opened, one process plays both roles."),
    ConfigKey::new("controller.quorum.append.linger.ms", Int, Some("25"), AtLeast(0), Accepted(ONE_VOTER), "How long a leader of the metadata log gathers records before a sync."),
    ConfigKey::new("controller.quorum.auto.join.enable", Boolean, Some("false"), Any, Accepted(ONE_VOTER), "Whether a controller joins the voters by itself."),
    ConfigKey::new("controller.quorum.bootstrap.servers", List, Some(""), Any, Honoured, "Where the controllers are; must name this process."),
    ConfigKey::new("controller.quorum.election.timeout.ms", Int, Some("1000"), AtLeast(0), Accepted(ONE_VOTER), "How long a candidate waits for votes."),
    ConfigKey::new("controller.quorum.fetch.timeout.ms", Int, Some("2000"), AtLeast(0), Accepted(ONE_VOTER), "Silence of the leader after which a voter stands for election."),
    ConfigKey::new("controller.quorum.voters", List, Some(""), Any, Honoured, "The voters of the metadata log; must be this node alone."),
    ConfigKey::new("cordoned.log.dirs", List, Some(""), Any, Refused(ONE_DIRECTORY), "Directories that take no new partitions."),
    ConfigKey::new("default.replication.factor", Int, Some("1"), Any, Honoured, "Replicas of a topic that does not say how many."),
    ConfigKey::new("delete.topic.enable", Boolean, Some("true"), Any, Honoured, "Whether topics may be deleted."),
    ConfigKey::new("fetch.max.bytes", Int, Some("57671680"), AtLeast(1024), Honoured, "Most bytes that one fetch answer carries, whatever the client asks."),
    ConfigKey::new("fetch.replay.cache.bytes", Long, Some("268435456"), AtLeast(0), Honoured, "Most of the page cache that reads of old data may hold.").differs(None, "a replay must not push the newest records, which everybody reads, out of memory"),
    ConfigKey::new("group.consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0), Accepted(NO_KIP848), "Least time between two assignments of a group of the new protocol."),
    ConfigKey::new("group.consumer.assignors", List, Some("uniform,range"), Any, Accepted(NO_KIP848), "Assignors of the new group protocol."),
    ConfigKey::new("group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), Accepted(NO_KIP848), "Heartbeat interval of the new group protocol."),
    ConfigKey::new("group.consumer.migration.policy", String, Some("bidirectional"), OneOf(&["disabled", "downgrade", "upgrade", "bidirectional"]), Accepted(NO_KIP848), "How groups move between the protocols."),
    ConfigKey::new("group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), Accepted(NO_KIP848), "Session timeout of the new group protocol."),
    ConfigKey::new("group.initial.rebalance.delay.ms", Int, Some("3000"), Any, Honoured, "How long an empty group waits for more members before its first assignment."),
    ConfigKey::new("group.max.session.timeout.ms", Int, Some("1800000"), Any, Honoured, "Longest session timeout a member may ask for."),
    ConfigKey::new("group.max.size", Int, Some("2147483647"), AtLeast(1), Honoured, "Most members of one group."),
    ConfigKey::new("group.min.session.timeout.ms", Int, Some("6000"), Any, Honoured, "Shortest session timeout a member may ask for."),
    ConfigKey::new("group.share.delivery.count.limit", Int, Some("5"), Between(2, 10), Accepted(NO_SHARE), "How often a share group tries to deliver a record."),
    ConfigKey::new("group.share.max.size", Int, Some("200"), Between(1, 1000), Accepted(NO_SHARE), "Most members of one share group."),
    ConfigKey::new("group.share.partition.max.record.locks", Int, Some("2000"), Between(100, 10_000), Accepted(NO_SHARE), "Records of a partition that a share group may hold at once."),
    ConfigKey::new("group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 3_600_000), Accepted(NO_SHARE), "How long a share group's member holds a record."),
    ConfigKey::new("inter.broker.listener.name", String, None, Any, Honoured, "Listener that brokers use among themselves."),
    ConfigKey::new("leader.imbalance.check.interval.seconds", Long, Some("300"), AtLeast(1), Accepted(ONE_REPLICA), "How often leadership is balanced."),
    ConfigKey::new("listener.security.protocol.map", String, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), Any, Honoured, "Security protocol of each listener; only PLAINTEXT is served."),
    ConfigKey::new("listeners", List, Some("PLAINTEXT://:9092"), Any, Honoured, "Addresses to listen on.").differs(Some("PLAINTEXT://:9092"), "without a configuration file it is PLAINTEXT://127.0.0.1:9092: nothing is open to the network before somebody wrote so"),
    ConfigKey::new("log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0), Honoured, "How long the cleaner sleeps when there is nothing to clean."),
    ConfigKey::new("log.cleaner.dedupe.buffer.size", Long, Some("33554432"), AtLeast(1_048_576), Honoured, "Memory of the cleaner's maps of keys, all threads together: 24 bytes for each key of a pass. Taken while a log is cleaned, and no more than it needs.").differs(Some("134217728"), "a loaded broker stays under 100 MiB; a log with more keys is cleaned in several passes"),
    ConfigKey::new("log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0), Honoured, "Default of the topic key delete.retention.ms.").dynamic(),
    ConfigKey::new("log.cleaner.enable", Boolean, Some("true"), Any, Honoured, "Whether compacted topics are compacted."),
    ConfigKey::new("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any, Honoured, "How full a map of keys may get, 0.1 to 0.99."),
    ConfigKey::new("log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0), Accepted(OTHER_THREADS), "Memory of the cleaner's buffers."),
    ConfigKey::new("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any, Honoured, "What all cleaner threads may read and write together."),
    ConfigKey::new("log.cleaner.max.compaction.lag.ms", Long, Some(LONG_MAX), AtLeast(1), Honoured, "Default of the topic key max.compaction.lag.ms.").dynamic(),
    ConfigKey::new("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), Ratio, Honoured, "Default of the topic key min.cleanable.dirty.ratio.").dynamic(),
    ConfigKey::new("log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0), Honoured, "Default of the topic key min.compaction.lag.ms.").dynamic(),
    ConfigKey::new("log.cleaner.threads", Int, Some("1"), AtLeast(0), Honoured, "Threads of the cleaner; 0 is none."),
    ConfigKey::new("log.cleanup.policy", List, Some("delete"), ListOf(&["compact", "delete"]), Honoured, "Default of the topic key cleanup.policy.").dynamic(),
    ConfigKey::new("log.dir", List, Some("./data"), Any, Honoured, "Data directory, if log.dirs is not set.").differs(Some("/tmp/kafka-logs"), "a temporary folder would lose records at the next boot"),
    ConfigKey::new("log.dirs", List, Some("./data"), Any, Honoured, "Data directory; this version keeps its data in one.").differs(None, "a temporary folder would lose records at the next boot"),
    ConfigKey::new("log.disk.reserve.bytes", Long, Some("16777216"), AtLeast(0), Honoured, "Room on the disk that produced records never take.").differs(None, "a full disk refuses what is produced and nothing else: topics can be deleted, offsets committed, the broker restarted"),
    ConfigKey::new("log.flush.interval.messages", Long, Some("1"), AtLeast(1), Honoured, "Default of the topic key flush.messages.").dynamic().differs(Some(LONG_MAX), "the broker-wide default of flush.messages"),
    ConfigKey::new("log.flush.interval.ms", Long, None, Any, Honoured, "Default of the topic key flush.ms.").dynamic(),
    ConfigKey::new("log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), Honoured, "How often the recovery points are written."),
    ConfigKey::new("log.flush.scheduler.interval.ms", Long, Some(LONG_MAX), Any, Honoured, "Default of log.flush.interval.ms. Nothing looks for logs from time to time: each is synced when its own flush.ms is over.").dynamic(),
    ConfigKey::new("log.index.interval.bytes", Int, Some("4096"), AtLeast(0), Honoured, "Default of the topic key index.interval.bytes.").dynamic(),
    ConfigKey::new("log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4), Honoured, "Default of the topic key segment.index.bytes.").dynamic(),
    ConfigKey::new("log.local.retention.bytes", Long, Some("-2"), AtLeast(-2), Refused(NO_TIERING), "Default of the topic key local.retention.bytes.").dynamic(),
    ConfigKey::new("log.local.retention.ms", Long, Some("-2"), AtLeast(-2), Refused(NO_TIERING), "Default of the topic key local.retention.ms.").dynamic(),
    ConfigKey::new("log.message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), Honoured, "Default of the topic key message.timestamp.after.max.ms.").dynamic(),
    ConfigKey::new("log.message.timestamp.before.max.ms", Long, Some(LONG_MAX), AtLeast(0), Honoured, "Default of the topic key message.timestamp.before.max.ms.").dynamic(),
    ConfigKey::new("log.message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]), Honoured, "Default of the topic key message.timestamp.type.").dynamic(),
    ConfigKey::new("log.message.validation", String, Some("batch"), OneOf(&["batch", "record"]), Honoured, "Default of the topic key message.validation.").dynamic().differs(None, "inflating costs several times what the rest of an append does; see decision 0022"),
    ConfigKey::new("log.preallocate", Boolean, Some("false"), Any, Fixed(SPACE_AHEAD), "Default of the topic key preallocate.").dynamic(),
    ConfigKey::new("log.retention.bytes", Long, Some("-1"), Any, Honoured, "Default of the topic key retention.bytes.").dynamic(),
    ConfigKey::new("log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1), Honoured, "How often segments are checked against retention."),
    ConfigKey::new("log.retention.hours", Int, Some("168"), Any, Honoured, "Default of the topic key retention.ms, in hours; the weakest of the three.").dynamic(),
    ConfigKey::new("log.retention.minutes", Int, None, Any, Honoured, "Default of the topic key retention.ms, in minutes; stronger than hours.").dynamic(),
    ConfigKey::new("log.retention.ms", Long, None, Any, Honoured, "Default of the topic key retention.ms; the strongest of the three.").dynamic(),
    ConfigKey::new("log.roll.hours", Int, Some("168"), AtLeast(1), Honoured, "Default of the topic key segment.ms, in hours.").dynamic(),
    ConfigKey::new("log.roll.jitter.hours", Int, Some("0"), AtLeast(0), Honoured, "Default of the topic key segment.jitter.ms, in hours.").dynamic(),
    ConfigKey::new("log.roll.jitter.ms", Long, None, Any, Honoured, "Default of the topic key segment.jitter.ms; stronger than hours.").dynamic(),
    ConfigKey::new("log.roll.ms", Long, None, Any, Honoured, "Default of the topic key segment.ms; stronger than hours.").dynamic(),
    ConfigKey::new("log.scrub.interval.ms", Long, Some("604800000"), AtLeast(0), Honoured, "In this time every byte is read once and its checksums compared; 0 = never.").differs(None, "Kafka finds a rotten batch when a consumer reads it, or never"),
    ConfigKey::new("log.scrub.max.bytes.per.second", Long, Some("16777216"), AtLeast(1), Honoured, "Most that the scrubber reads, whatever the interval asks for.").differs(None, "bounds what scrubbing costs"),
    ConfigKey::new("log.segment.bytes", Int, Some("1073741824"), AtLeast(1_048_576), Honoured, "Default of the topic key segment.bytes.").dynamic(),
    ConfigKey::new("log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0), Honoured, "Default of the topic key file.delete.delay.ms.").dynamic(),
    ConfigKey::new("max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0), Refused(NO_RATE), "Most new connections in a second."),
    ConfigKey::new("max.connections", Int, Some("2147483647"), AtLeast(0), Honoured, "Most connections at once."),
    ConfigKey::new("max.connections.per.ip", Int, Some("2147483647"), AtLeast(0), Honoured, "Most connections from one address."),
    ConfigKey::new("max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0), Honoured, "Fetch sessions that are remembered (KIP-227)."),
    ConfigKey::new("message.max.bytes", Int, Some("1048588"), AtLeast(0), Honoured, "Default of the topic key max.message.bytes.").dynamic(),
    ConfigKey::new("metrics.lag.series.max", Int, Some("50000"), AtLeast(0), Honoured, "Most series of consumer group offsets and lag that are exported.").differs(None, "consumer lag is computed by the broker itself; this bounds what a scrape costs"),
    ConfigKey::new("min.insync.replicas", Int, Some("1"), AtLeast(1), Honoured, "Default of the topic key min.insync.replicas.").dynamic(),
    ConfigKey::new("node.id", Int, Some("0"), AtLeast(0), Honoured, "The number of this node, unique in the cluster.").differs(None, "a broker without configuration is node 0"),
    ConfigKey::new("num.io.threads", Int, Some("8"), AtLeast(1), Accepted(OTHER_THREADS), "Threads that work on requests."),
    ConfigKey::new("num.network.threads", Int, Some("3"), AtLeast(1), Accepted(OTHER_THREADS), "Threads that read and write sockets."),
    ConfigKey::new("num.partitions", Int, Some("1"), AtLeast(1), Honoured, "Partitions of a topic that does not say how many."),
    ConfigKey::new("num.recovery.threads.per.data.dir", Int, Some("2"), AtLeast(1), Honoured, "Logs that are recovered at once."),
    ConfigKey::new("num.replica.fetchers", Int, Some("1"), AtLeast(1), Accepted(ONE_REPLICA), "Threads that fetch from one other broker."),
    ConfigKey::new("offset.metadata.max.bytes", Int, Some("4096"), Any, Honoured, "Largest text that may stand beside a committed offset."),
    ConfigKey::new("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), Honoured, "How often expired offsets are looked for."),
    ConfigKey::new("offsets.retention.minutes", Int, Some("10080"), AtLeast(1), Honoured, "How long the offsets of an empty group are kept."),
    ConfigKey::new("offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), Honoured, "Partitions of __consumer_offsets; fixed once it exists."),
    ConfigKey::new("offsets.topic.replication.factor", Short, Some("3"), AtLeast(1), Honoured, "Replicas of __consumer_offsets.").differs(Some("3"), "at most the number of brokers, so that a small cluster can commit offsets"),
    ConfigKey::new("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), Honoured, "Segment size of __consumer_offsets."),
    ConfigKey::new("process.roles", List, Some("broker,controller"), ListOf(&["broker", "controller"]), Honoured, "Roles of this process: broker and controller.").differs(None, "one process plays both roles"),
    ConfigKey::new("producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1), Honoured, "How long an idle producer's sequence numbers are remembered."),
    ConfigKey::new("queued.max.request.bytes", Long, Some("-1"), Any, Honoured, "Memory of all request buffers together.").differs(Some("-1"), "-1 is a quarter of the memory limit: hostile clients cannot take it all"),
    ConfigKey::new("queued.max.requests", Int, Some("500"), AtLeast(1), Accepted(OTHER_THREADS), "Requests that may wait for a thread."),
    ConfigKey::new("replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0), Accepted(ONE_REPLICA), "Bytes of one partition in a follower's fetch."),
    ConfigKey::new("replica.fetch.min.bytes", Int, Some("1"), Any, Accepted(ONE_REPLICA), "Bytes that a follower's fetch waits for."),
    ConfigKey::new("replica.fetch.wait.max.ms", Int, Some("500"), Any, Accepted(ONE_REPLICA), "How long a follower's fetch waits."),
    ConfigKey::new("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any, Honoured, "How often the high watermarks are written."),
    ConfigKey::new("replica.lag.time.max.ms", Long, Some("30000"), Any, Accepted(ONE_REPLICA), "Lag after which a follower leaves the in-sync set."),
    ConfigKey::new("replica.selector.class", String, None, Any, Refused(NO_SELECTOR), "Class that picks the replica a consumer reads from."),
    ConfigKey::new("request.timeout.ms", Int, Some("30000"), Any, Accepted(ONE_BROKER), "How long a broker waits for another's answer."),
    ConfigKey::new("security.inter.broker.protocol", String, Some("PLAINTEXT"), OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Honoured, "Security protocol between brokers; only PLAINTEXT is served."),
    ConfigKey::new("socket.receive.buffer.bytes", Int, Some("102400"), Any, Accepted(OTHER_THREADS), "SO_RCVBUF of each connection; the operating system tunes it."),
    ConfigKey::new("socket.request.max.bytes", Int, Some("104857600"), AtLeast(1), Honoured, "Largest request."),
    ConfigKey::new("socket.send.buffer.bytes", Int, Some("102400"), Any, Accepted(OTHER_THREADS), "SO_SNDBUF of each connection; the operating system tunes it."),
    ConfigKey::new("transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1), Accepted(NO_TXN), "Longest transaction timeout."),
    ConfigKey::new("transaction.partition.verification.enable", Boolean, Some("true"), Any, Accepted(NO_TXN), "Whether a transactional append is checked with the coordinator (KIP-890)."),
    ConfigKey::new("transaction.state.log.min.isr", Int, Some("2"), AtLeast(1), Accepted(NO_TXN), "min.insync.replicas of __transaction_state."),
    ConfigKey::new("transaction.state.log.num.partitions", Int, Some("50"), AtLeast(1), Accepted(NO_TXN), "Partitions of __transaction_state."),
    ConfigKey::new("transaction.state.log.replication.factor", Short, Some("3"), AtLeast(1), Accepted(NO_TXN), "Replicas of __transaction_state."),
    ConfigKey::new("transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1), Accepted(NO_TXN), "How long an idle transactional id is remembered."),
    ConfigKey::new("unclean.leader.election.enable", Boolean, Some("false"), Any, Accepted(ONE_REPLICA), "Default of the topic key unclean.leader.election.enable.").dynamic(),
];
