//! What a partition of `__consumer_offsets` holds: group records as batches, and back in the order in which they count.
//!
//! `batch` makes one atomic append of records; `GroupLog::replay` reads a log from its start to a committed end, which
//! is all that a coordinator knows after a start. A record that cannot be read means that offsets would be wrong, so
//! it ends the replay. Offsets that a transaction committed count once its marker says so. Called by the
//! coordinator's `driver.rs` and `loading.rs`, by the import of Kafka's directories, and by the simulator.

use std::collections::BTreeMap;

use logspine_cluster::group::{GroupRecord, RecordError};
use logspine_protocol::batch::{
    BatchBuilder, BatchError, BatchView, ControlRecord, ControlRecordType, RecordSet, iter_batches,
};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{Offset, ProducerId};
use logspine_storage::ReadError;
use thiserror::Error;

use crate::planted::{Bug, Planted};
use crate::view::{Isolation, PartitionView, ReadBudget};

/// Read in one go.
const CHUNK_BYTES: u32 = 1 << 20;

/// Why the groups of a partition cannot be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the batch at offset {offset}: {reason}")]
    Batch { offset: Offset, reason: BatchError },
    #[error("the record at offset {offset}: {reason}; if a newer version wrote it, start that version")]
    Record { offset: Offset, reason: RecordError },
    #[error("the log stops at offset {found}, before its end {end}")]
    Stops { found: Offset, end: Offset },
}

/// The records as one batch, which is appended whole or not at all.
pub fn batch(now_ms: i64, records: &[GroupRecord]) -> Result<Vec<u8>, RecordError> {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in records {
        let (key, value) = record.encode()?;
        builder.append(now_ms, Some(&key), value.as_deref(), &[]);
    }
    Ok(builder.build())
}

/// A partition of `__consumer_offsets` that is read from its start.
pub struct GroupLog<'v> {
    view: &'v PartitionView,
    planted: Planted,
}

impl<'v> GroupLog<'v> {
    pub fn new(view: &'v PartitionView) -> GroupLog<'v> {
        GroupLog { view, planted: Planted::default() }
    }

    /// Gives every record below `end` that counts, in order; returns how many those were. `end` must be committed.
    pub fn replay(&self, end: Offset, mut each: impl FnMut(&[GroupRecord])) -> Result<usize, LoadError> {
        let mut next = self.view.log_start_offset();
        let mut count = 0;
        let mut committed = CommittedRecords::default();
        while next < end {
            let budget = ReadBudget { bytes_max: CHUNK_BYTES, at_least_one_batch: true };
            let bytes = self.view.read(next, Isolation::HighWatermark, budget)?.to_vec()?;
            let found = next;
            for batch in iter_batches(&bytes) {
                let batch = batch.map_err(|reason| LoadError::Batch { offset: next, reason })?;
                batch.verify_crc().map_err(|reason| LoadError::Batch { offset: next, reason })?;
                next = batch.last_offset() + 1;
                if self.planted.has(Bug::ReplaySkipsTail) && next >= end {
                    break;
                }
                let records = committed.of(&batch)?;
                count += records.len();
                each(&records);
            }
            if next <= found {
                return Err(LoadError::Stops { found, end });
            }
        }
        Ok(count)
    }

    /// Plants a bug for the checkers to find. Absent from release builds.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, planted: Planted) {
        self.planted = planted;
    }
}

/// Group records in the order in which they count: those of a transaction when its marker says so.
#[derive(Default)]
pub struct CommittedRecords {
    /// By producer, what a marker has yet to decide; what is left at the end of a log does not count (yet).
    open: BTreeMap<ProducerId, Vec<GroupRecord>>,
}

impl CommittedRecords {
    /// What counts from this batch on.
    pub fn of(&mut self, batch: &BatchView<'_>) -> Result<Vec<GroupRecord>, LoadError> {
        let offset = batch.base_offset();
        let records = batch.records().map_err(|reason| LoadError::Batch { offset, reason })?;
        if batch.is_control() {
            let ended = self.open.remove(&batch.producer_id()).unwrap_or_default();
            return Ok(if commits(&records) { ended } else { Vec::new() });
        }
        let records = decode(&records, offset)?;
        if !batch.is_transactional() {
            return Ok(records);
        }
        self.open.entry(batch.producer_id()).or_default().extend(records);
        Ok(Vec::new())
    }
}

/// Whether a control batch says that its producer's transaction counts.
fn commits(records: &RecordSet<'_>) -> bool {
    let marker = records.iter().next().and_then(Result::ok).and_then(|record| ControlRecord::parse(&record));
    marker.is_some_and(|marker| marker.kind == ControlRecordType::Commit)
}

fn decode(records: &RecordSet<'_>, batch: Offset) -> Result<Vec<GroupRecord>, LoadError> {
    let mut decoded = Vec::new();
    for record in records {
        let record = record.map_err(|reason| LoadError::Batch { offset: batch, reason })?;
        // A record without key belongs to nobody; the log of a compacted topic has none.
        let Some(key) = record.key else { continue };
        let offset = record.offset;
        let read = GroupRecord::decode(key, record.value);
        decoded.extend(read.map_err(|reason| LoadError::Record { offset, reason })?);
    }
    Ok(decoded)
}
