//! Whether a value may be set: its type, its bounds, and whether this version acts on the key.
//!
//! The sentences are Kafka's (`ConfigDef`, `LogConfig`, `DynamicBrokerConfig`) where Kafka refuses too, because
//! tools print them; the refusals of keys that are not honoured are ours.

use std::collections::BTreeSet;

use thiserror::Error;

use super::key::{Allowed, ConfigKey, ConfigType, Status};
use super::{ConfigMap, broker_key, topic_key};

/// Why a setting is refused. The wire's code is always INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("Unknown topic config name: {name}")]
    UnknownTopicKey { name: String },
    #[error("Unknown broker config name: {name}")]
    UnknownBrokerKey { name: String },
    #[error("Cannot update these configs dynamically: Set({name})")]
    NotDynamic { name: String },
    #[error("Invalid value {value} for configuration {name}: {why}")]
    Invalid { name: String, value: String, why: String },
    #[error("{name} cannot be set to {value}: {why}")]
    NotHonoured { name: String, value: String, why: &'static str },
    #[error("conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})")]
    CompactionLag { min: i64, max: i64 },
}

/// One change of a topic's own settings.
pub fn validate_topic_change(name: &str, value: &str) -> Result<(), ConfigError> {
    let key = topic_key(name).ok_or_else(|| ConfigError::UnknownTopicKey { name: name.to_owned() })?;
    validate_value(key, value)
}

/// What must hold between the settings of one topic, after a change.
pub fn validate_topic_set(set: &ConfigMap) -> Result<(), ConfigError> {
    let number = |name: &str| {
        let default = topic_key(name).and_then(|key| key.default);
        set.get(name).map(String::as_str).or(default).and_then(|value| value.trim().parse::<i64>().ok())
    };
    match (number("min.compaction.lag.ms"), number("max.compaction.lag.ms")) {
        (Some(min), Some(max)) if min > max => Err(ConfigError::CompactionLag { min, max }),
        _ => Ok(()),
    }
}

/// One change of a broker's settings while it runs.
pub fn validate_broker_change(name: &str, value: &str) -> Result<(), ConfigError> {
    let key = broker_key(name).ok_or_else(|| ConfigError::UnknownBrokerKey { name: name.to_owned() })?;
    if !key.dynamic {
        return Err(ConfigError::NotDynamic { name: name.to_owned() });
    }
    validate_value(key, value)
}

/// What is wrong with a configuration file: values that cannot be read, and values that nobody acts on. Keys that
/// are not in the table are somebody else's to judge.
pub fn validate_file(file: &ConfigMap) -> Vec<ConfigError> {
    let judged = file.iter().filter_map(|(name, value)| validate_value(broker_key(name)?, value).err());
    judged.collect()
}

fn validate_value(key: &ConfigKey, value: &str) -> Result<(), ConfigError> {
    let trimmed = value.trim();
    check_type(key, trimmed)
        .and_then(|()| check_allowed(key, trimmed))
        .map_err(|why| ConfigError::Invalid { name: key.name.to_owned(), value: value.to_owned(), why })?;
    match key.status {
        Status::Honoured | Status::Accepted(_) => Ok(()),
        Status::Fixed(_) | Status::Refused(_) if is_default(key, trimmed) => Ok(()),
        Status::Fixed(why) | Status::Refused(why) => {
            Err(ConfigError::NotHonoured { name: key.name.to_owned(), value: value.to_owned(), why })
        }
    }
}

/// Setting the default is no change. Compared as values, so that `007` is `7` and `TRUE` is `true`.
fn is_default(key: &ConfigKey, value: &str) -> bool {
    let Some(default) = key.default else { return false };
    match key.kind {
        ConfigType::Int | ConfigType::Short | ConfigType::Long => {
            value.parse::<i64>() == default.parse::<i64>()
        }
        ConfigType::Boolean => value.eq_ignore_ascii_case(default),
        _ => value == default,
    }
}

fn check_type(key: &ConfigKey, value: &str) -> Result<(), String> {
    let fits = match key.kind {
        ConfigType::Boolean => {
            let known = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
            return if known { Ok(()) } else { Err("Expected value to be either true or false".to_owned()) };
        }
        ConfigType::Int => value.parse::<i32>().is_ok(),
        ConfigType::Short => value.parse::<i16>().is_ok(),
        ConfigType::Long => value.parse::<i64>().is_ok(),
        ConfigType::Double => value.parse::<f64>().is_ok_and(f64::is_finite),
        ConfigType::String | ConfigType::List | ConfigType::Class | ConfigType::Password => true,
    };
    if fits { Ok(()) } else { Err(format!("Not a number of type {}", key.kind.name())) }
}

fn check_allowed(key: &ConfigKey, value: &str) -> Result<(), String> {
    match key.allowed {
        Allowed::Any => Ok(()),
        Allowed::AtLeast(least) => at_least(value, least),
        Allowed::Between(least, most) => at_least(value, least).and_then(|()| at_most(value, most)),
        Allowed::Ratio => match value.parse::<f64>() {
            Ok(ratio) if ratio < 0.0 => Err("Value must be at least 0".to_owned()),
            Ok(ratio) if ratio > 1.0 => Err("Value must be no more than 1".to_owned()),
            _ => Ok(()),
        },
        Allowed::OneOf(words) if words.contains(&value) => Ok(()),
        Allowed::OneOf(words) => Err(format!("String must be one of: {}", words.join(", "))),
        Allowed::ListOf(words) => list_of(key.name, value, words),
        Allowed::GzipLevel => match value.parse::<i64>() {
            Ok(-1 | 1..=9) => Ok(()),
            _ => Err("Value must be between 1 and 9 or equal to -1".to_owned()),
        },
        Allowed::ThrottledReplicas if throttled_replicas(value) => Ok(()),
        Allowed::ThrottledReplicas => {
            Err("must be the literal '*' or a list of replicas in the following format: \
             [partitionId]:[brokerId],[partitionId]:[brokerId],..."
                .to_owned())
        }
    }
}

fn at_least(value: &str, least: i64) -> Result<(), String> {
    match value.parse::<i64>() {
        Ok(number) if number < least => Err(format!("Value must be at least {least}")),
        _ => Ok(()),
    }
}

fn at_most(value: &str, most: i64) -> Result<(), String> {
    match value.parse::<i64>() {
        Ok(number) if number > most => Err(format!("Value must be no more than {most}")),
        _ => Ok(()),
    }
}

fn list_of(name: &str, value: &str, words: &[&str]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for element in value.split(',').map(str::trim).filter(|_| !value.is_empty()) {
        if !words.contains(&element) {
            return Err(format!("String must be one of: {}", words.join(", ")));
        }
        if !seen.insert(element) {
            return Err(format!("Configuration '{name}' values must not be duplicated."));
        }
    }
    Ok(())
}

fn throttled_replicas(value: &str) -> bool {
    let pair = |text: &str| {
        text.split_once(':')
            .is_some_and(|(p, b)| p.trim().parse::<u32>().is_ok() && b.trim().parse::<u32>().is_ok())
    };
    value.is_empty() || value == "*" || value.split(',').all(pair)
}
