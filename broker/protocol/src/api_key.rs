//! Every API of Kafka 4.3.1: its key, its name, its versions, and which headers its versions carry.
//!
//! The rows are generated (`table.rs`, by `cargo xtask generate`); an oracle test compares them with Kafka's own
//! `ApiKeys`. What this broker *serves* is not here but in its table of handlers: knowing an API is not
//! serving it.

use std::fmt;
use std::ops::RangeInclusive;

macro_rules! api_keys {
    ($($key:literal $name:ident $min:literal..=$max:literal $stability:ident flexible $flexible:expr;)*) => {
        /// An API key.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("`", stringify!($name), "`, versions ", $min, " to ", $max, ", key ", $key, ".")]
            $name = $key,)*
        }

        impl ApiKey {
            /// Every API of Kafka 4.3.1, by ascending key.
            pub const ALL: &'static [ApiKey] = &[$(ApiKey::$name,)*];

            /// Kafka's name, such as `Produce`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ApiKey::$name => stringify!($name),)*
                }
            }

            /// The API with this key; `None` for a key that Kafka 4.3.1 does not know.
            pub const fn from_i16(key: i16) -> Option<ApiKey> {
                match key {
                    $($key => Some(ApiKey::$name),)*
                    _ => None,
                }
            }

            pub(super) const fn row(self) -> super::Row {
                match self {
                    $(ApiKey::$name => super::Row {
                        min: $min,
                        max: $max,
                        unstable: api_keys!(@ $stability),
                        flexible: $flexible,
                    },)*
                }
            }
        }
    };
    (@ stable) => { false };
    (@ unstable) => { true };
}

mod table;

pub use table::ApiKey;

/// One row of the table.
struct Row {
    min: i16,
    max: i16,
    unstable: bool,
    flexible: Option<i16>,
}

impl ApiKey {
    /// The number on the wire.
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// The versions that Kafka 4.3.1 defines, an unstable latest one included. Empty for APIs that Kafka 4.0
    /// removed.
    pub const fn valid_versions(self) -> RangeInclusive<i16> {
        let row = self.row();
        row.min..=row.max
    }

    /// The versions that Kafka 4.3.1 advertises by default: without an unstable latest one.
    pub const fn stable_versions(self) -> RangeInclusive<i16> {
        let row = self.row();
        row.min..=if row.unstable { row.max.saturating_sub(1) } else { row.max }
    }

    /// Whether the highest version may still change and is hidden by default.
    pub const fn latest_version_unstable(self) -> bool {
        self.row().unstable
    }

    /// Whether this version has compact lengths and tagged fields (KIP-482).
    pub const fn is_flexible(self, version: i16) -> bool {
        match self.row().flexible {
            Some(first) => version >= first,
            None => false,
        }
    }

    /// The version of the header before a request of this version.
    pub const fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header before a response of this version.
    pub const fn response_header_version(self, version: i16) -> i16 {
        match self {
            ApiKey::ApiVersions => 0,
            _ if self.is_flexible(version) => 1,
            _ => 0,
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::ApiKey;

    #[test]
    fn keys_and_names_belong_together() {
        for key in ApiKey::ALL {
            assert_eq!(ApiKey::from_i16(key.key()), Some(*key));
        }
        assert_eq!(ApiKey::from_i16(18), Some(ApiKey::ApiVersions));
        assert_eq!(ApiKey::from_i16(-1), None);
        assert_eq!(ApiKey::Produce.to_string(), "Produce");
    }

    #[test]
    fn an_unstable_version_is_known_but_not_stable() {
        assert_eq!(ApiKey::InitProducerId.valid_versions(), 0..=6);
        assert_eq!(ApiKey::InitProducerId.stable_versions(), 0..=5);
    }

    #[test]
    fn an_api_that_kafka_removed_has_no_versions() {
        assert!(ApiKey::LeaderAndIsr.valid_versions().is_empty());
    }
}
