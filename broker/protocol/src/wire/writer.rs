//! `Writer`: appends primitives to a growing buffer and keeps the holes that record data will fill.
//!
//! Invariants: a length prefix always says what follows it, holes included; what a prefix cannot say is an
//! error, never a wrapped number. `Writer::frame` begins a response or request on the wire: the first four
//! bytes become the size of all that follows. Called by generated code, frame headers and record writers.

use super::reader::STRING_BYTES_MAX;
use super::{EncodeError, Records};
use crate::types::TopicId;

/// Where record data goes that was left out of `Encoded::bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// How many of the bytes come before it. Two holes may share a position; then their order counts.
    pub position: usize,
    /// How many bytes it takes on the wire.
    pub len: u32,
}

/// A finished message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// Everything but the record data behind holes.
    pub bytes: Vec<u8>,
    /// By ascending position.
    pub holes: Vec<Hole>,
}

impl Encoded {
    /// The length on the wire, holes filled.
    pub fn wire_len(&self) -> usize {
        self.holes.iter().fold(self.bytes.len(), |sum, hole| sum.saturating_add(hole.len as usize))
    }
}

/// A buffer under construction.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
    framed: bool,
}

/// How many bytes the size of a frame takes.
const FRAME_SIZE_BYTES: usize = 4;

