//! What becomes of a produced batch before a log takes it: refused, taken as it is, or rewritten.
//!
//! Two steps. `validate_produced` looks at the header and the checksum. `admit` looks at the records: uncompressed
//! ones are always walked; compressed ones only where the topic asks (`looks_inside`), because inflating them
//! costs more than everything else an append does. A batch is rewritten where Kafka rewrites it: another codec,
//! offset deltas that do not count from 0, a largest timestamp that is not the largest. Pure; memory is bounded by
//! the cap on what a batch may inflate to. Kafka: `LogValidator`.

use std::borrow::Cow;

use super::header::HeaderFields;
use super::walk::{RecordFault, RecordRules, Walk, numbered, walk};
use super::{Attributes, BatchError, BatchView, HEADER_LEN, LOG_OVERHEAD, TimestampType};
use crate::compression::{self, Codec, Level};

/// What a topic makes of produced batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicRules {
    /// What it asks of each record.
    pub records: RecordRules,
    /// `message.timestamp.type`
    pub timestamp_type: TimestampType,
    /// `compression.type`; `None` keeps what the producer chose.
    pub codec: Option<(Codec, Level)>,
    /// Compressed records are walked although nothing else asks for it.
    pub is_strict: bool,
}

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The batch as a whole.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// These records of it; at least one.
    #[error("{} records are refused", .0.len())]
    Records(Vec<(i32, RecordFault)>),
}

impl TopicRules {
    /// Whether the records must be inflated before the batch can be judged or stored. Without compression they
    /// need not be.
    pub fn looks_inside(&self, batch: &BatchView<'_>) -> Result<bool, BatchError> {
        let codec = batch.codec()?;
        if codec == Codec::None {
            return Ok(self.codec.is_some_and(|(target, _)| target != codec));
        }
        let RecordRules { needs_keys, window } = self.records;
        let is_suspect = |window: super::TimestampWindow| {
            window.before_max_ms < i64::MAX || !window.admits(batch.max_timestamp())
        };
        Ok(self.is_strict
            || needs_keys
            || window.is_some_and(is_suspect)
            || batch.timestamp_type() == TimestampType::LogAppendTime
            || self.codec.is_some_and(|(target, _)| target != codec))
    }
}

/// Judges the records of a batch that `validate_produced` has let pass, and gives the bytes to append.
pub fn admit<'a>(
    batch: &BatchView<'a>,
    rules: &TopicRules,
    inflated_bytes_max: usize,
) -> Result<Cow<'a, [u8]>, Refused> {
    let codec = batch.codec()?;
    if codec != Codec::None && !rules.looks_inside(batch)? {
        return Ok(Cow::Borrowed(batch.bytes()));
    }
    let records = compression::decompress(codec, batch.body(), inflated_bytes_max)
        .map_err(|error| Refused::Batch(error.into()))?;
    let seen = walk(batch, &records, &rules.records)?;
    if !seen.faults.is_empty() {
        return Err(Refused::Records(seen.faults));
    }
    Ok(rewritten(batch, rules, &records, &seen)?.map_or(Cow::Borrowed(batch.bytes()), Cow::Owned))
}

/// The batch as it is to be stored, if that is not how it came.
fn rewritten(
    batch: &BatchView<'_>,
    rules: &TopicRules,
    records: &[u8],
    seen: &Walk,
) -> Result<Option<Vec<u8>>, BatchError> {
    let codec = batch.codec()?;
    let (target, level) = rules.codec.unwrap_or((codec, Level::DEFAULT));
    let records = match seen.is_numbered {
        true => Cow::Borrowed(records),
        false => Cow::Owned(numbered(records)?),
    };
    if target != codec || !seen.is_numbered {
        let body = compression::compress_at(target, level, &records)?;
        return Ok(Some(with_body(batch, target, seen.max_timestamp, &body)));
    }
    // With LogAppendTime the log sets both when it appends.
    let is_right = rules.timestamp_type == TimestampType::LogAppendTime
        || (batch.max_timestamp() == seen.max_timestamp
            && batch.timestamp_type() == TimestampType::CreateTime);
    Ok((!is_right).then(|| with_body(batch, codec, seen.max_timestamp, batch.body())))
}

/// The header of `batch` before another body. Producer, sequence, count and base timestamp stay; bits of the
/// attributes that a producer has no say in go.
fn with_body(batch: &BatchView<'_>, codec: Codec, max_timestamp: i64, body: &[u8]) -> Vec<u8> {
    let length = HEADER_LEN.saturating_sub(LOG_OVERHEAD).saturating_add(body.len());
    let fields = HeaderFields {
        base_offset: batch.base_offset().0,
        batch_length: i32::try_from(length).unwrap_or(i32::MAX),
        leader_epoch: batch.partition_leader_epoch().0,
        attributes: (batch.attributes().0 & Attributes::TRANSACTIONAL) | i16::from(codec.id()),
        last_offset_delta: batch.last_offset_delta(),
        base_timestamp: batch.base_timestamp(),
        max_timestamp,
        producer_id: batch.producer_id().0,
        producer_epoch: batch.producer_epoch().0,
        base_sequence: batch.base_sequence(),
        record_count: batch.record_count(),
    };
    let mut bytes = Vec::with_capacity(HEADER_LEN.saturating_add(body.len()));
    bytes.extend_from_slice(&fields.encode(body));
    bytes.extend_from_slice(body);
    bytes
}
