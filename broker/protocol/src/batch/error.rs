//! What can be wrong with a record batch: one variant for each mistake, with the values that show it.
//!
//! `api/` turns these into Kafka's codes (`CORRUPT_MESSAGE` for what the checksum guards, `INVALID_RECORD` for
//! what a client built wrongly, `UNSUPPORTED_FOR_MESSAGE_FORMAT` for an old magic); storage turns them into
//! the description of a damage.

use crate::compression::CompressionError;

/// A batch that is refused, and why.
// The fields are the numbers that the message prints.
#[allow(missing_docs)]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end before the batch does.
    #[error("the record batch needs {needed} bytes and {have} are there")]
    Truncated { needed: usize, have: usize },
    /// `batchLength` is smaller than the rest of a header.
    #[error("batch length {0} is smaller than a record batch header")]
    Length(i32),
    /// A message format that is not stored here.
    #[error("record batch with magic {0}; only magic 2 is supported")]
    Magic(i8),
    /// The bytes are not those that the producer sent.
    #[error("record batch is corrupt: stored crc {stored:#010x}, computed crc {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
    /// Nothing was to be appended.
    #[error("there is no record batch")]
    Empty,
    /// A produce request carries exactly one batch for each partition.
    #[error("{trailing} bytes follow the one record batch that a partition may carry")]
    NotOneBatch { trailing: usize },
    /// A producer counts from 0; the log assigns offsets.
    #[error("the base offset of a produced batch must be 0, and it is {0}")]
    BaseOffset(i64),
    /// The offsets that the header spans and the records that it counts must agree.
    #[error("the batch counts {records} records but its last offset delta is {last_offset_delta}")]
    Count { records: i32, last_offset_delta: i32 },
    /// Attributes name a codec that does not exist.
    #[error("unknown compression codec {0}")]
    Codec(u8),
    /// The compressed records do not decompress, or to too much.
    #[error(transparent)]
    Compression(#[from] CompressionError),
    /// The n-th record does not parse.
    #[error("record {index} of the batch is malformed: {reason}")]
    Record { index: i32, reason: &'static str },
    /// Bytes are left after the last record.
    #[error("{trailing} bytes follow the last record of the batch")]
    TrailingBytes { trailing: usize },
    /// Control batches are written by brokers only.
    #[error("clients may not write control records")]
    Control,
    /// With a producer id, sequences start at 0.
    #[error("producer {producer_id} sent base sequence {base_sequence}")]
    Sequence { producer_id: i64, base_sequence: i32 },
    /// A transaction belongs to a producer.
    #[error("a transactional batch must carry a producer id")]
    TransactionalWithoutProducer,
}
