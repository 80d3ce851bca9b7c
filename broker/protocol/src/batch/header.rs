//! The 61 bytes in front of every batch: accessors, and the two in-place changes that a leader may make.
//!
//! `BatchHeader` can be had from the first 61 bytes alone, so that a log walks a file by headers. All numbers
//! are big-endian; the offsets below are those of Kafka's `DefaultRecordBatch`.

use super::{BatchError, LOG_OVERHEAD, MAGIC, NO_SEQUENCE};
use crate::compression::Codec;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Length of a batch without records.
pub const HEADER_LEN: usize = 61;

const BATCH_LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC_AT: usize = 16;
const CRC: usize = 17;
/// First byte that the CRC covers.
pub(super) const CRC_START: usize = ATTRIBUTES;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORD_COUNT: usize = 57;

/// Who set the timestamps of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer, record by record.
    #[default]
    CreateTime,
    /// The broker: `max_timestamp` holds for every record.
    LogAppendTime,
}

/// The attribute bits of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    pub(super) const TIMESTAMP_TYPE: i16 = 1 << 3;
    pub(super) const TRANSACTIONAL: i16 = 1 << 4;
    pub(super) const CONTROL: i16 = 1 << 5;
    pub(super) const DELETE_HORIZON: i16 = 1 << 6;

    /// Bits 0 to 2, the codec's id.
    pub fn codec_id(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// Bit 3.
    pub fn timestamp_type(self) -> TimestampType {
        if self.0 & Attributes::TIMESTAMP_TYPE == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// Bit 4.
    pub fn is_transactional(self) -> bool {
        self.0 & Attributes::TRANSACTIONAL != 0
    }

    /// Bit 5.
    pub fn is_control(self) -> bool {
        self.0 & Attributes::CONTROL != 0
    }

    /// Bit 6: the base timestamp is the time after which tombstones may go (KIP-534).
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Attributes::DELETE_HORIZON != 0
    }
}

/// The header of a batch, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct BatchHeader<'a> {
    bytes: &'a [u8; HEADER_LEN],
}

impl<'a> BatchHeader<'a> {
    /// Reads a header from the start of `bytes`, which may hold less than the whole batch.
    pub fn parse(bytes: &'a [u8]) -> Result<BatchHeader<'a>, BatchError> {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Truncated { needed: HEADER_LEN, have: bytes.len() });
        };
        let header = BatchHeader { bytes: header };
        if header.magic() != MAGIC {
            return Err(BatchError::Magic(header.magic()));
        }
        if header.batch_length() < (HEADER_LEN - LOG_OVERHEAD) as i32 {
            return Err(BatchError::Length(header.batch_length()));
        }
        Ok(header)
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> Offset {
        Offset(i64::from_be_bytes(self.field(0)))
    }

    /// Bytes that follow the length field; at least 49 once parsed.
    pub fn batch_length(&self) -> i32 {
        i32::from_be_bytes(self.field(BATCH_LENGTH))
    }

    /// Bytes of the whole batch, header included.
    pub fn total_len(&self) -> usize {
        LOG_OVERHEAD.saturating_add(self.batch_length().max(0) as usize)
    }

    /// The epoch of the leader that appended the batch.
    pub fn partition_leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(i32::from_be_bytes(self.field(LEADER_EPOCH)))
    }

    /// 2 once parsed.
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(self.field(MAGIC_AT))
    }

    /// The stored checksum.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.field(CRC))
    }

    /// Codec and flags.
    pub fn attributes(&self) -> Attributes {
        Attributes(i16::from_be_bytes(self.field(ATTRIBUTES)))
    }

    /// How the records are compressed.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let id = self.attributes().codec_id();
        Codec::from_id(id).ok_or(BatchError::Codec(id))
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        self.attributes().timestamp_type()
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes().is_transactional()
    }

    /// Whether the batch holds a control record instead of data.
    pub fn is_control(&self) -> bool {
        self.attributes().is_control()
    }

    /// Offset of the last record, relative to the base offset.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field(LAST_OFFSET_DELTA))
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset().0.saturating_add(i64::from(self.last_offset_delta())))
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// What the records' timestamp deltas are relative to, in milliseconds.
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(BASE_TIMESTAMP))
    }

    /// The largest timestamp of the batch, in milliseconds; -1 for none.
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(MAX_TIMESTAMP))
    }

    /// -1 when the producer is not idempotent.
    pub fn producer_id(&self) -> ProducerId {
        ProducerId(i64::from_be_bytes(self.field(PRODUCER_ID)))
    }

    /// Whether the producer numbers its batches.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id().0 > -1
    }

    /// -1 when the producer is not idempotent.
    pub fn producer_epoch(&self) -> ProducerEpoch {
        ProducerEpoch(i16::from_be_bytes(self.field(PRODUCER_EPOCH)))
    }

    /// After this time, in milliseconds since the epoch, the batch's tombstones and markers may go (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes().has_delete_horizon().then(|| self.base_timestamp())
    }

    /// The sequence of the first record; -1 when the producer is not idempotent.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.field(BASE_SEQUENCE))
    }

    /// The sequence of the last record; wraps from 2^31-1 to 0.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence() == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        increment_sequence(self.base_sequence(), self.last_offset_delta())
    }

    /// How many records the batch says it holds.
    pub fn record_count(&self) -> i32 {
        i32::from_be_bytes(self.field(RECORD_COUNT))
    }

    /// A copy that can be patched.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        *self.bytes
    }
}