impl Writer {
    /// A bare writer: for record schemas and for anything that is not a frame.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A bare writer that does not grow before `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(capacity), ..Writer::default() }
    }

    /// Begins a frame in an empty or reused buffer; `finish` puts its size into the first four bytes.
    pub fn frame(mut buffer: Vec<u8>) -> Writer {
        buffer.clear();
        buffer.extend_from_slice(&[0; FRAME_SIZE_BYTES]);
        Writer { bytes: buffer, holes: Vec::new(), framed: true }
    }

    /// Ends the message, and of a frame sets its size.
    pub fn finish(self) -> Result<Encoded, EncodeError> {
        let mut encoded = Encoded { bytes: self.bytes, holes: self.holes };
        if self.framed {
            let length = encoded.wire_len().saturating_sub(FRAME_SIZE_BYTES);
            let size = i32::try_from(length).map_err(|_| too_long("a frame", length, i32::MAX as usize))?;
            if let Some(prefix) = encoded.bytes.first_chunk_mut::<FRAME_SIZE_BYTES>() {
                *prefix = size.to_be_bytes();
            }
        }
        Ok(encoded)
    }

    /// The bytes written, without holes and without setting a frame's size: for record keys and values.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes written so far, holes left out.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes were written so far, holes left out.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes as they are, without a prefix.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte: 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// A signed byte.
    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes, signed, big-endian like all that follow.
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes, signed.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes, unsigned.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    /// Sixteen bytes, Kafka's `uuid`.
    pub fn uuid(&mut self, value: TopicId) {
        self.raw(&value.0);
    }

    /// An unsigned varint.
    pub fn uvarint(&mut self, value: u32) {
        self.uvarlong(u64::from(value));
    }

    /// A signed varint, zigzag-encoded.
    pub fn varint(&mut self, value: i32) {
        self.uvarint(((value << 1) ^ (value >> 31)) as u32);
    }

    /// A signed varint of up to 64 bits, zigzag-encoded.
    pub fn varlong(&mut self, value: i64) {
        self.uvarlong(((value << 1) ^ (value >> 63)) as u64);
    }

    #[inline]
    fn uvarlong(&mut self, mut value: u64) {
        while value > 0x7f {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// The length prefix of an array or of bytes.
    fn length(&mut self, flexible: bool, what: &'static str, length: usize) -> Result<(), EncodeError> {
        let limit = i32::MAX as usize;
        // `i32::MAX` itself would not fit with the one that the compact form adds; nothing is that long.
        let prefix = i32::try_from(length).ok().and_then(|l| l.checked_add(1));
        let prefix = prefix.ok_or_else(|| too_long(what, length, limit))?;
        match flexible {
            true => self.uvarint(prefix.unsigned_abs()),
            false => self.i32(prefix.wrapping_sub(1)),
        }
        Ok(())
    }

    fn null(&mut self, flexible: bool) {
        match flexible {
            true => self.u8(0),
            false => self.i32(-1),
        }
    }

    /// A string: at most 32767 bytes in either form, as in Kafka.
    pub fn str(&mut self, flexible: bool, value: &str) -> Result<(), EncodeError> {
        let too_long = |_| too_long("a string", value.len(), STRING_BYTES_MAX);
        let length = i16::try_from(value.len()).map_err(too_long)?;
        match flexible {
            true => self.uvarint(u32::from(length.unsigned_abs()).saturating_add(1)),
            false => self.i16(length),
        }
        self.raw(value.as_bytes());
        Ok(())
    }

    /// A string that may be null.
    pub fn nullable_str(&mut self, flexible: bool, value: Option<&str>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.str(flexible, value)?,
            None if flexible => self.u8(0),
            None => self.i16(-1),
        }
        Ok(())
    }

    /// Bytes.
    pub fn bytes(&mut self, flexible: bool, value: &[u8]) -> Result<(), EncodeError> {
        self.length(flexible, "bytes", value.len())?;
        self.raw(value);
        Ok(())
    }

    /// Bytes that may be null.
    pub fn nullable_bytes(&mut self, flexible: bool, value: Option<&[u8]>) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.bytes(flexible, value)?,
            None => self.null(flexible),
        }
        Ok(())
    }

    /// Record data, or a hole where it will be.
    pub fn records(&mut self, flexible: bool, value: &Records<'_>) -> Result<(), EncodeError> {
        match value {
            Records::Bytes(bytes) => self.bytes(flexible, bytes),
            Records::Hole(len) => {
                self.length(flexible, "record data", *len as usize)?;
                self.holes.push(Hole { position: self.bytes.len(), len: *len });
                Ok(())
            }
        }
    }

    /// Record data that may be null, or a hole where it will be.
    pub fn nullable_records(
        &mut self,
        flexible: bool,
        value: Option<&Records<'_>>,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => self.records(flexible, value)?,
            None => self.null(flexible),
        }
        Ok(())
    }

    /// An array.
    #[inline]
    pub fn array<T>(
        &mut self,
        flexible: bool,
        elements: &[T],
        mut element: impl FnMut(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.length(flexible, "an array", elements.len())?;
        elements.iter().try_for_each(|value| element(self, value))
    }

    /// An array that may be null.
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        elements: Option<&[T]>,
        element: impl FnMut(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match elements {
            Some(elements) => self.array(flexible, elements, element)?,
            None => self.null(flexible),
        }
        Ok(())
    }

    /// An array of plain values: `w.values(flexible, &ids, Writer::i32)`.
    #[inline]
    pub fn values<T: Copy>(
        &mut self,
        flexible: bool,
        values: &[T],
        value: impl Fn(&mut Writer, T),
    ) -> Result<(), EncodeError> {
        self.length(flexible, "an array", values.len())?;
        values.iter().for_each(|v| value(self, *v));
        Ok(())
    }

    /// An array of plain values that may be null.
    #[inline]
    pub fn nullable_values<T: Copy>(
        &mut self,
        flexible: bool,
        values: Option<&[T]>,
        value: impl Fn(&mut Writer, T),
    ) -> Result<(), EncodeError> {
        match values {
            Some(values) => self.values(flexible, values, value)?,
            None => self.null(flexible),
        }
        Ok(())
    }

    /// A struct behind a byte that says whether it is there.
    pub fn nullable_struct<T>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        match value {
            Some(value) => {
                self.i8(1);
                write(self, value)?;
            }
            None => self.i8(-1),
        }
        Ok(())
    }

    /// A struct in a tagged field: behind a varint, 0 for null. (Untagged ones have a signed byte.)
    pub fn nullable_tagged_struct<T>(
        &mut self,
        value: Option<&T>,
        write: impl FnOnce(&mut Writer, &T) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.bool(value.is_some());
        value.map_or(Ok(()), |value| write(self, value))
    }

    /// How many tagged fields follow: those that hold something.
    pub fn tag_count(&mut self, present: &[bool]) {
        self.uvarint(present.iter().map(|p| u32::from(*p)).sum());
    }

    /// One tagged field: its tag, its size, its content.
    pub fn tagged(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.uvarint(tag);
        let start = self.bytes.len();
        let holes = self.holes.len();
        content(self)?;
        if self.holes.len() != holes {
            return Err(EncodeError::HoleInTaggedField { tag });
        }
        // The size comes before the content and has a width of its own: written last, then moved forward.
        let length = self.bytes.len().saturating_sub(start);
        let size =
            u32::try_from(length).map_err(|_| too_long("a tagged field", length, u32::MAX as usize))?;
        let end = self.bytes.len();
        self.uvarint(size);
        let width = self.bytes.len().saturating_sub(end);
        if let Some(field) = self.bytes.get_mut(start..) {
            field.rotate_right(width);
        }
        Ok(())
    }
}

fn too_long(what: &'static str, length: usize, limit: usize) -> EncodeError {
    EncodeError::TooLong { what, length, limit }
}
