//! Builds one record batch: for state logs, for the client, and for tests.
//!
//! Records are encoded as they come, compressed once at the end; offsets are implied (0, 1, 2, ... from the
//! base offset). A batch whose records do not shrink is still stored with the codec asked for, as Kafka does.

use super::header::HeaderFields;
use super::varint::write_varlong;
use super::{Attributes, HEADER_LEN, LOG_OVERHEAD, NO_SEQUENCE, NO_TIMESTAMP};
use crate::compression::{self, Codec};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// A batch in the making.
#[derive(Debug, Clone)]
pub struct BatchBuilder {
    codec: Codec,
    fields: HeaderFields,
    body: Vec<u8>,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// An empty batch at offset 0, without producer, with CreateTime.
    pub fn new(codec: Codec) -> BatchBuilder {
        let fields = HeaderFields {
            leader_epoch: -1,
            last_offset_delta: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: NO_SEQUENCE,
            ..HeaderFields::default()
        };
        BatchBuilder { codec, fields, body: Vec::new(), scratch: Vec::new() }
    }

    /// Sets the offset of the first record.
    pub fn base_offset(mut self, offset: Offset) -> BatchBuilder {
        self.fields.base_offset = offset.0;
        self
    }

    /// Sets the epoch of the leader that appends.
    pub fn leader_epoch(mut self, epoch: LeaderEpoch) -> BatchBuilder {
        self.fields.leader_epoch = epoch.0;
        self
    }

    /// Numbers the batch for idempotence.
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> BatchBuilder {
        self.fields.producer_id = id.0;
        self.fields.producer_epoch = epoch.0;
        self.fields.base_sequence = base_sequence;
        self
    }

    /// Marks the batch as part of a transaction.
    pub fn transactional(mut self) -> BatchBuilder {
        self.fields.attributes |= Attributes::TRANSACTIONAL;
        self
    }

    /// Marks the batch as a control batch.
    pub fn control(mut self) -> BatchBuilder {
        self.fields.attributes |= Attributes::CONTROL;
        self
    }

    /// Appends one record. The timestamp is in milliseconds; the first one becomes the base.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> &mut BatchBuilder {
        let offset_delta = self.fields.record_count;
        if offset_delta == 0 {
            self.fields.base_timestamp = timestamp;
        }
        self.fields.max_timestamp = self.fields.max_timestamp.max(timestamp);
        self.fields.last_offset_delta = offset_delta;
        self.fields.record_count = offset_delta.saturating_add(1);

        self.scratch.clear();
        self.scratch.push(0);
        write_varlong(&mut self.scratch, timestamp.saturating_sub(self.fields.base_timestamp));
        write_varlong(&mut self.scratch, i64::from(offset_delta));
        put_bytes(&mut self.scratch, key);
        put_bytes(&mut self.scratch, value);
        write_varlong(&mut self.scratch, headers.len() as i64);
        for (name, content) in headers {
            put_bytes(&mut self.scratch, Some(name.as_bytes()));
            put_bytes(&mut self.scratch, *content);
        }
        write_varlong(&mut self.body, self.scratch.len() as i64);
        self.body.extend_from_slice(&self.scratch);
        self
    }

    /// Whether no record was appended yet.
    pub fn is_empty(&self) -> bool {
        self.fields.record_count == 0
    }

    /// How many records were appended.
    pub fn record_count(&self) -> i32 {
        self.fields.record_count
    }

    /// An upper bound of the batch's size, before compression.
    pub fn estimated_len(&self) -> usize {
        HEADER_LEN.saturating_add(self.body.len())
    }

    /// The finished batch; empty if there are no records. Should the codec fail, the records stay uncompressed.
    pub fn build(mut self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let body = match compression::compress(self.codec, &self.body) {
            Ok(body) => {
                self.fields.attributes |= i16::from(self.codec.id());
                body.into_owned()
            }
            Err(_) => std::mem::take(&mut self.body),
        };
        let length = HEADER_LEN.saturating_sub(LOG_OVERHEAD).saturating_add(body.len());
        self.fields.batch_length = i32::try_from(length).unwrap_or(i32::MAX);
        let mut batch = Vec::with_capacity(HEADER_LEN.saturating_add(body.len()));
        batch.extend_from_slice(&self.fields.encode(&body));
        batch.extend_from_slice(&body);
        batch
    }
}

pub(super) fn put_bytes(output: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_varlong(output, -1),
        Some(bytes) => {
            write_varlong(output, bytes.len() as i64);
            output.extend_from_slice(bytes);
        }
    }
}