/// Kafka's `DefaultRecordBatch.incrementSequence`: 2^31-1 is followed by 0.
fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    let sum = i64::from(sequence).saturating_add(i64::from(increment));
    let wrap = i64::from(i32::MAX).saturating_add(1);
    sum.rem_euclid(wrap) as i32
}

/// Assigns base offset and leader epoch in place. The CRC does not cover them and stays valid.
pub fn patch_offset_and_epoch(header: &mut [u8; HEADER_LEN], base_offset: Offset, epoch: LeaderEpoch) {
    put(header, 0, &base_offset.0.to_be_bytes());
    put(header, LEADER_EPOCH, &epoch.0.to_be_bytes());
}

/// `message.timestamp.type=LogAppendTime`: sets the flag and `max_timestamp`, and computes the CRC anew over
/// the changed header and the unchanged `body`.
pub fn rewrite_for_log_append_time(header: &mut [u8; HEADER_LEN], body: &[u8], now_ms: i64) {
    let attributes = BatchHeader { bytes: header }.attributes().0 | Attributes::TIMESTAMP_TYPE;
    put(header, ATTRIBUTES, &attributes.to_be_bytes());
    put(header, MAX_TIMESTAMP, &now_ms.to_be_bytes());
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(header.get(CRC_START..).unwrap_or_default());
    digest.update(body);
    let crc = digest.finalize() as u32;
    put(header, CRC, &crc.to_be_bytes());
}

fn put<const N: usize>(header: &mut [u8; HEADER_LEN], at: usize, value: &[u8; N]) {
    if let Some(field) = header.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<N>()) {
        *field = *value;
    }
}

/// Every field of a header, for the builder.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeaderFields {
    pub base_offset: i64,
    pub batch_length: i32,
    pub leader_epoch: i32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl HeaderFields {
    /// The header with the CRC over itself and `body`.
    pub fn encode(&self, body: &[u8]) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        put(&mut header, 0, &self.base_offset.to_be_bytes());
        put(&mut header, BATCH_LENGTH, &self.batch_length.to_be_bytes());
        put(&mut header, LEADER_EPOCH, &self.leader_epoch.to_be_bytes());
        put(&mut header, MAGIC_AT, &MAGIC.to_be_bytes());
        put(&mut header, ATTRIBUTES, &self.attributes.to_be_bytes());
        put(&mut header, LAST_OFFSET_DELTA, &self.last_offset_delta.to_be_bytes());
        put(&mut header, BASE_TIMESTAMP, &self.base_timestamp.to_be_bytes());
        put(&mut header, MAX_TIMESTAMP, &self.max_timestamp.to_be_bytes());
        put(&mut header, PRODUCER_ID, &self.producer_id.to_be_bytes());
        put(&mut header, PRODUCER_EPOCH, &self.producer_epoch.to_be_bytes());
        put(&mut header, BASE_SEQUENCE, &self.base_sequence.to_be_bytes());
        put(&mut header, RECORD_COUNT, &self.record_count.to_be_bytes());
        let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        digest.update(header.get(CRC_START..).unwrap_or_default());
        digest.update(body);
        let crc = digest.finalize() as u32;
        put(&mut header, CRC, &crc.to_be_bytes());
        header
    }
}
