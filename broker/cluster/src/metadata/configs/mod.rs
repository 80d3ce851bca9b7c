//! THE table of every topic and broker configuration key: type, default, bounds, meaning, and whether it is acted on.
//!
//! DescribeConfigs lists it, AlterConfigs and CreateTopics validate by it, the log takes its settings from it, and
//! `docs/reference/configs.md` is printed from it. Kafka's names, types and defaults (`LogConfig`,
//! `AbstractKafkaConfig` of 4.3); where ours differ the row says why.
//! The rule of refusal: a key that is not honoured yet is refused when somebody changes it, with words, except
//! where not acting on it is safe.

mod broker_keys;
mod key;
mod reference;
mod resolve;
#[cfg(test)]
mod tests;
mod topic_config;
mod topic_keys;
mod validate;

use std::collections::BTreeMap;

pub use broker_keys::BROKER_KEYS;
pub use key::{Allowed, ConfigKey, ConfigType, Difference, Status, Synonym, Unit};
pub use reference::reference_markdown;
pub use resolve::{
    ConfigSource, Layers, Resolved, SynonymValue, broker_number, resolve_broker, resolve_topic,
};
pub use topic_config::{CleanupPolicy, CompressionType, TimestampType, TopicConfig};
pub use topic_keys::TOPIC_KEYS;
pub use validate::{
    ConfigError, validate_broker_change, validate_file, validate_topic_change, validate_topic_set,
};

/// Names and values as they stand in records, requests and files.
pub type ConfigMap = BTreeMap<String, String>;

/// The row of a topic key.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    find(TOPIC_KEYS, name)
}

/// The row of a broker key.
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    find(BROKER_KEYS, name)
}

fn find(table: &'static [ConfigKey], name: &str) -> Option<&'static ConfigKey> {
    table.binary_search_by(|row| row.name.cmp(name)).ok().map(|at| &table[at])
}
