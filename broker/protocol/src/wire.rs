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
pub trait Message<'a>: Sized {
    /// The API key of a request or response; the record type of a record schema; -1 where Kafka gives none.
    const API_KEY: i16;
    /// Kafka's name, such as `ProduceRequest`.
    const NAME: &'static str;
    /// The lowest version that this codec, and Kafka 4.3.1, understand.
    const MIN_VERSION: i16;
    /// The highest version that this codec, and Kafka 4.3.1, understand.
    const MAX_VERSION: i16;

    /// The same message without borrows.
    type Owned: Message<'static>;

    /// Reads the body in `version`. Fields that the version lacks get Kafka's defaults. What follows the body
    /// is left in the reader: call [`Reader::finish`] where nothing may follow.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Writes the body in `version`. A field that the version cannot express is an error unless it holds its
    /// default or Kafka marks it ignorable.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;

    /// Copies whatever is borrowed.
    fn into_owned(self) -> Self::Owned;

    /// Reads the body and copies what it borrows, for callers that do not keep the frame.
    fn decode_owned(r: &mut Reader<'_>, version: i16) -> Result<Self::Owned, DecodeError>;
}

/// A request knows which response answers it.
pub trait Request<'a>: Message<'a> {
    /// The response of the same API.
    type Response: Message<'static>;
}

#[cfg(test)]
mod tests;
