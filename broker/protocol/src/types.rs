//! The newtypes that every floor of the broker shares, so that an epoch is never passed where an offset belongs.
//!
//! All are plain values without checks: a negative offset or epoch has a meaning in Kafka's protocol (-1 is
//! "unknown", -2 "earliest"). `TopicId` is also what generated messages use for Kafka's `uuid`; the other
//! fields of generated messages stay raw integers and are wrapped where they enter the domain.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                $name(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> $inner {
                value.0
            }
        }
    };
}

newtype! {
    /// A broker's `node.id`; -1 where there is none.
    BrokerId(i32)
}
newtype! {
    /// The index of a partition inside its topic, from 0.
    PartitionIndex(i32)
}
newtype! {
    /// How many leaders a partition has had (KIP-101); -1 where unknown.
    LeaderEpoch(i32)
}
newtype! {
    /// The id under which an idempotent or transactional producer numbers its records; -1 for none.
    ProducerId(i64)
}
newtype! {
    /// The incarnation of a producer id, by which older incarnations are fenced; -1 for none.
    ProducerEpoch(i16)
}
newtype! {
    /// The position of a record in its partition, from 0.
    Offset(i64)
}

/// Saturates at the ends of `i64`: offsets come from the wire, and an overflow must not wrap into a valid one.
impl Add<i64> for Offset {
    type Output = Offset;

    fn add(self, records: i64) -> Offset {
        Offset(self.0.saturating_add(records))
    }
}

/// The number of offsets between two positions; saturates like the addition.
impl Sub<Offset> for Offset {
    type Output = i64;

    fn sub(self, earlier: Offset) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A topic's id (KIP-516): 128 bits, printed as Kafka prints them, in URL-safe base64 without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TopicId(pub [u8; 16]);

/// The text is not a topic id as Kafka prints it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a topic id: Kafka writes 22 characters of URL-safe base64")]
pub struct ParseTopicIdError {
    /// What was to be parsed.
    pub text: String,
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn write_digit(f: &mut fmt::Formatter<'_>, digit: u128) -> fmt::Result {
    let symbol = BASE64_URL.get(digit as usize).copied().ok_or(fmt::Error)?;
    fmt::Write::write_char(f, char::from(symbol))
}

impl TopicId {
    /// Sixteen zero bytes: "no topic id".
    pub const ZERO: TopicId = TopicId([0; 16]);

    /// The id of `__cluster_metadata`, reserved by Kafka (`Uuid.METADATA_TOPIC_ID`).
    pub const METADATA: TopicId = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// Whether this is `ZERO`.
    pub fn is_zero(&self) -> bool {
        *self == TopicId::ZERO
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = u128::from_be_bytes(self.0);
        for _ in 0..21 {
            bits = bits.rotate_left(6);
            write_digit(f, bits & 63)?;
        }
        // 21 digits took 126 bits: the last two are the upper bits of a digit of their own.
        write_digit(f, (bits >> 126) << 4)?;
        Ok(())
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicId({self})")
    }
}

impl FromStr for TopicId {
    type Err = ParseTopicIdError;

    fn from_str(text: &str) -> Result<TopicId, ParseTopicIdError> {
        let refused = || ParseTopicIdError { text: text.to_owned() };
        let (head, last) = text.as_bytes().split_at_checked(21).ok_or_else(refused)?;
        let [last] = last else { return Err(refused()) };
        let digit = |symbol: u8| BASE64_URL.iter().position(|s| *s == symbol).map(|d| d as u128);
        let mut bits = 0_u128;
        for symbol in head {
            bits = (bits << 6) | digit(*symbol).ok_or_else(refused)?;
        }
        let tail = digit(*last).ok_or_else(refused)?;
        // Only two bits of the last digit belong to the id; Java's decoder refuses the others as well.
        if tail & 15 != 0 {
            return Err(refused());
        }
        Ok(TopicId(((bits << 2) | (tail >> 4)).to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Offset, TopicId};

    #[test]
    fn a_topic_id_is_printed_and_read_as_kafka_does() {
        // From Kafka's own `Uuid.toString`.
        assert_eq!(TopicId::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(TopicId::METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = TopicId([
            0xfb, 0xff, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x11, 0x22, 0x33, 0x44, 0x55, 0xfe,
        ]);
        let text = id.to_string();
        assert_eq!(text.len(), 22);
        assert!(text.starts_with("-_8S"));
        assert_eq!(text.parse(), Ok(id));
    }

    #[test]
    fn a_text_that_is_no_topic_id_is_refused() {
        for text in [
            "",
            "AAAA",
            "AAAAAAAAAAAAAAAAAAAAA!",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "ääääääääää",
        ] {
            assert!(text.parse::<TopicId>().is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_saturate_instead_of_wrapping() {
        assert_eq!(Offset(i64::MAX) + 1, Offset(i64::MAX));
        assert_eq!(Offset(10) - Offset(4), 6);
    }
}
