//! What is known about a log at a moment, apart from the log: the list it is compared with.
//!
//! Events carry the number of disk operations at which they became known; a cut after operation n is judged by the
//! events up to n. What was merely attempted may have survived, what was acknowledged must have. A compaction replaces
//! batches by others: until that is done either may be there, but not a mixture.

use std::collections::BTreeMap;

use logspine_protocol::batch::{BatchView, iter_batches};

/// Something that became known.
#[derive(Debug, Clone)]
pub enum Event {
    /// A batch is about to be written at this offset; these bytes may be there from now on.
    Attempted(Batch),
    /// The log said that everything below is on stable storage.
    Acknowledged(i64),
    /// All of it, truncations included, is on stable storage.
    Flushed,
    /// A sync or a truncation failed: what was cut off may come back until the next sync that does not.
    HalfDone,
    /// A truncation to this offset begins: nothing at or above counts as acknowledged.
    TruncationBegan(i64),
    /// It is durable: what was attempted at or above before must not come back.
    TruncationDone(i64),
    /// Compaction is about to put these batches in the place of all from `from` to `end`.
    SwapBegan { from: i64, end: i64, after: Vec<Batch> },
    /// They are in place, durably.
    SwapDone,
    /// They will never be.
    SwapUndone,
    /// A start found these batches from the log start to the log end; what is not there now never comes back.
    Recovered { start: i64, end: i64, batches: Vec<Batch> },
    /// The topic is gone, and the next one of its name has the next id.
    TopicDeleted,
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

impl Batch {
    pub fn of(view: &BatchView<'_>) -> Batch {
        let (base, next) = (view.base_offset().0, view.next_offset().0);
        Batch { base, next, bytes: view.bytes().to_vec(), produced: None }
    }
}

/// Whole batches, one after the other.
pub fn batches(bytes: &[u8]) -> Result<Vec<Batch>, String> {
    iter_batches(bytes)
        .map(|batch| batch.map(|batch| Batch::of(&batch)).map_err(|error| error.to_string()))
        .collect()
}

/// A compaction on its way.
#[derive(Debug, Clone)]
pub struct Swap {
    pub from: i64,
    pub end: i64,
    pub after: Vec<Batch>,
}

/// The events folded up to a moment.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// The history that the owner follows, by base offset: the batches as they stand in the log.
    pub branch: BTreeMap<i64, Batch>,
    /// The same as it was appended, or found by the last start: what compaction does not show in.
    pub appended: BTreeMap<i64, Batch>,
    /// Batches of older histories that a cut may still bring back.
    pub ghosts: Vec<Batch>,
    pub swap: Option<Swap>,
    /// A truncation cut off what superseded records that compaction had removed: what the keys are worth is not known
    /// any more, until the next start tells.
    pub keys_unknown: bool,
    /// Compaction keeps the last batch of each producer, and that may be cut off later: only snapshots know the one before.
    pub has_swapped: bool,
    is_half_done: bool,
    pub acknowledged: i64,
    pub log_start_min: i64,
    pub log_start_max: i64,
    /// How many topics of this name were deleted before.
    pub incarnation: u8,
}

