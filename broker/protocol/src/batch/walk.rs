//! One walk over the records of a produced batch: are they whole, are they numbered, and what does the topic refuse.
//!
//! Keys and values are hopped over, never copied; what is wrong with single records is gathered, at most
//! `FAULTS_MAX` of it, because a producer is told which records are to blame. What Kafka's `LogValidator` and
//! `DefaultRecord.readFrom` check, and with their arithmetic (timestamps wrap).

use super::record::skip_bytes;
use super::varint::{read_varint, read_varlong, write_varlong};
use super::{BatchError, BatchHeader, NO_TIMESTAMP, TimestampType};

/// So many records are named in a refusal; a hostile batch holds a million.
pub const FAULTS_MAX: usize = 1_000;

/// Which timestamps a topic with CreateTime takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampWindow {
    /// The broker's clock.
    pub now_ms: i64,
    /// `message.timestamp.before.max.ms`
    pub before_max_ms: i64,
    /// `message.timestamp.after.max.ms`
    pub after_max_ms: i64,
}

impl TimestampWindow {
    /// Whether a record may bear this timestamp. None at all is always allowed.
    pub fn admits(&self, timestamp: i64) -> bool {
        timestamp == NO_TIMESTAMP
            || (self.now_ms.wrapping_sub(timestamp) <= self.before_max_ms
                && timestamp.wrapping_sub(self.now_ms) <= self.after_max_ms)
    }
}

/// What a topic asks of each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRules {
    /// A compacted topic keeps the last record of each key, so each must have one.
    pub needs_keys: bool,
    /// `None` with LogAppendTime: the producer's timestamps do not count.
    pub window: Option<TimestampWindow>,
}

/// What is wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFault {
    /// The topic is compacted.
    NoKey,
    /// Outside of the window.
    Timestamp(i64),
    /// The batch claims to bear a broker's time; only brokers set that.
    LogAppendTime,
}

/// What a walk has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// -1 if no record has a timestamp.
    pub max_timestamp: i64,
    /// Offset deltas are 0, 1, 2 and so on.
    pub is_numbered: bool,
    /// Record and fault, in order, at most `FAULTS_MAX`.
    pub faults: Vec<(i32, RecordFault)>,
}

/// Walks the decompressed records of a batch. `Err`: they cannot be read, or are not as many as the header says.
pub fn walk(header: &BatchHeader<'_>, records: &[u8], rules: &RecordRules) -> Result<Walk, BatchError> {
    let mut walk = Walk { max_timestamp: NO_TIMESTAMP, is_numbered: true, faults: Vec::new() };
    let append_time = match header.timestamp_type() {
        TimestampType::CreateTime => None,
        TimestampType::LogAppendTime => Some(header.max_timestamp()),
    };
    let mut rest = records;
    for index in 0..header.record_count() {
        let record = hop(&mut rest).map_err(|reason| BatchError::Record { index, reason })?;
        let timestamp = append_time.unwrap_or(header.base_timestamp().wrapping_add(record.timestamp_delta));
        walk.max_timestamp = walk.max_timestamp.max(timestamp);
        walk.is_numbered &= record.offset_delta == index;
        if let Some(fault) = rules.fault(record.has_key, timestamp, append_time.is_some())
            && walk.faults.len() < FAULTS_MAX
        {
            walk.faults.push((index, fault));
        }
    }
    if rest.is_empty() { Ok(walk) } else { Err(BatchError::TrailingBytes { trailing: rest.len() }) }
}

impl RecordRules {
    fn fault(&self, has_key: bool, timestamp: i64, is_append_time: bool) -> Option<RecordFault> {
        if self.needs_keys && !has_key {
            return Some(RecordFault::NoKey);
        }
        match self.window {
            Some(window) if timestamp != NO_TIMESTAMP => {
                (!window.admits(timestamp)).then_some(RecordFault::Timestamp(timestamp))
            }
            _ => is_append_time.then_some(RecordFault::LogAppendTime),
        }
    }
}

/// What a walk needs of one record.
struct Hop {
    timestamp_delta: i64,
    offset_delta: i32,
    has_key: bool,
}

fn hop(rest: &mut &[u8]) -> Result<Hop, &'static str> {
    let mut body = take_record(rest)?;
    let (timestamp_delta, offset_delta) = take_deltas(&mut body)?;
    let has_key = skip_bytes(&mut body).ok_or("its key is cut")?;
    skip_bytes(&mut body).ok_or("its value is cut")?;
    let headers = read_varint(&mut body).ok_or("its header count is cut")?;
    if headers < 0 {
        return Err("its header count is negative");
    }
    for _ in 0..headers {
        let has_name = skip_bytes(&mut body).ok_or("a header name is cut")?;
        if !has_name {
            return Err("a header name is null");
        }
        skip_bytes(&mut body).ok_or("a header value is cut")?;
    }
    if body.is_empty() {
        Ok(Hop { timestamp_delta, offset_delta, has_key })
    } else {
        Err("bytes follow its last header")
    }
}

/// Cuts one record off, without its length.
fn take_record<'r>(rest: &mut &'r [u8]) -> Result<&'r [u8], &'static str> {
    let length = read_varint(rest).ok_or("its length is cut")?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    let (record, after) = rest.split_at_checked(length).ok_or("it is longer than the batch")?;
    *rest = after;
    Ok(record)
}

/// Reads attributes, timestamp delta and offset delta.
fn take_deltas(record: &mut &[u8]) -> Result<(i64, i32), &'static str> {
    let (_attributes, fields) = record.split_first().ok_or("it has no attributes")?;
    *record = fields;
    let timestamp_delta = read_varlong(record).ok_or("its timestamp is cut")?;
    let offset_delta = read_varint(record).ok_or("its offset is cut")?;
    Ok((timestamp_delta, offset_delta))
}

/// The records with offset deltas 0, 1, 2 and so on; all else stays. They have been walked before.
pub(super) fn numbered(records: &[u8]) -> Result<Vec<u8>, BatchError> {
    let (mut output, mut scratch) = (Vec::with_capacity(records.len()), Vec::new());
    let (mut rest, mut index) = (records, 0_i32);
    while !rest.is_empty() {
        let refuse = |reason| BatchError::Record { index, reason };
        let mut record = take_record(&mut rest).map_err(refuse)?;
        let (timestamp_delta, _) = take_deltas(&mut record).map_err(refuse)?;
        scratch.clear();
        scratch.push(0);
        write_varlong(&mut scratch, timestamp_delta);
        write_varlong(&mut scratch, i64::from(index));
        scratch.extend_from_slice(record);
        write_varlong(&mut output, scratch.len() as i64);
        output.extend_from_slice(&scratch);
        index = index.saturating_add(1);
    }
    Ok(output)
}
