//! Reading and writing the primitives of Kafka's protocol: integers, varints, strings, arrays, tagged fields.
//!
//! Two encodings exist side by side: classic (fixed length prefixes) and, from an API's first *flexible*
//! version on, compact (varint prefixes, KIP-482). Generated code passes `flexible` to say which one holds.
//! A length from the wire is never believed: see [`Reader`]. Lengths to the wire never wrap: see [`Writer`].

mod error;
mod reader;
mod records;
mod writer;

use std::borrow::Cow;

pub use error::{DecodeError, EncodeError};
pub use reader::Reader;
pub use records::Records;
pub use writer::{Encoded, Hole, Writer};

/// A string of a message: borrowed from the frame when decoded, borrowed or owned when built.
pub type Str<'a> = Cow<'a, str>;

/// Bytes of a message, borrowed or owned like [`Str`].
pub type Bytes<'a> = Cow<'a, [u8]>;

/// What every generated message and record schema can do. Generated code implements it; nobody else does.
pub trait Message<'a>: IntoStatic {
    /// The API key of a request or response; the record type of a record schema; -1 where Kafka gives none.
    const API_KEY: i16;
    /// Kafka's name, such as `ProduceRequest`.
    const NAME: &'static str;
    /// The lowest version that this codec, and Kafka 4.3.1, understand.
    const MIN_VERSION: i16;
    /// The highest version that this codec, and Kafka 4.3.1, understand.
    const MAX_VERSION: i16;

    /// Reads the body in `version`. Fields that the version lacks get Kafka's defaults. What follows the body
    /// is left in the reader: call [`Reader::finish`] where nothing may follow.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Writes the body in `version`. A field that the version cannot express is an error unless it holds its
    /// default or Kafka marks it ignorable.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Reads the body and copies what it borrows, for callers that do not keep the frame.
    fn decode_static(r: &mut Reader<'_>, version: i16) -> Result<Self::Static, DecodeError>;

    /// Calls `found` with every error code that the message carries, at the top and inside; 0 included.
    fn for_each_error(&self, _found: &mut dyn FnMut(i16)) {}

    /// Refuses a version that the schema does not define.
    fn check_decode(version: i16) -> Result<(), DecodeError> {
        match (Self::MIN_VERSION..=Self::MAX_VERSION).contains(&version) {
            true => Ok(()),
            false => Err(DecodeError::UnsupportedVersion { message: Self::NAME, version }),
        }
    }

    /// Refuses a version that the schema does not define.
    fn check_encode(version: i16) -> Result<(), EncodeError> {
        match (Self::MIN_VERSION..=Self::MAX_VERSION).contains(&version) {
            true => Ok(()),
            false => Err(EncodeError::UnsupportedVersion { message: Self::NAME, version }),
        }
    }
}

/// A request knows which response answers it.
pub trait Request<'a>: Message<'a> {
    /// The response of the same API.
    type Response: Message<'static> + IntoStatic<Static = Self::Response>;
}

/// What can be freed from the frame it borrows from, by copying what is borrowed.
pub trait IntoStatic: Sized {
    /// The same type without borrows.
    type Static: 'static;

    /// Copies whatever is borrowed.
    fn into_static(self) -> Self::Static;
}

impl IntoStatic for Str<'_> {
    type Static = Str<'static>;

    fn into_static(self) -> Str<'static> {
        Cow::Owned(self.into_owned())
    }
}

impl IntoStatic for Bytes<'_> {
    type Static = Bytes<'static>;

    fn into_static(self) -> Bytes<'static> {
        Cow::Owned(self.into_owned())
    }
}

impl<T: IntoStatic> IntoStatic for Option<T> {
    type Static = Option<T::Static>;

    fn into_static(self) -> Self::Static {
        self.map(T::into_static)
    }
}

impl<T: IntoStatic> IntoStatic for Vec<T> {
    type Static = Vec<T::Static>;

    fn into_static(self) -> Self::Static {
        self.into_iter().map(T::into_static).collect()
    }
}

#[cfg(test)]
mod tests;
