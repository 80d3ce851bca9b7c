//! The broker keys that give topics their defaults, and how each is turned into the topic's own key.
//!
//! Kafka: ServerTopicConfigSynonyms. The first synonym that is set wins; hours and minutes become
//! milliseconds. One key differs from Kafka in its default: `flush.messages` is 1 here. Pure.

use super::properties::Properties;

/// How a synonym's value becomes the topic's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversion {
    Same,
    HoursToMs,
    MinutesToMs,
}

/// One topic key: Kafka's default (ours for `flush.messages`) and its broker synonyms, strongest first.
#[derive(Debug, Clone, Copy)]
pub struct TopicKey {
    pub name: &'static str,
    pub default: &'static str,
    pub synonyms: &'static [(&'static str, Conversion)],
}

use Conversion::{HoursToMs, MinutesToMs, Same};

const fn key(
    name: &'static str,
    default: &'static str,
    synonyms: &'static [(&'static str, Conversion)],
) -> TopicKey {
    TopicKey { name, default, synonyms }
}

const LONG_MAX: &str = "9223372036854775807";

/// Every topic key that the log acts on or that an operator may set, in name order.
pub const TOPIC_KEYS: &[TopicKey] = &[
    key("cleanup.policy", "delete", &[("log.cleanup.policy", Same)]),
    key("compression.gzip.level", "-1", &[("compression.gzip.level", Same)]),
    key("compression.lz4.level", "9", &[("compression.lz4.level", Same)]),
    key("compression.type", "producer", &[("compression.type", Same)]),
    key("compression.zstd.level", "3", &[("compression.zstd.level", Same)]),
    key("delete.retention.ms", "86400000", &[("log.cleaner.delete.retention.ms", Same)]),
    key("file.delete.delay.ms", "60000", &[("log.segment.delete.delay.ms", Same)]),
    key("flush.messages", "1", &[("log.flush.interval.messages", Same)]),
    key("flush.ms", LONG_MAX, &[("log.flush.interval.ms", Same), ("log.flush.scheduler.interval.ms", Same)]),
    key("index.interval.bytes", "4096", &[("log.index.interval.bytes", Same)]),
    key("max.compaction.lag.ms", LONG_MAX, &[("log.cleaner.max.compaction.lag.ms", Same)]),
    key("max.message.bytes", "1048588", &[("message.max.bytes", Same)]),
    key("message.timestamp.after.max.ms", "3600000", &[("log.message.timestamp.after.max.ms", Same)]),
    key("message.timestamp.before.max.ms", LONG_MAX, &[("log.message.timestamp.before.max.ms", Same)]),
    key("message.timestamp.type", "CreateTime", &[("log.message.timestamp.type", Same)]),
    key("min.cleanable.dirty.ratio", "0.5", &[("log.cleaner.min.cleanable.ratio", Same)]),
    key("min.compaction.lag.ms", "0", &[("log.cleaner.min.compaction.lag.ms", Same)]),
    key("min.insync.replicas", "1", &[("min.insync.replicas", Same)]),
    key("preallocate", "false", &[("log.preallocate", Same)]),
    key("retention.bytes", "-1", &[("log.retention.bytes", Same)]),
    key(
        "retention.ms",
        "604800000",
        &[
            ("log.retention.ms", Same),
            ("log.retention.minutes", MinutesToMs),
            ("log.retention.hours", HoursToMs),
        ],
    ),
    key("segment.bytes", "1073741824", &[("log.segment.bytes", Same)]),
    key("segment.index.bytes", "10485760", &[("log.index.size.max.bytes", Same)]),
    key("segment.jitter.ms", "0", &[("log.roll.jitter.ms", Same), ("log.roll.jitter.hours", HoursToMs)]),
    key("segment.ms", "604800000", &[("log.roll.ms", Same), ("log.roll.hours", HoursToMs)]),
    key("unclean.leader.election.enable", "false", &[("unclean.leader.election.enable", Same)]),
];

/// Whether a broker key is the synonym of a topic key.
pub fn is_synonym(broker_key: &str) -> bool {
    TOPIC_KEYS.iter().any(|topic| topic.synonyms.iter().any(|(name, _)| *name == broker_key))
}

/// The row of a topic key.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &TOPIC_KEYS[at])
}

impl TopicKey {
    /// The default that this broker gives: from the first synonym that is set, else the built-in one. A
    /// value that does not convert is passed on as it stands, so that the reader of it can name it.
    pub fn broker_default(&self, broker: &Properties) -> String {
        for (name, conversion) in self.synonyms {
            let Some(value) = super::values::text(broker, name) else { continue };
            let factor: i64 = match conversion {
                Same => return value.to_owned(),
                MinutesToMs => 60_000,
                HoursToMs => 3_600_000,
            };
            return match value.parse::<i64>() {
                // -1 = without limit, in every unit.
                Ok(amount) if amount >= 0 => amount.saturating_mul(factor).to_string(),
                _ => value.to_owned(),
            };
        }
        self.default.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_name_order() {
        assert!(TOPIC_KEYS.is_sorted_by_key(|row| row.name));
    }

    #[test]
    fn the_finest_unit_wins_and_hours_become_milliseconds() {
        let mut broker = Properties::from([("log.retention.hours".to_owned(), "24".to_owned())]);
        let retention = topic_key("retention.ms").unwrap();
        assert_eq!(retention.broker_default(&broker), "86400000");
        broker.insert("log.retention.ms".to_owned(), "5".to_owned());
        assert_eq!(retention.broker_default(&broker), "5");
        assert_eq!(retention.broker_default(&Properties::new()), "604800000");
        let unlimited = Properties::from([("log.retention.hours".to_owned(), "-1".to_owned())]);
        assert_eq!(retention.broker_default(&unlimited), "-1");
    }

    #[test]
    fn a_flush_follows_every_message_unless_the_operator_says_otherwise() {
        assert_eq!(topic_key("flush.messages").unwrap().broker_default(&Properties::new()), "1");
    }
}
