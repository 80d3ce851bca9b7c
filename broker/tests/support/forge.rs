//! Record batches that no honest producer builds: a good one, one field changed, the checksum made right again.

use logspine_protocol::batch::{BatchBuilder, crc32c};
use logspine_protocol::compression::{Codec, compress};
use logspine_protocol::types::{ProducerEpoch, ProducerId};

/// Where fields of a batch header begin.
pub const BASE_OFFSET: usize = 0;
pub const BATCH_LENGTH: usize = 8;
pub const MAGIC: usize = 16;
pub const ATTRIBUTES: usize = 21;
pub const LAST_OFFSET_DELTA: usize = 23;
pub const BASE_TIMESTAMP: usize = 27;
pub const MAX_TIMESTAMP: usize = 35;
pub const PRODUCER_ID: usize = 43;
pub const BASE_SEQUENCE: usize = 53;
pub const RECORD_COUNT: usize = 57;
pub const RECORDS: usize = 61;

/// A timestamp and a key, or none.
pub type Record<'a> = (i64, Option<&'a str>);

/// A good batch of these records.
pub fn good(codec: Codec, records: &[Record<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec);
    for (timestamp, key) in records {
        builder.append(*timestamp, key.map(str::as_bytes), Some(b"value"), &[]);
    }
    builder.build()
}

/// A good batch of an idempotent producer.
pub fn idempotent(records: &[Record<'_>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None).producer(ProducerId(77), ProducerEpoch(0), 0);
    for (timestamp, key) in records {
        builder.append(*timestamp, key.map(str::as_bytes), Some(b"value"), &[]);
    }
    builder.build()
}

/// One field of the header overwritten; the checksum is right again.
pub fn with(mut batch: Vec<u8>, at: usize, field: &[u8]) -> Vec<u8> {
    batch[at..at + field.len()].copy_from_slice(field);
    sealed(batch)
}

/// Other bytes in place of the records; length and checksum are right.
pub fn with_body(batch: &[u8], body: &[u8]) -> Vec<u8> {
    let mut forged = [&batch[..RECORDS], body].concat();
    let length = i32::try_from(forged.len() - 12).unwrap();
    forged[BATCH_LENGTH..BATCH_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    sealed(forged)
}

/// The records of an uncompressed batch, compressed: whatever is wrong with them is inside now.
pub fn compressed(batch: &[u8], codec: Codec) -> Vec<u8> {
    let body = compress(codec, &batch[RECORDS..]).unwrap();
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES], batch[ATTRIBUTES + 1]]) | i16::from(codec.id());
    with_body(&with(batch.to_vec(), ATTRIBUTES, &attributes.to_be_bytes()), &body)
}

fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = crc32c(&batch[ATTRIBUTES..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// One record by hand, every number as given: the encoding of a producer that is wrong.
pub fn record(timestamp_delta: i64, offset_delta: i64, key_length: i64, value_length: i64) -> Vec<u8> {
    let mut fields = vec![0];
    for number in [timestamp_delta, offset_delta, key_length] {
        varint(&mut fields, number);
    }
    fields.extend(std::iter::repeat_n(b'k', usize::try_from(key_length.min(4)).unwrap_or(0)));
    varint(&mut fields, value_length);
    fields.extend(std::iter::repeat_n(b'v', usize::try_from(value_length.min(4)).unwrap_or(0)));
    varint(&mut fields, 0);
    let mut record = Vec::new();
    varint(&mut record, fields.len() as i64);
    record.extend(fields);
    record
}

/// Kafka's zigzag.
pub fn varint(output: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw > 0x7f {
        output.push((raw as u8 & 0x7f) | 0x80);
        raw >>= 7;
    }
    output.push(raw as u8);
}
