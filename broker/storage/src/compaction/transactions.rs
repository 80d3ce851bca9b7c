//! Transactions as the cleaner meets them, batch by batch: data of aborted ones goes, and a marker goes once nothing
//! of its transaction is left.
//!
//! Fed with the entries of the log's transaction indexes, then with every batch in order. Entries whose
//! transaction still had a batch are kept for the cleaned segment's own index. Kafka: `CleanedTransactionMetadata`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use logspine_protocol::batch::{BatchHeader, BatchView, ControlRecordType};
use logspine_protocol::types::ProducerId;

use crate::log::marker_of;
use crate::txn_index::AbortedTxn;

/// What is known at the batch that was read last.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    /// Sorted by first offset; those that were reached are gone from it.
    ahead: VecDeque<AbortedTxn>,
    /// Aborted ones whose marker was not reached, and whether one of their batches was.
    aborted: BTreeMap<ProducerId, (AbortedTxn, bool)>,
    /// Producers with batches of a transaction that counts, whose marker was not reached.
    committed: BTreeSet<ProducerId>,
    retained: Vec<AbortedTxn>,
}

impl Transactions {
    /// Knows these aborted transactions, in any order.
    pub fn new(mut aborted: Vec<AbortedTxn>) -> Transactions {
        aborted.sort_by_key(|txn| txn.first_offset);
        Transactions { ahead: aborted.into(), ..Transactions::default() }
    }

    fn reach(&mut self, header: &BatchHeader<'_>) {
        while let Some(txn) = self.ahead.pop_front_if(|txn| txn.first_offset <= header.last_offset()) {
            self.aborted.entry(txn.producer_id).or_insert((txn, false));
        }
    }

    /// Reads the next batch. True: its records belong to an aborted transaction, or it is a marker that no batch
    /// of its transaction needs any more.
    pub fn may_discard(&mut self, batch: &BatchView<'_>) -> bool {
        self.reach(batch);
        if batch.is_control() {
            return self.may_discard_marker(batch);
        }
        if !batch.is_transactional() {
            return false;
        }
        if let Some((_, has_batches)) = self.aborted.get_mut(&batch.producer_id()) {
            *has_batches = true;
            return true;
        }
        self.committed.insert(batch.producer_id());
        false
    }

    fn may_discard_marker(&mut self, batch: &BatchView<'_>) -> bool {
        if batch.record_count() == 0 {
            // Emptied by an earlier pass.
            return true;
        }
        match marker_of(batch).map(|marker| marker.kind) {
            Some(ControlRecordType::Abort) => match self.aborted.remove(&batch.producer_id()) {
                Some((txn, true)) => {
                    self.retained.push(txn);
                    false
                }
                _ => true,
            },
            Some(ControlRecordType::Commit) => !self.committed.remove(&batch.producer_id()),
            _ => false,
        }
    }

    /// Entries whose markers were reached since the last call, for the index of the segment that holds them.
    pub fn take_retained(&mut self) -> Vec<AbortedTxn> {
        std::mem::take(&mut self.retained)
    }
}
