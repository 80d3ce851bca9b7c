//! Why bytes are not a message, and why a message cannot become bytes.
//!
//! Both carry the values that decided, so that one log line tells what a peer sent. `DecodeError` costs the
//! peer its connection; `EncodeError` is a mistake of ours and is answered with UNKNOWN_SERVER_ERROR.

#![allow(missing_docs, reason = "the fields of the variants are explained by their messages")]

/// Bytes that are not what Kafka's protocol demands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A field reaches beyond the end of the bytes.
    #[error("{wanted} bytes wanted, {remaining} left")]
    Truncated { wanted: usize, remaining: usize },
    /// A length below -1, or -1 (null) where null is not allowed.
    #[error("length {length} where {what} must be")]
    InvalidLength { what: &'static str, length: i32 },
    /// More elements are announced than the bytes that follow could hold.
    #[error(
        "an array of {count} elements of at least {element_bytes} bytes is announced, {remaining} bytes left"
    )]
    ArrayTooLong { count: usize, element_bytes: usize, remaining: usize },
    /// The decoded form would need more memory than the frame's length justifies.
    #[error("{wanted} bytes of memory wanted, {left} left of the request's budget")]
    BudgetExceeded { wanted: usize, left: usize },
    /// A string that is not UTF-8.
    #[error("a string of {length} bytes is not UTF-8 after byte {valid_up_to}")]
    InvalidUtf8 { length: usize, valid_up_to: usize },
    /// A varint that does not end within its width.
    #[error("a varint of more than {bits} bits")]
    VarintTooLong { bits: u32 },
    /// A version outside of what the schema defines.
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    /// A type number (API key, record type, frame version) that is not known.
    #[error("unknown {what} {value}")]
    UnknownType { what: &'static str, value: i64 },
    /// Bytes after the end of a message, or of a tagged field, that must have none.
    #[error("{remaining} bytes after the end of {what}")]
    TrailingBytes { what: &'static str, remaining: usize },
}

/// A message that its version cannot express.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A field holds a value, and neither the version has the field nor may it be dropped.
    #[error("{message}.{field} holds a value, but version {version} has no such field")]
    UnsupportedField { message: &'static str, field: &'static str, version: i16 },
    /// Null where the version demands a value.
    #[error("{message}.{field} is null, which version {version} does not allow")]
    NullField { message: &'static str, field: &'static str, version: i16 },
    /// A version outside of what the schema defines.
    #[error("{message} has no version {version}")]
    UnsupportedVersion { message: &'static str, version: i16 },
    /// Longer than its length prefix can say.
    #[error("{what} of {length} is longer than the protocol's limit of {limit}")]
    TooLong { what: &'static str, length: usize, limit: usize },
    /// Record data inside a tagged field cannot be a hole.
    #[error("a hole for record data inside tagged field {tag}")]
    HoleInTaggedField { tag: u32 },
}

impl EncodeError {
    /// A value in a field that `version` does not have.
    pub const fn unsupported(message: &'static str, field: &'static str, version: i16) -> EncodeError {
        EncodeError::UnsupportedField { message, field, version }
    }

    /// Null in a field that `version` demands.
    pub const fn null(message: &'static str, field: &'static str, version: i16) -> EncodeError {
        EncodeError::NullField { message, field, version }
    }
}
