//! The `.snapshot` file: producer state as of the offset in its name.
//!
//! Version i16 = 1, CRC-32C u32 over what follows, count i32, then entries of 46 bytes. The checksum makes it safe
//! to write without a rename: a torn file is as good as none, the state is then rebuilt from the log. Kafka:
//! `ProducerSnapshot.json`, `ProducerStateManager.readSnapshot`.

use std::collections::VecDeque;

use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};

use super::{ProducedBatch, ProducerState, Producers};

const VERSION: i16 = 1;
const CRC_END: usize = 6;

/// A snapshot file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SnapshotError {
    /// Torn or rotten: rebuild from the log.
    Corrupt,
    /// Written by another version.
    Version(i16),
}

impl Producers {
    /// The file's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.by_id.len() * 46);
        body.extend_from_slice(&(self.by_id.len() as i32).to_be_bytes());
        for (id, state) in &self.by_id {
            let last = state.batches.back();
            body.extend_from_slice(&id.0.to_be_bytes());
            body.extend_from_slice(&state.epoch.0.to_be_bytes());
            body.extend_from_slice(&last.map_or(-1, |batch| batch.last_sequence).to_be_bytes());
            body.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset.0).to_be_bytes());
            body.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
            body.extend_from_slice(&state.last_timestamp.to_be_bytes());
            body.extend_from_slice(&state.coordinator_epoch.to_be_bytes());
            body.extend_from_slice(
                &state.current_txn_first_offset.map_or(-1, |offset| offset.0).to_be_bytes(),
            );
        }
        let mut bytes = Vec::with_capacity(CRC_END + body.len());
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&logspine_protocol::batch::crc32c(&body).to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads the file's bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Producers, SnapshotError> {
        let mut input = Input(bytes);
        let version = i16::from_be_bytes(input.take()?);
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let crc = u32::from_be_bytes(input.take()?);
        if crc != logspine_protocol::batch::crc32c(input.0) {
            return Err(SnapshotError::Corrupt);
        }
        let count = i32::from_be_bytes(input.take()?);
        let mut producers = Producers::default();
        for _ in 0..count {
            let (id, state) = input.producer()?;
            if let Some(first_offset) = state.current_txn_first_offset {
                producers.open_transactions.insert(first_offset, id);
            }
            producers.by_id.insert(id, state);
        }
        if input.0.is_empty() { Ok(producers) } else { Err(SnapshotError::Corrupt) }
    }
}

struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(SnapshotError::Corrupt)?;
        self.0 = rest;
        Ok(*field)
    }

    fn producer(&mut self) -> Result<(ProducerId, ProducerState), SnapshotError> {
        let id = ProducerId(i64::from_be_bytes(self.take()?));
        let epoch = ProducerEpoch(i16::from_be_bytes(self.take()?));
        let last_sequence = i32::from_be_bytes(self.take()?);
        let last_offset = Offset(i64::from_be_bytes(self.take()?));
        let offset_delta = i32::from_be_bytes(self.take()?);
        let last_timestamp = i64::from_be_bytes(self.take()?);
        let coordinator_epoch = i32::from_be_bytes(self.take()?);
        let txn = i64::from_be_bytes(self.take()?);
        let mut batches = VecDeque::new();
        if last_offset.0 >= 0 {
            // The first sequence may lie before a wrap; Kafka's `decrementSequence`.
            let first = i64::from(last_sequence) - i64::from(offset_delta);
            let first_sequence = first.rem_euclid(i64::from(i32::MAX) + 1) as i32;
            batches.push_back(ProducedBatch {
                first_sequence,
                last_sequence,
                last_offset,
                offset_delta,
                timestamp: last_timestamp,
            });
        }
        let current_txn_first_offset = (txn >= 0).then_some(Offset(txn));
        Ok((
            id,
            ProducerState { epoch, batches, coordinator_epoch, last_timestamp, current_txn_first_offset },
        ))
    }
}
