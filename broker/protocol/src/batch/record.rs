//! The records inside of a batch, decoded one after the other without copying keys or values.
//!
//! A `RecordSet` owns the decompressed bytes (or borrows the batch when there is no compression); records
//! borrow from it. The iterator yields at most as many records as the header counts and ends at the first
//! error. Layout: Kafka's `DefaultRecord`; all integers inside are zigzag varints.

use std::borrow::Cow;

use super::varint::{read_varint, read_varlong};
use super::{BatchError, BatchView, TimestampType};
use crate::types::Offset;

/// The records of one batch, ready to be walked.
#[derive(Debug, Clone)]
pub struct RecordSet<'a> {
    data: Cow<'a, [u8]>,
    base_offset: Offset,
    base_timestamp: i64,
    /// With LogAppendTime the batch's max timestamp holds for each record.
    log_append_time: Option<i64>,
    count: i32,
}

impl<'a> RecordSet<'a> {
    pub(super) fn new(batch: &BatchView<'a>, data: Cow<'a, [u8]>) -> RecordSet<'a> {
        let log_append_time = match batch.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(batch.max_timestamp()),
        };
        RecordSet {
            data,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            log_append_time,
            count: batch.record_count(),
        }
    }

    /// Walks the records.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { set: self, rest: &self.data, index: 0 }
    }

    /// The decompressed bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

impl<'s> IntoIterator for &'s RecordSet<'_> {
    type Item = Result<RecordView<'s>, BatchError>;
    type IntoIter = RecordIter<'s>;

    fn into_iter(self) -> RecordIter<'s> {
        self.iter()
    }
}

/// One record; offset and timestamp are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView<'s> {
    /// Absolute offset.
    pub offset: Offset,
    /// Milliseconds since the epoch; -1 for none.
    pub timestamp: i64,
    /// `None` is Kafka's null.
    pub key: Option<&'s [u8]>,
    /// `None` is Kafka's null, a tombstone on compacted topics.
    pub value: Option<&'s [u8]>,
    /// Names and values that ride along.
    pub headers: Headers<'s>,
}

/// The headers of one record, decoded on demand; already checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'s> {
    rest: &'s [u8],
    count: i32,
}

/// One header: Kafka's keys are UTF-8 by contract, here they stay bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'s> {
    /// Name.
    pub key: &'s [u8],
    /// `None` is Kafka's null.
    pub value: Option<&'s [u8]>,
}

impl<'s> Headers<'s> {
    /// How many there are, and their bytes as they stand in the record.
    pub(super) fn encoded(&self) -> (i32, &'s [u8]) {
        (self.count, self.rest)
    }

    /// How many there are.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'s> Iterator for Headers<'s> {
    type Item = Header<'s>;

    fn next(&mut self) -> Option<Header<'s>> {
        if self.count <= 0 {
            return None;
        }
        self.count = self.count.saturating_sub(1);
        let key = take_bytes(&mut self.rest)??;
        let value = take_bytes(&mut self.rest)?;
        Some(Header { key, value })
    }
}

/// Walks a `RecordSet`.
#[derive(Debug, Clone)]
pub struct RecordIter<'s> {
    set: &'s RecordSet<'s>,
    rest: &'s [u8],
    index: i32,
}

impl<'s> Iterator for RecordIter<'s> {
    type Item = Result<RecordView<'s>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.set.count {
            let trailing = std::mem::take(&mut self.rest).len();
            return (trailing > 0).then_some(Err(BatchError::TrailingBytes { trailing }));
        }
        let index = self.index;
        self.index = self.index.saturating_add(1);
        let record = decode(self.set, &mut self.rest);
        if record.is_err() {
            self.index = self.set.count;
            self.rest = &[];
        }
        Some(record.map_err(|reason| BatchError::Record { index, reason }))
    }
}

fn decode<'s>(set: &RecordSet<'_>, rest: &mut &'s [u8]) -> Result<RecordView<'s>, &'static str> {
    let length = read_varint(rest).ok_or("its length is cut")?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    let (mut body, after) = rest.split_at_checked(length).ok_or("it is longer than the batch")?;
    *rest = after;
    let (_attributes, fields) = body.split_first().ok_or("it has no attributes")?;
    body = fields;
    let timestamp_delta = read_varlong(&mut body).ok_or("its timestamp is cut")?;
    let offset_delta = read_varint(&mut body).ok_or("its offset is cut")?;
    let key = take_bytes(&mut body).ok_or("its key is cut")?;
    let value = take_bytes(&mut body).ok_or("its value is cut")?;
    let header_count = read_varint(&mut body).ok_or("its header count is cut")?;
    let headers = check_headers(body, header_count)?;
    Ok(RecordView {
        offset: Offset(set.base_offset.0.saturating_add(i64::from(offset_delta))),
        timestamp: set.log_append_time.unwrap_or_else(|| set.base_timestamp.wrapping_add(timestamp_delta)),
        key,
        value,
        headers,
    })
}

/// Reads a length and that many bytes. Outer `None`: cut; inner `None`: Kafka's null (any negative length).
fn take_bytes<'s>(input: &mut &'s [u8]) -> Option<Option<&'s [u8]>> {
    let length = read_varint(input)?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let (bytes, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(Some(bytes))
}

/// Hops over a length and that many bytes; false for Kafka's null. `None`: cut.
pub(super) fn skip_bytes(input: &mut &[u8]) -> Option<bool> {
    take_bytes(input).map(|bytes| bytes.is_some())
}

fn check_headers(bytes: &[u8], count: i32) -> Result<Headers<'_>, &'static str> {
    if count < 0 {
        return Err("its header count is negative");
    }
    let mut rest = bytes;
    for _ in 0..count {
        take_bytes(&mut rest).flatten().ok_or("a header name is cut or null")?;
        take_bytes(&mut rest).ok_or("a header value is cut")?;
    }
    if rest.is_empty() { Ok(Headers { rest: bytes, count }) } else { Err("bytes follow its last header") }
}
