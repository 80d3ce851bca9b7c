//! The record schemas of Kafka's internal topics and files, and how a record says which schema it has.
//!
//! The structs are generated (`cargo xtask generate`), one module per schema, grouped by who writes them:
//! [`group`], [`transaction`], [`metadata`], [`storage`], [`control`], [`consumer`].
//! Coordinators frame keys and values with an `i16` (KIP-915): in a key the record type, whose schema has only
//! version 0; in a value its version. The metadata log frames records with three varints (KIP-631): frame
//! version 1, record type, version. Framed keys and values fill their bytes: trailing bytes are an error.

use crate::wire::{DecodeError, EncodeError, Message, Reader, Writer};

/// The only frame version of the metadata log.
const METADATA_FRAME_VERSION: u32 = 1;

/// The key of a coordinator's record: its type, then the body in version 0.
pub fn encode_key<'a, K: Message<'a>>(key: &K) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    w.i16(K::API_KEY);
    key.encode(&mut w, 0)?;
    Ok(w.into_bytes())
}

/// The value of a coordinator's record: its version, then the body.
pub fn encode_value<'a, V: Message<'a>>(value: &V, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    w.i16(version);
    value.encode(&mut w, version)?;
    Ok(w.into_bytes())
}

/// The type at the front of a coordinator's key.
pub fn key_type(key: &[u8]) -> Result<i16, DecodeError> {
    Reader::new(key).i16()
}

/// A value of the type that the key's record type named: version, then the body.
pub fn decode_value<'a, V: Message<'a>>(value: &'a [u8]) -> Result<V, DecodeError> {
    let mut r = Reader::new(value);
    let version = r.i16()?;
    let decoded = V::decode(&mut r, version)?;
    r.finish(V::NAME)?;
    Ok(decoded)
}

/// A record of the metadata log: frame version, type, version, body.
pub fn encode_metadata<'a, R: Message<'a>>(record: &R, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut w = Writer::new();
    w.uvarint(METADATA_FRAME_VERSION);
    w.uvarint(u32::from(R::API_KEY.unsigned_abs()));
    w.uvarint(u32::from(version.unsigned_abs()));
    record.encode(&mut w, version)?;
    Ok(w.into_bytes())
}

/// Reads the frame of a record of the metadata log and returns its type and version; the body follows.
pub fn decode_metadata_frame(r: &mut Reader<'_>) -> Result<(i16, i16), DecodeError> {
    let frame = r.uvarint()?;
    if frame != METADATA_FRAME_VERSION {
        return Err(DecodeError::UnknownType { what: "metadata frame version", value: i64::from(frame) });
    }
    let (record_type, version) = (r.uvarint()?, r.uvarint()?);
    let small = |value: u32, what: &'static str| {
        i16::try_from(value).map_err(|_| DecodeError::UnknownType { what, value: i64::from(value) })
    };
    Ok((small(record_type, "metadata record type")?, small(version, "metadata record version")?))
}

/// What the three kinds of record enums have in common.
macro_rules! record_enum {
    ($name:ident<$a:lifetime> { $($key:literal => $variant:ident($schema:ty),)* }) => {
        /// Any of this family's schemas for its kind of bytes, told apart by the record type.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs, clippy::large_enum_variant, reason = "a variant is its schema, held by value")]
        pub enum $name<$a> {
            $($variant($schema),)*
        }

        impl<$a> $name<$a> {
            /// The number of the schema.
            pub const fn record_type(&self) -> i16 {
                match self {
                    $($name::$variant(_) => $key,)*
                }
            }

            /// Kafka's name of the schema.
            pub const fn name(&self) -> &'static str {
                match self {
                    $($name::$variant(_) => <$schema as $crate::wire::Message<$a>>::NAME,)*
                }
            }
        }

        impl<$a> $name<$a> {
            /// Reads a body of the given type and version.
            pub fn decode_body(
                record_type: i16,
                version: i16,
                r: &mut $crate::wire::Reader<$a>,
            ) -> Result<$name<$a>, $crate::wire::DecodeError> {
                match record_type {
                    $($key => $crate::wire::Message::decode(r, version).map($name::$variant),)*
                    _ => Err($crate::wire::DecodeError::UnknownType {
                        what: stringify!($name),
                        value: i64::from(record_type),
                    }),
                }
            }
        }

        impl $crate::wire::IntoStatic for $name<'_> {
            type Static = $name<'static>;

            fn into_static(self) -> Self::Static {
                match self {
                    $($name::$variant(record) => {
                        $name::$variant($crate::wire::IntoStatic::into_static(record))
                    })*
                }
            }
        }

        $(impl<$a> From<$schema> for $name<$a> {
            fn from(record: $schema) -> $name<$a> {
                $name::$variant(record)
            }
        })*
    };
}

