//! Transactions of a log: where read_committed readers must stop, and which records they must leave out.
//!
//! A transaction holds the last stable offset back from its first record until its marker is below the high
//! watermark: a marker that a crash could still take back decides nothing. An abort marker leaves an entry in the
//! active segment's `.txnindex`, written before the marker's offset is published. Kafka: `ProducerStateManager`
//! (`firstUnstableOffset`, `completeTxn`), `UnifiedLog.maybeIncrementFirstUnstableOffset`.

use std::sync::Arc;

use logspine_protocol::batch::{BatchHeader, ControlRecord};
use logspine_protocol::types::Offset;

use super::Log;
use crate::txn_index::AbortedTxn;

impl Log {
    /// Notes what an appended batch says of its producer and its transaction.
    pub(super) fn note_producer(&mut self, header: &BatchHeader<'_>, marker: Option<ControlRecord>) {
        let Some(ended) = self.producers.apply(header, marker) else { return };
        self.undecided.insert(ended.first_offset, ended.last_offset);
        if !ended.is_aborted {
            return;
        }
        let entry = ended.aborted(self.producers.first_unstable_offset());
        self.dirty.dir = true;
        match self.reader.txn_index.append(self.active.base_offset, &entry) {
            Ok(file) if self.dirty.files.iter().any(|dirty| Arc::ptr_eq(dirty, &file)) => {}
            Ok(file) => self.dirty.files.push(file),
            // The marker is in the log and its index entry is not: recovery puts that right at the next start.
            Err(error) => drop(self.poison.set(&self.dir, error.to_string())),
        }
    }

    /// The first record whose transaction is open, or ended by a marker that is not committed yet.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let undecided = self.undecided.keys().next().copied();
        self.producers.first_unstable_offset().into_iter().chain(undecided).min()
    }

    /// Markers below the high watermark are final.
    pub fn high_watermark_moved(&mut self, high_watermark: Offset) {
        if !self.undecided.is_empty() {
            self.undecided.retain(|_, marker| *marker >= high_watermark);
        }
    }
}

/// A transaction that its marker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedTxn {
    /// Whose it was.
    pub producer_id: logspine_protocol::types::ProducerId,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its marker.
    pub last_offset: Offset,
    /// Given up, or else it counts.
    pub is_aborted: bool,
}

impl EndedTxn {
    /// Its entry of the index, beside the oldest transaction that is still open.
    pub(crate) fn aborted(&self, first_open: Option<Offset>) -> AbortedTxn {
        AbortedTxn {
            producer_id: self.producer_id,
            first_offset: self.first_offset,
            last_offset: self.last_offset,
            last_stable_offset: first_open.unwrap_or(self.last_offset + 1),
        }
    }
}
