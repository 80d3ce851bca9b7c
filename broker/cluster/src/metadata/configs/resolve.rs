//! Which value a key has, and where it comes from: topic override, dynamic broker config, file, default.
//!
//! For a topic key the synonyms count before the layers: `log.retention.ms` in the file beats
//! `log.retention.hours` set dynamically, as in Kafka, where the layers are merged first and the finest unit is
//! read then. Pure; used by DescribeConfigs and by whoever opens a log. Kafka: `ConfigHelper`, `DynamicBrokerConfig`.

use super::key::{ConfigKey, Synonym, Unit};
use super::{ConfigMap, broker_key};

/// Where a value comes from; the number is the one of DescribeConfigs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    DynamicTopicConfig = 1,
    DynamicBrokerConfig = 2,
    DynamicDefaultBrokerConfig = 3,
    StaticBrokerConfig = 4,
    DefaultConfig = 5,
}

impl ConfigSource {
    /// The number on the wire.
    pub const fn code(self) -> i8 {
        self as i8
    }
}

/// One layer's value of one key; DescribeConfigs lists them all, strongest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynonymValue {
    pub name: &'static str,
    pub value: String,
    pub source: ConfigSource,
}

/// The value that counts, with everything that it overrides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    pub value: Option<String>,
    pub source: ConfigSource,
    pub synonyms: Vec<SynonymValue>,
}

/// The maps to look into. An empty map is a layer without values.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Overrides of the topic.
    pub topic: &'a ConfigMap,
    /// Dynamic values of this broker.
    pub broker: &'a ConfigMap,
    /// Dynamic values of all brokers.
    pub cluster: &'a ConfigMap,
    /// `server.properties` and the command line.
    pub file: &'a ConfigMap,
}

impl Layers<'_> {
    /// The values of one broker key, strongest layer first, the default last.
    fn of_broker_key(&self, name: &'static str) -> Vec<SynonymValue> {
        let layers = [
            (self.broker, ConfigSource::DynamicBrokerConfig),
            (self.cluster, ConfigSource::DynamicDefaultBrokerConfig),
            (self.file, ConfigSource::StaticBrokerConfig),
        ];
        let set = layers.into_iter().filter_map(|(layer, source)| {
            layer.get(name).map(|value| SynonymValue { name, value: value.clone(), source })
        });
        let default = broker_key(name).and_then(|row| row.default);
        let default = default.map(|value| SynonymValue {
            name,
            value: value.to_owned(),
            source: ConfigSource::DefaultConfig,
        });
        set.chain(default).collect()
    }
}

/// The value of a broker key.
pub fn resolve_broker(key: &ConfigKey, layers: &Layers<'_>) -> Resolved {
    let synonyms = layers.of_broker_key(key.name);
    match synonyms.first() {
        Some(first) => Resolved { value: Some(first.value.clone()), source: first.source, synonyms },
        None => Resolved { value: None, source: ConfigSource::DefaultConfig, synonyms },
    }
}

/// The value of a topic key, in the topic key's unit.
pub fn resolve_topic(key: &ConfigKey, layers: &Layers<'_>) -> Resolved {
    let mut synonyms = Vec::new();
    if let Some(value) = layers.topic.get(key.name) {
        let source = ConfigSource::DynamicTopicConfig;
        synonyms.push(SynonymValue { name: key.name, value: value.clone(), source });
    }
    let mut inherited = None;
    for synonym in key.synonyms {
        let values = layers.of_broker_key(synonym.name);
        if let (None, Some(first)) = (&inherited, values.first()) {
            inherited = Some(convert(&first.value, synonym));
        }
        synonyms.extend(values);
    }
    let own = layers.topic.get(key.name).cloned();
    let value = own.or(inherited).or(key.default.map(str::to_owned));
    let source = synonyms.first().map_or(ConfigSource::DefaultConfig, |first| first.source);
    Resolved { value, source, synonyms }
}

/// A broker key's value as a number: the strongest layer that holds a number, else the default.
pub fn broker_number(name: &'static str, layers: &Layers<'_>) -> Option<i64> {
    layers.of_broker_key(name).iter().find_map(|layer| layer.value.trim().parse().ok())
}

/// Hours and minutes become milliseconds; a negative amount is "no limit" in every unit.
fn convert(value: &str, synonym: &Synonym) -> String {
    let factor = match synonym.unit {
        Unit::Same => return value.to_owned(),
        Unit::MinutesToMs => 60_000,
        Unit::HoursToMs => 3_600_000,
    };
    match value.trim().parse::<i64>() {
        Ok(amount) if amount < 0 => "-1".to_owned(),
        Ok(amount) => amount.saturating_mul(factor).to_string(),
        Err(_) => value.to_owned(),
    }
}
