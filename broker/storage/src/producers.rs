//! What a log knows about idempotent producers: the last five batches of each, by which a retry is told from a
//! new batch and a gap from a continuation.
//!
//! Checked before an append by a leader, applied after every append. State is rebuilt from the newest snapshot
//! file and the batches behind it; a snapshot keeps only the last batch of each producer, as Kafka's. Kafka:
//! `ProducerStateManager`, `ProducerAppendInfo`, `ProducerStateEntry`.

mod snapshot;

pub(crate) use snapshot::SnapshotError;

use std::collections::{BTreeMap, VecDeque};

use logspine_protocol::batch::{BatchHeader, ControlRecord, ControlRecordType};
use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};

use crate::error::AppendError;
use crate::log::EndedTxn;

/// Batches remembered for each producer, Kafka's bound for requests in flight.
const BATCHES_MAX: usize = 5;

/// One remembered batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducedBatch {
    /// Sequence of its first record.
    pub first_sequence: i32,
    /// Sequence of its last record.
    pub last_sequence: i32,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last offset minus first offset.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: i64,
}

impl ProducedBatch {
    /// Offset of its first record.
    pub fn first_offset(&self) -> Offset {
        self.last_offset + -i64::from(self.offset_delta)
    }
}

/// One producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerState {
    /// Its newest epoch.
    pub epoch: ProducerEpoch,
    /// The newest batches of that epoch, oldest first.
    batches: VecDeque<ProducedBatch>,
    /// Epoch of the coordinator that sent the last marker; -1 for none.
    pub coordinator_epoch: i32,
    /// When it was last heard of, by the batches' timestamps.
    pub last_timestamp: i64,
    /// Where its open transaction starts.
    pub current_txn_first_offset: Option<Offset>,
}

impl ProducerState {
    fn new(epoch: ProducerEpoch) -> ProducerState {
        ProducerState {
            epoch,
            batches: VecDeque::new(),
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
        }
    }

    /// The newest batches, oldest first.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &ProducedBatch> {
        self.batches.iter()
    }

    /// The last sequence; -1 if no batch is known.
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }
}

/// All producers of one log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Producers {
    by_id: BTreeMap<ProducerId, ProducerState>,
    /// Open transactions by their first offsets: the oldest is asked for after every append.
    open_transactions: BTreeMap<Offset, ProducerId>,
}

impl Producers {
    /// Every open transaction: where it starts and whose it is, oldest first.
    pub fn open_transactions(&self) -> impl Iterator<Item = (Offset, ProducerId)> {
        self.open_transactions.iter().map(|(offset, id)| (*offset, *id))
    }

    /// Whether anything is known of offsets at or behind this one.
    pub(crate) fn is_beyond(&self, offset: Offset) -> bool {
        let batches = self.by_id.values().filter_map(|state| state.batches.back());
        batches
            .map(|batch| batch.last_offset)
            .chain(self.open_transactions.keys().copied())
            .any(|known| known >= offset)
    }

    /// Every producer by id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerState)> {
        self.by_id.iter().map(|(id, state)| (*id, state))
    }

    /// What a leader must know before it appends: the batch is new (`None`), or was appended before and where.
    pub fn check(&self, header: &BatchHeader<'_>) -> Result<Option<ProducedBatch>, AppendError> {
        if !header.has_producer_id() {
            return Ok(None);
        }
        // Unknown producers may start anywhere: their state can have gone with retention or DeleteRecords.
        let Some(state) = self.by_id.get(&header.producer_id()) else { return Ok(None) };
        let (producer_id, epoch) = (header.producer_id().0, header.producer_epoch());
        if epoch < state.epoch {
            return Err(AppendError::InvalidProducerEpoch {
                producer_id,
                producer_epoch: epoch.0,
                current_epoch: state.epoch.0,
            });
        }
        if header.is_control() {
            return Ok(None);
        }
        let (first, last) = (header.base_sequence(), header.last_sequence());
        if epoch == state.epoch {
            let known = state
                .batches
                .iter()
                .find(|batch| (batch.first_sequence, batch.last_sequence) == (first, last));
            if known.is_some() {
                return Ok(known.copied());
            }
        }
        let last_sequence = state.last_sequence();
        let follows = if epoch > state.epoch { first == 0 } else { in_sequence(last_sequence, first) };
        if follows {
            return Ok(None);
        }
        Err(AppendError::OutOfOrderSequence {
            producer_id,
            producer_epoch: epoch.0,
            sequence: first,
            last_sequence,
        })
    }

    /// Notes a batch that was appended, with its final offsets; `marker` is the record of a control batch. Returns
    /// the transaction that the marker ended, if there was one.
    pub fn apply(&mut self, header: &BatchHeader<'_>, marker: Option<ControlRecord>) -> Option<EndedTxn> {
        if !header.has_producer_id() {
            return None;
        }
        let epoch = header.producer_epoch();
        let state = self.by_id.entry(header.producer_id()).or_insert_with(|| ProducerState::new(epoch));
        if epoch > state.epoch {
            state.batches.clear();
        }
        state.epoch = state.epoch.max(epoch);
        state.last_timestamp = header.max_timestamp();
        if header.is_control() {
            let ControlRecord { kind, coordinator_epoch } = marker?;
            if !matches!(kind, ControlRecordType::Abort | ControlRecordType::Commit) {
                return None;
            }
            state.coordinator_epoch = coordinator_epoch;
            let first_offset = state.current_txn_first_offset.take()?;
            self.open_transactions.remove(&first_offset);
            return Some(EndedTxn {
                producer_id: header.producer_id(),
                first_offset,
                last_offset: header.last_offset(),
                is_aborted: kind == ControlRecordType::Abort,
            });
        }
        if state.batches.len() == BATCHES_MAX {
            state.batches.pop_front();
        }
        state.batches.push_back(ProducedBatch {
            first_sequence: header.base_sequence(),
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta(),
            timestamp: header.max_timestamp(),
        });
        if header.is_transactional() && state.current_txn_first_offset.is_none() {
            state.current_txn_first_offset = Some(header.base_offset());
            self.open_transactions.insert(header.base_offset(), header.producer_id());
        }
        None
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms` and have no open transaction.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.by_id.retain(|_, state| {
            state.current_txn_first_offset.is_some()
                || now_ms.saturating_sub(state.last_timestamp) < expiration_ms
        });
    }

    /// The start of the oldest open transaction: read_committed stops there.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.open_transactions.keys().next().copied()
    }
}

/// 2^31-1 is followed by 0.
fn in_sequence(last: i32, next: i32) -> bool {
    i64::from(next) == i64::from(last) + 1 || (next == 0 && last == i32::MAX)
}

#[cfg(test)]
mod tests;