impl Model {
    pub fn apply(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Attempted(batch) => {
                if batch.base < self.acknowledged {
                    let (base, acknowledged) = (batch.base, self.acknowledged);
                    return Err(format!("reused: {base} is given away again below {acknowledged}"));
                }
                // A failed or truncated attempt at the same place may be on disk as well.
                self.appended.insert(batch.base, batch.clone());
                if let Some(older) = self.branch.insert(batch.base, batch.clone()) {
                    self.ghosts.push(older);
                }
            }
            Event::Acknowledged(offset) => self.acknowledged = self.acknowledged.max(*offset),
            Event::Flushed => {
                self.ghosts.clear();
                self.is_half_done = false;
            }
            Event::HalfDone => self.is_half_done = true,
            Event::TruncationBegan(offset) => self.truncated(*offset),
            Event::TruncationDone(offset) => {
                self.ghosts.retain(|batch| batch.next <= *offset);
                self.is_half_done = false;
            }
            Event::SwapBegan { from, end, after } => {
                self.has_swapped = true;
                self.swap = Some(Swap { from: *from, end: *end, after: after.clone() });
            }
            Event::SwapDone => self.swapped(),
            Event::SwapUndone => self.swap = None,
            Event::Recovered { start, batches, .. } => self.recovered(*start, batches),
            Event::TopicDeleted => *self = Model { incarnation: self.incarnation + 1, ..Model::default() },
            Event::LogStartRaised(offset) => self.log_start_max = self.log_start_max.max(*offset),
            Event::LogStartCheckpointed(offset) => self.log_start_min = *offset,
        }
        Ok(())
    }

    /// A batch that spans the offset goes, too.
    fn truncated(&mut self, offset: i64) {
        self.acknowledged = self.acknowledged.min(offset);
        self.keys_unknown |= self.has_swapped;
        self.is_half_done = true;
        let goes = |batch: &Batch| batch.next > offset;
        self.ghosts.extend(self.branch.values().filter(|batch| goes(batch)).cloned());
        self.branch.retain(|_, batch| !goes(batch));
        self.appended.retain(|_, batch| !goes(batch));
        if let Some(swap) = &mut self.swap {
            self.ghosts.extend(swap.after.iter().filter(|batch| goes(batch)).cloned());
            swap.after.retain(|batch| !goes(batch));
            swap.end = swap.end.min(offset);
        }
    }

    fn swapped(&mut self) {
        let Some(Swap { from, end, after }) = self.swap.take() else { return };
        let mut behind = self.branch.split_off(&from);
        let untouched = behind.split_off(&end);
        for batch in after {
            let produced = behind.get(&batch.base).and_then(|old| old.produced);
            self.branch.insert(batch.base, Batch { produced, ..batch });
        }
        self.branch.extend(untouched);
    }

    /// What lies below the log start may come back with it.
    fn recovered(&mut self, start: i64, batches: &[Batch]) {
        let (below, known) =
            std::mem::take(&mut self.branch).into_iter().partition(|(_, batch)| batch.next <= start);
        self.branch = below;
        let known: BTreeMap<i64, Batch> = known;
        for batch in batches {
            let produced = known.get(&batch.base).and_then(|known| known.produced);
            self.branch.insert(batch.base, Batch { produced, ..batch.clone() });
        }
        self.appended = self.branch.clone();
        if self.is_half_done {
            self.ghosts.extend(known.into_values());
        } else {
            self.ghosts.clear();
        }
        (self.swap, self.keys_unknown) = (None, false);
    }

    /// Whether these bytes may stand at this offset.
    pub fn allows(&self, base: i64, bytes: &[u8]) -> bool {
        let swapped_in = self.swap.iter().flat_map(|swap| &swap.after);
        let mut others = self.ghosts.iter().chain(swapped_in);
        self.branch.get(&base).is_some_and(|batch| batch.bytes == bytes)
            || others.any(|batch| batch.base == base && batch.bytes == bytes)
    }

    /// Whether the range that compaction is about to replace is as before or as after, as far as it is served.
    pub fn is_before_or_after(&self, found: &[Batch], log_start: i64, log_end: i64) -> bool {
        let Some(swap) = &self.swap else { return true };
        let range = swap.from..swap.end.min(log_end);
        let served =
            |batch: &&Batch| range.contains(&batch.base) && batch.next <= range.end && batch.next > log_start;
        let bytes = |batch: &Batch| (batch.base, batch.bytes.clone());
        let here: Vec<_> = found.iter().filter(served).map(bytes).collect();
        let before: Vec<_> = self.branch.values().filter(served).map(bytes).collect();
        let after: Vec<_> = swap.after.iter().filter(served).map(bytes).collect();
        here == before || here == after
    }

    /// Acknowledged batches that nothing may have replaced.
    pub fn must_be_there(&self, log_start: i64) -> impl Iterator<Item = &Batch> {
        let in_swap = |batch: &Batch| {
            self.swap.as_ref().is_some_and(|swap| (swap.from..swap.end).contains(&batch.base))
        };
        let due = move |batch: &&Batch| batch.next <= self.acknowledged && batch.next > log_start;
        self.branch.values().filter(due).filter(move |batch| !in_swap(batch))
    }
}
