//! Record batch v2 (magic 2), the unit in which records travel, are stored and are replicated.
//!
//! A `BatchView` borrows the bytes of one whole batch and never copies or decodes records unless asked.
//! The CRC covers byte 21 to the end: base offset and partition leader epoch lie outside of it on purpose, so
//! that a leader assigns them in place (`patch_offset_and_epoch`) and the producer's checksum stays valid.
//! Input is hostile: nothing here indexes, unwraps or overflows. Layout: Kafka's `DefaultRecordBatch`.

mod builder;
mod control;
mod error;
mod header;
mod produced;
mod record;
mod rewrite;
mod validate;
mod varint;
mod walk;

pub use builder::BatchBuilder;
pub use control::{ControlRecord, ControlRecordType};
pub use error::BatchError;
pub use header::{
    Attributes, BatchHeader, HEADER_LEN, TimestampType, patch_offset_and_epoch, rewrite_for_log_append_time,
};
pub use produced::{Refused, TopicRules, admit};
pub use record::{Header, Headers, RecordIter, RecordSet, RecordView};
pub use rewrite::{BatchRewrite, offsets_alone, without_records};
pub use validate::validate_produced;
pub use walk::{FAULTS_MAX, RecordFault, RecordRules, TimestampWindow, Walk, walk};

use crate::compression;

/// Bytes before `batchLength` starts to count: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// The only magic that is stored and served.
pub const MAGIC: i8 = 2;
/// `records()` refuses to inflate a batch beyond this.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;
/// "No timestamp", as Kafka writes it.
pub const NO_TIMESTAMP: i64 = -1;
/// "No sequence", as Kafka writes it.
pub const NO_SEQUENCE: i32 = -1;

/// One whole record batch, borrowed. Dereferences to its header's accessors.
#[derive(Debug, Clone, Copy)]
pub struct BatchView<'a> {
    header: BatchHeader<'a>,
    bytes: &'a [u8],
}

impl<'a> std::ops::Deref for BatchView<'a> {
    type Target = BatchHeader<'a>;

    fn deref(&self) -> &BatchHeader<'a> {
        &self.header
    }
}

impl<'a> BatchView<'a> {
    /// Takes the first batch from `bytes` and returns it with what follows. Checks length and magic, not the CRC.
    pub fn parse(bytes: &'a [u8]) -> Result<(BatchView<'a>, &'a [u8]), BatchError> {
        let header = BatchHeader::parse(bytes)?;
        let total_len = header.total_len();
        let Some((batch, rest)) = bytes.split_at_checked(total_len) else {
            return Err(BatchError::Truncated { needed: total_len, have: bytes.len() });
        };
        Ok((BatchView { header, bytes: batch }, rest))
    }

    /// The header alone.
    pub fn header(&self) -> BatchHeader<'a> {
        self.header
    }

    /// The whole batch as it stands in the log.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the 61 bytes of the header: records, or one compressed blob.
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Computes the CRC-32C over attributes to end and compares it with the stored one.
    pub fn verify_crc(&self) -> Result<(), BatchError> {
        let computed = crc32c(self.bytes.get(header::CRC_START..).unwrap_or_default());
        if computed == self.crc() { Ok(()) } else { Err(BatchError::Crc { stored: self.crc(), computed }) }
    }

    /// The records, decompressed if they must be, up to `DECOMPRESSED_BYTES_MAX`.
    pub fn records(&self) -> Result<RecordSet<'a>, BatchError> {
        self.records_capped(DECOMPRESSED_BYTES_MAX)
    }

    /// The records; a batch that inflates beyond `bytes_max` is refused before the memory is spent.
    pub fn records_capped(&self, bytes_max: usize) -> Result<RecordSet<'a>, BatchError> {
        let codec = self.codec()?;
        let data = compression::decompress(codec, self.body(), bytes_max)?;
        Ok(RecordSet::new(self, data))
    }
}

/// The checksum of batches and of Kafka's other binary files.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The batches of a run of bytes, in order; ends after the first error.
pub fn iter_batches(bytes: &[u8]) -> BatchIter<'_> {
    BatchIter { rest: bytes }
}

/// See `iter_batches`.
#[derive(Debug, Clone)]
pub struct BatchIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for BatchIter<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match BatchView::parse(self.rest) {
            Ok((batch, rest)) => {
                self.rest = rest;
                Some(Ok(batch))
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests;
