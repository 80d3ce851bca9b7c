//! A stored batch with some of its records taken out, as compaction leaves it.
//!
//! Offsets do not move: base offset, last offset delta, producer, sequence and leader epoch are those of the
//! original, so that the producer's last sequence can still be read from the header. The codec and the
//! timestamp type stay too; count, largest timestamp and CRC are new. With a delete horizon the base timestamp
//! *is* the horizon, flagged in the attributes (KIP-534). Called by storage's cleaner. Kafka: `MemoryRecords.filterTo`.

use super::builder::put_bytes;
use super::header::HeaderFields;
use super::varint::write_varlong;
use super::{
    Attributes, BatchError, BatchHeader, BatchView, HEADER_LEN, LOG_OVERHEAD, NO_SEQUENCE, NO_TIMESTAMP,
    RecordView, TimestampType,
};
use crate::compression;

/// Collects the records that stay.
#[derive(Debug)]
pub struct BatchRewrite<'b> {
    batch: BatchView<'b>,
    fields: HeaderFields,
    body: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'b> BatchRewrite<'b> {
    /// Nothing of `batch` yet. `delete_horizon_ms`: the one it is given now; one that it has stays.
    pub fn new(batch: BatchView<'b>, delete_horizon_ms: Option<i64>) -> BatchRewrite<'b> {
        let mut fields = fields_of(&batch);
        fields.max_timestamp = NO_TIMESTAMP;
        if let (Some(horizon_ms), None) = (delete_horizon_ms, batch.delete_horizon_ms()) {
            fields.attributes |= Attributes::DELETE_HORIZON;
            fields.base_timestamp = horizon_ms;
        }
        BatchRewrite { batch, fields, body: Vec::new(), scratch: Vec::new() }
    }

    /// Keeps one record of the batch; in the order of their offsets.
    pub fn keep(&mut self, record: &RecordView<'_>) {
        self.fields.max_timestamp = self.fields.max_timestamp.max(record.timestamp);
        self.fields.record_count = self.fields.record_count.saturating_add(1);
        self.scratch.clear();
        self.scratch.push(0);
        write_varlong(&mut self.scratch, record.timestamp.saturating_sub(self.fields.base_timestamp));
        write_varlong(&mut self.scratch, record.offset.0.saturating_sub(self.fields.base_offset));
        put_bytes(&mut self.scratch, record.key);
        put_bytes(&mut self.scratch, record.value);
        let (count, headers) = record.headers.encoded();
        write_varlong(&mut self.scratch, i64::from(count));
        self.scratch.extend_from_slice(headers);
        write_varlong(&mut self.body, self.scratch.len() as i64);
        self.body.extend_from_slice(&self.scratch);
    }

    /// The batch anew.
    ///
    /// # Errors
    /// The codec fails: the original is then as good as it gets.
    pub fn build(mut self) -> Result<Vec<u8>, BatchError> {
        if self.batch.timestamp_type() == TimestampType::LogAppendTime {
            self.fields.max_timestamp = self.batch.max_timestamp();
        }
        let body = compression::compress(self.batch.codec()?, &self.body)?;
        Ok(encode(self.fields, &body))
    }
}

/// The header alone, with no records: what keeps a producer's last sequence.
pub fn without_records(batch: &BatchHeader<'_>) -> Vec<u8> {
    let mut fields = fields_of(batch);
    // As Kafka writes it: without codec and horizon, for there is nothing that they could be about.
    fields.attributes &= Attributes::TIMESTAMP_TYPE | Attributes::TRANSACTIONAL | Attributes::CONTROL;
    fields.base_timestamp = NO_TIMESTAMP;
    encode(fields, &[])
}

/// The same without the producer: nothing but the offsets that the batch spanned.
pub fn offsets_alone(batch: &BatchHeader<'_>) -> Vec<u8> {
    let mut fields = fields_of(batch);
    fields.attributes &= Attributes::TIMESTAMP_TYPE;
    fields.base_timestamp = NO_TIMESTAMP;
    fields.max_timestamp = NO_TIMESTAMP;
    (fields.producer_id, fields.producer_epoch, fields.base_sequence) = (-1, -1, NO_SEQUENCE);
    encode(fields, &[])
}

fn fields_of(batch: &BatchHeader<'_>) -> HeaderFields {
    HeaderFields {
        base_offset: batch.base_offset().0,
        batch_length: 0,
        leader_epoch: batch.partition_leader_epoch().0,
        attributes: batch.attributes().0,
        last_offset_delta: batch.last_offset_delta(),
        base_timestamp: batch.base_timestamp(),
        max_timestamp: batch.max_timestamp(),
        producer_id: batch.producer_id().0,
        producer_epoch: batch.producer_epoch().0,
        base_sequence: batch.base_sequence(),
        record_count: 0,
    }
}

fn encode(mut fields: HeaderFields, body: &[u8]) -> Vec<u8> {
    let length = HEADER_LEN.saturating_sub(LOG_OVERHEAD).saturating_add(body.len());
    fields.batch_length = i32::try_from(length).unwrap_or(i32::MAX);
    let mut batch = Vec::with_capacity(HEADER_LEN.saturating_add(body.len()));
    batch.extend_from_slice(&fields.encode(body));
    batch.extend_from_slice(body);
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchBuilder;
    use crate::compression::Codec;
    use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

    fn original(codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new(codec)
            .base_offset(Offset(100))
            .leader_epoch(LeaderEpoch(3))
            .producer(ProducerId(7), ProducerEpoch(1), 40)
            .transactional();
        for n in 0..5_i64 {
            let value = (n != 2).then_some(b"some value that repeats, some value".as_slice());
            builder.append(1_000 + n, Some(&[n as u8]), value, &[("h", Some(b"x")), ("null", None)]);
        }
        builder.build()
    }

    #[test]
    fn what_stays_keeps_offset_time_and_headers_and_the_batch_its_sequence() {
        for codec in Codec::ALL {
            let bytes = original(codec);
            let (batch, _) = BatchView::parse(&bytes).unwrap();
            let set = batch.records().unwrap();
            let all: Vec<_> = set.iter().map(Result::unwrap).collect();
            let kept = [all[1].clone(), all[2].clone()];
            for horizon in [None, Some(90_000)] {
                let mut rewrite = BatchRewrite::new(batch, horizon);
                kept.iter().for_each(|record| rewrite.keep(record));
                let bytes = rewrite.build().unwrap();
                let (anew, rest) = BatchView::parse(&bytes).unwrap();
                anew.verify_crc().unwrap();
                assert!(rest.is_empty());
                let set = anew.records().unwrap();
                assert_eq!(set.iter().map(Result::unwrap).collect::<Vec<_>>(), kept);
                assert_eq!((anew.base_offset(), anew.last_offset()), (Offset(100), Offset(104)));
                assert_eq!((anew.base_sequence(), anew.last_sequence()), (40, 44));
                assert_eq!((anew.codec().unwrap(), anew.max_timestamp()), (codec, 1_002));
                assert!(anew.is_transactional());
                assert_eq!(anew.delete_horizon_ms(), horizon);
                // A horizon is given once.
                let again = BatchRewrite::new(anew, Some(1)).build().unwrap();
                assert_eq!(BatchView::parse(&again).unwrap().0.delete_horizon_ms(), horizon.or(Some(1)));
            }
        }
    }

    #[test]
    fn a_header_alone_still_ends_where_the_batch_did() {
        let bytes = original(Codec::Zstd);
        let (batch, _) = BatchView::parse(&bytes).unwrap();
        let empty = without_records(&batch);
        assert_eq!(empty.len(), HEADER_LEN);
        let (empty, _) = BatchView::parse(&empty).unwrap();
        empty.verify_crc().unwrap();
        assert_eq!((empty.record_count(), empty.codec().unwrap()), (0, Codec::None));
        assert_eq!(
            (empty.last_offset(), empty.last_sequence()),
            (batch.last_offset(), batch.last_sequence())
        );
        assert_eq!(empty.max_timestamp(), batch.max_timestamp());
        assert_eq!(empty.records().unwrap().iter().count(), 0);
        let alone = offsets_alone(&batch);
        let (alone, _) = BatchView::parse(&alone).unwrap();
        alone.verify_crc().unwrap();
        assert_eq!((alone.base_offset(), alone.last_offset()), (batch.base_offset(), batch.last_offset()));
        assert!(!alone.has_producer_id() && !alone.is_transactional());
    }
}