/// The keys of a coordinator.
macro_rules! coordinator_keys {
    ($name:ident<$a:lifetime> { $($key:literal => $variant:ident($schema:ty),)* }) => {
        $crate::records::record_enum! { $name<$a> { $($key => $variant($schema),)* } }

        impl<$a> $name<$a> {
            /// Reads a whole key: type, then body.
            pub fn decode(key: &$a [u8]) -> Result<$name<$a>, $crate::wire::DecodeError> {
                let mut r = $crate::wire::Reader::new(key);
                let record_type = r.i16()?;
                let decoded = $name::decode_body(record_type, 0, &mut r)?;
                r.finish(stringify!($name))?;
                Ok(decoded)
            }

            /// Writes a whole key: type, then body.
            pub fn encode(&self) -> Result<Vec<u8>, $crate::wire::EncodeError> {
                match self {
                    $($name::$variant(key) => $crate::records::encode_key(key),)*
                }
            }
        }
    };
}

/// The values of a coordinator.
macro_rules! coordinator_values {
    ($name:ident<$a:lifetime> { $($key:literal => $variant:ident($schema:ty),)* }) => {
        $crate::records::record_enum! { $name<$a> { $($key => $variant($schema),)* } }

        impl<$a> $name<$a> {
            /// Reads a whole value, version and body, of the type that its key named.
            pub fn decode(record_type: i16, value: &$a [u8]) -> Result<$name<$a>, $crate::wire::DecodeError> {
                let mut r = $crate::wire::Reader::new(value);
                let version = r.i16()?;
                let decoded = $name::decode_body(record_type, version, &mut r)?;
                r.finish(stringify!($name))?;
                Ok(decoded)
            }

            /// Writes a whole value: version, then body.
            pub fn encode(&self, version: i16) -> Result<Vec<u8>, $crate::wire::EncodeError> {
                match self {
                    $($name::$variant(value) => $crate::records::encode_value(value, version),)*
                }
            }
        }
    };
}

/// The records of the metadata log.
macro_rules! metadata_records {
    ($name:ident<$a:lifetime> { $($key:literal => $variant:ident($schema:ty),)* }) => {
        $crate::records::record_enum! { $name<$a> { $($key => $variant($schema),)* } }

        impl<$a> $name<$a> {
            /// Reads a whole record: frame, then body.
            pub fn decode(record: &$a [u8]) -> Result<$name<$a>, $crate::wire::DecodeError> {
                let mut r = $crate::wire::Reader::new(record);
                let (record_type, version) = $crate::records::decode_metadata_frame(&mut r)?;
                let decoded = $name::decode_body(record_type, version, &mut r)?;
                r.finish(stringify!($name))?;
                Ok(decoded)
            }

            /// Writes a whole record: frame, then body.
            pub fn encode(&self, version: i16) -> Result<Vec<u8>, $crate::wire::EncodeError> {
                match self {
                    $($name::$variant(record) => $crate::records::encode_metadata(record, version),)*
                }
            }

            /// The highest version of the record's schema.
            pub const fn max_version(&self) -> i16 {
                match self {
                    $($name::$variant(_) => <$schema as $crate::wire::Message<$a>>::MAX_VERSION,)*
                }
            }
        }
    };
}

use {coordinator_keys, coordinator_values, metadata_records, record_enum};

pub mod consumer;
pub mod control;
pub mod group;
pub mod metadata;
pub mod storage;
pub mod transaction;
