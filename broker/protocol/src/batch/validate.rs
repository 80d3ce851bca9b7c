//! What a broker checks before it appends a produced batch: everything that can be known without decompressing.
//!
//! One batch, magic 2, whole, CRC right, record count equal to the offsets it spans; uncompressed records are
//! hopped over by their lengths. Kafka walks (and decompresses) every record here (`LogValidator`); the price
//! of not doing so is that a batch whose compressed inside is malformed is stored and fails at the reader.

use super::varint::read_varint;
use super::{BatchError, BatchView};
use crate::compression::Codec;

/// Checks the record data of one partition of a produce request.
pub fn validate_produced(bytes: &[u8]) -> Result<BatchView<'_>, BatchError> {
    if bytes.is_empty() {
        return Err(BatchError::Empty);
    }
    let (batch, rest) = BatchView::parse(bytes)?;
    if !rest.is_empty() {
        return Err(BatchError::NotOneBatch { trailing: rest.len() });
    }
    batch.verify_crc()?;
    let (records, last_offset_delta) = (batch.record_count(), batch.last_offset_delta());
    if records < 1 || last_offset_delta != records.saturating_sub(1) {
        return Err(BatchError::Count { records, last_offset_delta });
    }
    if batch.is_control() {
        return Err(BatchError::Control);
    }
    if batch.has_producer_id() && batch.base_sequence() < 0 {
        return Err(BatchError::Sequence {
            producer_id: batch.producer_id().0,
            base_sequence: batch.base_sequence(),
        });
    }
    if batch.is_transactional() && !batch.has_producer_id() {
        return Err(BatchError::TransactionalWithoutProducer);
    }
    if batch.codec()? == Codec::None {
        hop_over_records(batch.body(), records)?;
    }
    Ok(batch)
}

/// The record lengths must lead exactly to the end of the batch in as many hops as it counts records.
fn hop_over_records(body: &[u8], count: i32) -> Result<(), BatchError> {
    let mut rest = body;
    for index in 0..count {
        let refuse = |reason| BatchError::Record { index, reason };
        let length = read_varint(&mut rest).ok_or(refuse("its length is cut"))?;
        let length = usize::try_from(length).map_err(|_| refuse("its length is negative"))?;
        rest = rest.get(length..).ok_or(refuse("it is longer than the batch"))?;
    }
    if rest.is_empty() { Ok(()) } else { Err(BatchError::TrailingBytes { trailing: rest.len() }) }
}
