//! What is known about a log at a moment, apart from the log: the list it is compared with.
//!
//! Events carry the number of disk operations at which they became known; a cut after operation n is judged by the
//! events up to n. What was merely attempted may have survived, what was acknowledged must have.

use std::collections::BTreeMap;

/// Something that became known.
#[derive(Debug, Clone)]
pub enum Event {
    /// A batch is about to be written at this offset; these bytes may be there from now on.
    Attempted(Batch),
    /// The log said that everything below is on stable storage.
    Acknowledged(i64),
    /// A truncation to this offset begins: nothing at or above counts as acknowledged.
    TruncationBegan(i64),
    /// It is durable: what was attempted at or above before must not come back.
    TruncationDone(i64),
    /// The log start was ordered to move here, or retention did.
    LogStartRaised(i64),
    /// The log start is in its checkpoint.
    LogStartCheckpointed(i64),
}

/// A batch as it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub base: i64,
    pub next: i64,
    pub bytes: Vec<u8>,
    /// Producer, epoch and first sequence, if it is numbered.
    pub produced: Option<(i64, i16, i32)>,
}

/// The events folded up to a moment.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The history that the owner follows, by base offset.
    pub branch: BTreeMap<i64, Batch>,
    /// Batches of older histories that a cut may still bring back.
    pub ghosts: Vec<Batch>,
    pub acknowledged: i64,
    pub log_start_min: i64,
    pub log_start_max: i64,
}

impl Model {
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Attempted(batch) => {
                // A failed or truncated attempt at the same place may be on disk as well.
                if let Some(older) = self.branch.insert(batch.base, batch.clone()) {
                    self.ghosts.push(older);
                }
            }
            Event::Acknowledged(offset) => self.acknowledged = self.acknowledged.max(*offset),
            Event::TruncationBegan(offset) => {
                self.acknowledged = self.acknowledged.min(*offset);
                self.ghosts.extend(self.branch.split_off(offset).into_values());
            }
            Event::TruncationDone(offset) => self.ghosts.retain(|batch| batch.base < *offset),
            Event::LogStartRaised(offset) => self.log_start_max = self.log_start_max.max(*offset),
            Event::LogStartCheckpointed(offset) => self.log_start_min = *offset,
        }
    }

    /// Whether these bytes may stand at this offset.
    pub fn allows(&self, base: i64, bytes: &[u8]) -> bool {
        self.branch.get(&base).is_some_and(|batch| batch.bytes == bytes)
            || self.ghosts.iter().any(|batch| batch.base == base && batch.bytes == bytes)
    }
}
