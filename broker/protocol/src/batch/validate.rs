//! What the header of a produced batch must say: everything that can be known without looking at a record.
//!
//! One batch, magic 2, whole, CRC right, record count equal to the offsets it spans, no control batch, a sequence
//! where there is a producer id. The records are `admit`'s. Kafka: `ProduceRequest.validateRecords`,
//! `LogValidator.validateBatch`.

use super::{BatchError, BatchView};

/// Checks the record data of one partition of a produce request.
pub fn validate_produced(bytes: &[u8]) -> Result<BatchView<'_>, BatchError> {
    if bytes.is_empty() {
        return Err(BatchError::Empty);
    }
    let (batch, rest) = BatchView::parse(bytes)?;
    if !rest.is_empty() {
        return Err(BatchError::NotOneBatch { trailing: rest.len() });
    }
    if batch.base_offset().0 != 0 {
        return Err(BatchError::BaseOffset(batch.base_offset().0));
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
    batch.codec()?;
    Ok(batch)
}
