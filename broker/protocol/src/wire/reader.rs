//! `Reader`: takes primitives from the front of borrowed bytes, and never trusts a length.
//!
//! Invariants: nothing is read beyond the end; an array is only allocated when the bytes that follow can hold
//! its elements at their smallest; what arrays allocate is charged to a budget, so that a frame of nested
//! empty elements cannot blow up in memory. Nesting needs no bound of its own: Kafka's schemas do not recurse
//! (the generator refuses one that does), so decoding is as deep as its schema.
//! Called by generated code, the frame header, and the record and batch readers.

use super::{Bytes, DecodeError, Records, Str};
use crate::types::TopicId;

/// The budget that every reader has, however short its bytes are.
const BUDGET_BASE_BYTES: usize = 1 << 20;
/// How many bytes of memory each byte of input adds to the budget.
const BUDGET_PER_BYTE: usize = 8;

/// Kafka refuses longer strings, in the compact form as well.
pub(super) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// A cursor over borrowed bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    budget: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` with the default budget: 1 MiB and 8 bytes per byte of input.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        let budget = bytes.len().saturating_mul(BUDGET_PER_BYTE).saturating_add(BUDGET_BASE_BYTES);
        Reader::with_budget(bytes, budget)
    }

    /// Reads `bytes` and lets arrays allocate at most `budget` bytes in total.
    pub fn with_budget(bytes: &'a [u8], budget: usize) -> Reader<'a> {
        Reader { rest: bytes, budget }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left, without taking it.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes arrays may still allocate.
    pub fn budget_left(&self) -> usize {
        self.budget
    }

    /// Demands that nothing is left after `what`.
    pub fn finish(&self, what: &'static str) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            remaining => Err(DecodeError::TrailingBytes { what, remaining }),
        }
    }

    /// Takes the next `wanted` bytes.
    #[inline]
    pub fn take(&mut self, wanted: usize) -> Result<&'a [u8], DecodeError> {
        let truncated = DecodeError::Truncated { wanted, remaining: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(wanted).ok_or(truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let truncated = DecodeError::Truncated { wanted: N, remaining: self.rest.len() };
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte, true unless it is zero.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.fixed()?))
    }

    /// A signed byte.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.fixed()?))
    }

    /// Two bytes, signed, big-endian like all that follow.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    /// Two bytes, unsigned.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.fixed()?))
    }

    /// Four bytes, signed.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    /// Four bytes, unsigned.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }

    /// Eight bytes, signed.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    /// Eight bytes, IEEE 754.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_be_bytes(self.fixed()?))
    }

    /// Sixteen bytes, Kafka's `uuid`.
    pub fn uuid(&mut self) -> Result<TopicId, DecodeError> {
        Ok(TopicId(self.fixed()?))
    }

    /// An unsigned varint of at most 32 bits: seven bits a byte, lowest first.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        let value = self.uvarlong_of(32)?;
        u32::try_from(value).map_err(|_| DecodeError::VarintTooLong { bits: 32 })
    }

    /// A signed varint of at most 32 bits, zigzag-encoded.
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let zigzag = self.uvarint()?;
        Ok((zigzag >> 1) as i32 ^ (zigzag as i32 & 1).wrapping_neg())
    }

    /// A signed varint of at most 64 bits, zigzag-encoded.
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let zigzag = self.uvarlong_of(64)?;
        Ok((zigzag >> 1) as i64 ^ (zigzag as i64 & 1).wrapping_neg())
    }

    #[inline]
    fn uvarlong_of(&mut self, bits: u32) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        let mut shift = 0_u32;
        loop {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            let shifted = part << shift;
            // The last byte of a 64-bit varint has room for one bit only.
            if shifted >> shift != part {
                return Err(DecodeError::VarintTooLong { bits });
            }
            value |= shifted;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
            shift = shift.saturating_add(7);
            if shift >= bits {
                return Err(DecodeError::VarintTooLong { bits });
            }
        }
    }

    /// The length prefix of a string, array or byte field: `None` for null.
    #[inline]
    fn length(&mut self, flexible: bool, what: &'static str) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize));
        }
        Self::classic_length(self.i32()?, what)
    }

    fn classic_length(length: i32, what: &'static str) -> Result<Option<usize>, DecodeError> {
        match usize::try_from(length) {
            Ok(length) => Ok(Some(length)),
            Err(_) if length == -1 => Ok(None),
            Err(_) => Err(DecodeError::InvalidLength { what, length }),
        }
    }

    /// A string that may be null. Not UTF-8 is an error; Java would put replacement characters.
    pub fn nullable_str(&mut self, flexible: bool) -> Result<Option<Str<'a>>, DecodeError> {
        let length = match flexible {
            true => self.length(true, "a string")?,
            false => Self::classic_length(i32::from(self.i16()?), "a string")?,
        };
        let Some(length) = length else { return Ok(None) };
        if length > STRING_BYTES_MAX {
            let length = i32::try_from(length).unwrap_or(i32::MAX);
            return Err(DecodeError::InvalidLength { what: "a string", length });
        }
        let bytes = self.take(length)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(Str::Borrowed(text))),
            Err(e) => Err(DecodeError::InvalidUtf8 { length, valid_up_to: e.valid_up_to() }),
        }
    }

    /// A string.
    pub fn str(&mut self, flexible: bool) -> Result<Str<'a>, DecodeError> {
        self.nullable_str(flexible)?.ok_or(DecodeError::InvalidLength { what: "a string", length: -1 })
    }

    /// Bytes that may be null.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Bytes<'a>>, DecodeError> {
        match self.length(flexible, "bytes")? {
            Some(length) => Ok(Some(Bytes::Borrowed(self.take(length)?))),
            None => Ok(None),
        }
    }

    /// Bytes.
    pub fn bytes(&mut self, flexible: bool) -> Result<Bytes<'a>, DecodeError> {
        self.nullable_bytes(flexible)?.ok_or(DecodeError::InvalidLength { what: "bytes", length: -1 })
    }

    /// Record data that may be null, not looked into.
    pub fn nullable_records(&mut self, flexible: bool) -> Result<Option<Records<'a>>, DecodeError> {
        Ok(self.nullable_bytes(flexible)?.map(Records::Bytes))
    }

    /// Record data, not looked into.
    pub fn records(&mut self, flexible: bool) -> Result<Records<'a>, DecodeError> {
        self.bytes(flexible).map(Records::Bytes)
    }

    /// An array that may be null. `element_bytes` is the least that one element takes on the wire.
    #[inline]
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        element_bytes: usize,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.length(flexible, "an array")? else { return Ok(None) };
        self.allow_array(count, element_bytes, size_of::<T>())?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(element(self)?);
        }
        Ok(Some(elements))
    }

    /// An array. `element_bytes` is the least that one element takes on the wire.
    #[inline]
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element_bytes: usize,
        element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let null = DecodeError::InvalidLength { what: "an array", length: -1 };
        self.nullable_array(flexible, element_bytes, element)?.ok_or(null)
    }

    /// Whether an array of `count` may be allocated; charges it to the budget.
    fn allow_array(&mut self, count: usize, element_bytes: usize, size: usize) -> Result<(), DecodeError> {
        let remaining = self.rest.len();
        if count.saturating_mul(element_bytes.max(1)) > remaining {
            return Err(DecodeError::ArrayTooLong { count, element_bytes, remaining });
        }
        self.charge(count.saturating_mul(size))
    }

    /// Takes `wanted` bytes of memory from the budget, for allocations a caller makes on behalf of the input.
    pub fn charge(&mut self, wanted: usize) -> Result<(), DecodeError> {
        let left = self.budget;
        self.budget = left.checked_sub(wanted).ok_or(DecodeError::BudgetExceeded { wanted, left })?;
        Ok(())
    }

    /// A struct behind a byte that says whether it is there (negative: null).
    pub fn nullable_struct<T>(
        &mut self,
        value: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.i8()? {
            ..0 => Ok(None),
            _ => value(self).map(Some),
        }
    }

    /// A struct in a tagged field: behind a varint, 0 for null. (Untagged ones have a signed byte.)
    pub fn nullable_tagged_struct<T>(
        &mut self,
        value: impl FnOnce(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.uvarint()? {
            0 => Ok(None),
            _ => value(self).map(Some),
        }
    }

    /// The tagged fields that end a flexible struct. `field` gets a reader that holds the field and no more,
    /// takes all of it and answers true, or takes nothing and answers false: then it is skipped (KIP-482).
    pub fn tags(
        &mut self,
        mut field: impl FnMut(u32, &mut Reader<'a>) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            let size = self.uvarint()?;
            let content = self.take(size as usize)?;
            let after = std::mem::replace(&mut self.rest, content);
            if field(tag, self)? {
                self.finish("a tagged field")?;
            }
            self.rest = after;
        }
        Ok(())
    }

    /// Skips the tagged fields of a struct that knows none.
    #[inline]
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        match self.rest.split_first() {
            Some((0, rest)) => {
                self.rest = rest;
                Ok(())
            }
            _ => self.tags(|_, _| Ok(false)),
        }
    }
}
