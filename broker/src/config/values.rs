//! Typed reads of properties: numbers within a range, booleans, lists; a mistake names key, value and range.
//!
//! Pure. Defaults are Kafka's and stand beside each read in `config.rs`, so that key, default and meaning can
//! be seen in one line there.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::ConfigError;
use super::properties::Properties;

/// The value of `key`, trimmed; an empty value counts as not set.
pub fn text<'a>(properties: &'a Properties, key: &str) -> Option<&'a str> {
    properties.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// A number within `range`, or `default` where the key is not set.
pub fn number<N>(
    properties: &Properties,
    key: &str,
    default: N,
    range: RangeInclusive<N>,
) -> Result<N, ConfigError>
where
    N: FromStr + PartialOrd + Display + Copy,
{
    let Some(value) = text(properties, key) else { return Ok(default) };
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            Err(ConfigError::invalid(key, value, expected))
        }
    }
}

/// `true` or `false` in any case, as Kafka reads them.
pub fn boolean(properties: &Properties, key: &str, default: bool) -> Result<bool, ConfigError> {
    match text(properties, key).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(ConfigError::invalid(key, other, "true or false")),
    }
}

/// The entries of a comma-separated list, trimmed, empty ones dropped.
pub fn list(properties: &Properties, key: &str) -> Vec<String> {
    let value = text(properties, key).unwrap_or("");
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_or_not_a_number_says_key_value_and_range() {
        let properties = Properties::from([("num.partitions".to_owned(), "0".to_owned())]);
        let sentence = number(&properties, "num.partitions", 1, 1..=10_000).unwrap_err().to_string();
        assert_eq!(sentence, "num.partitions=0 is not valid: expected a number from 1 to 10000");
        assert_eq!(number(&properties, "other", 7, 1..=10).unwrap(), 7);
        assert!(boolean(&properties, "num.partitions", true).is_err());
    }
}
