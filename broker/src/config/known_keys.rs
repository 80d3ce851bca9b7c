//! Which of Kafka's broker keys this version knows: honoured, or safe to accept without acting on them.
//!
//! Anything else draws one warning at start with the key's name (never its value). Keys that would weaken
//! security if ignored are not here: `security.rs` stops the start for them.

/// Keys that change what this broker does.
const HONOURED: &[&str] = &[
    "admin.listeners",
    "advertised.listeners",
    "auto.create.topics.enable",
    "broker.id",
    "broker.rack",
    "cluster.id",
    "connections.max.idle.ms",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "default.replication.factor",
    "delete.topic.enable",
    "fetch.max.bytes",
    "group.initial.rebalance.delay.ms",
    "group.max.session.timeout.ms",
    "group.max.size",
    "group.min.session.timeout.ms",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.dirs",
    "log.flush.offset.checkpoint.interval.ms",
    "log.retention.check.interval.ms",
    "log.retention.hours",
    "log.retention.minutes",
    "log.roll.hours",
    "log.roll.jitter.hours",
    "max.connections",
    "max.connections.per.ip",
    "max.incremental.fetch.session.cache.slots",
    "metrics.lag.series.max",
    "node.id",
    "num.partitions",
    "num.recovery.threads.per.data.dir",
    "offset.metadata.max.bytes",
    "offsets.retention.check.interval.ms",
    "offsets.retention.minutes",
    "offsets.topic.num.partitions",
    "offsets.topic.replication.factor",
    "offsets.topic.segment.bytes",
    "process.roles",
    "producer.id.expiration.ms",
    "queued.max.request.bytes",
    "replica.high.watermark.checkpoint.interval.ms",
    "security.inter.broker.protocol",
    "socket.request.max.bytes",
];

/// Keys of stock configuration files whose absence of effect harms nobody: sizes of thread pools and buffers
/// that are shaped differently here, and features that have nothing to act on yet.
const ACCEPTED: &[&str] = &[
    "background.threads",
    "controlled.shutdown.enable",
    "num.io.threads",
    "num.network.threads",
    "num.replica.fetchers",
    "queued.max.requests",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "socket.listen.backlog.size",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "transaction.state.log.min.isr",
    "transaction.state.log.num.partitions",
    "transaction.state.log.replication.factor",
];

/// Families of the second kind.
const ACCEPTED_PREFIXES: &[&str] = &["log.cleaner.", "replica.", "group.consumer.", "group.share."];

/// Whether a key needs no warning.
pub fn is_known(key: &str) -> bool {
    HONOURED.binary_search(&key).is_ok()
        || ACCEPTED.binary_search(&key).is_ok()
        || ACCEPTED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || super::topic_synonyms::is_synonym(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_so_that_binary_search_finds_every_key() {
        assert!(HONOURED.is_sorted() && ACCEPTED.is_sorted());
    }

    #[test]
    fn a_misspelt_key_is_not_known() {
        assert!(is_known("log.retention.ms") && is_known("message.max.bytes"));
        assert!(!is_known("log.retention.seconds"));
    }
}
