//! Compaction's part under the owner's lock: what there is to clean, and a replacement's way into the log.
//!
//! Each `swap_step` renames files and returns a directory to sync without the lock (the order is that of
//! `compaction/swap.rs`). The list of segments is published before the first old file loses its name; from then on
//! an old segment opens nothing, so that whoever reads with the old list looks again. Truncation settles a swap
//! first, retention waits for its end. A sync that fails after the commit poisons the log.

use std::sync::Arc;

use logspine_protocol::types::Offset;

use super::Log;
use crate::compaction::swap::{self, CLEANED, COMPANIONS, SWAP};
use crate::compaction::{
    Bounds, Cleanable, Compaction, CompactionError, CompactionStats, Facts, LastRecord, Replacement, Step,
    SyncDir, cleanable,
};
use crate::config::LogConfig;
use crate::error::StorageError;
use crate::names;
use crate::reader::LogReader;
use crate::segment::Segment;

/// A replacement whose files bear `.swap` in their names.
#[derive(Debug)]
pub(super) struct Swapping {
    number: u64,
    base_offset: Offset,
    /// Set once the new segment is in the list.
    replaced_by: Option<Arc<Segment>>,
}

/// What the choice of a log to clean needs; no lock is held while it is asked.
#[derive(Debug)]
pub struct CompactionScope {
    reader: Arc<LogReader>,
    config: LogConfig,
    last_stable: Offset,
}

impl CompactionScope {
    /// What may be cleaned behind the cleaner's checkpoint.
    pub fn cleanable(&self, checkpoint: Option<Offset>, now_ms: i64) -> Cleanable {
        let segments = self.reader.segments();
        let (active, sealed) = segments.split_last().expect("a log has an active segment");
        let wants_first = self.config.max_compaction_lag_ms < i64::MAX;
        let facts = |segment: &Arc<Segment>| Facts {
            base: segment.base_offset,
            size_bytes: segment.size_bytes(),
            newest_ms: segment.max_timestamp().map_or(segment.created_ms, |max| max.timestamp),
            first_ms: if wants_first { segment.first_timestamp() } else { None },
        };
        let facts: Vec<Facts> = sealed.iter().map(facts).collect();
        let bounds = Bounds {
            log_start: self.reader.log_start(),
            log_end: self.reader.log_end(),
            last_stable: self.last_stable,
            active_base: active.base_offset,
            checkpoint,
            min_lag_ms: self.config.min_compaction_lag_ms,
            max_lag_ms: self.config.max_compaction_lag_ms,
        };
        cleanable(&facts, bounds, now_ms)
    }
}

impl Log {
    /// For the choice of a log to clean. Nothing at or above `last_stable` is cleaned.
    pub fn compaction_scope(&self, last_stable: Offset) -> CompactionScope {
        CompactionScope { reader: self.reader.clone(), config: self.config.clone(), last_stable }
    }

    /// Takes what a run over the cleanable part needs.
    pub fn begin_compaction(&self, cleanable: Cleanable, now_ms: i64) -> Result<Compaction, StorageError> {
        self.check_writable()?;
        let segments = self.reader.segments();
        let below = |segment: &&Arc<Segment>| segment.base_offset < cleanable.first_uncleanable;
        let sealed = &segments[..segments.len() - 1];
        let last_record = |state: &crate::producers::ProducerState| LastRecord {
            data_offset: state.batches().next_back().map(|batch| batch.last_offset),
            epoch: state.epoch,
        };
        Ok(Compaction {
            disk: self.disk.clone(),
            dir: self.dir.clone(),
            reader: self.reader.clone(),
            truncations: self.reader.truncations(),
            segments: sealed.iter().take_while(below).cloned().collect(),
            cleanable,
            config: self.config.clone(),
            last_records: self.producers.iter().map(|(id, state)| (id, last_record(state))).collect(),
            now_ms,
            work: None,
            stats: CompactionStats::default(),
        })
    }

    /// Takes a replacement one step further. The directory returned is to be synced, without the lock, before the
    /// next call; `None`: it is in place. After an error, of a step or of a sync, comes `abandon_swap`.
    pub fn swap_step(
        &mut self,
        replacement: &mut Replacement,
        now_ms: i64,
    ) -> Result<Option<SyncDir>, CompactionError> {
        let base_offset = replacement.new.base_offset;
        let (disk, dir) = (self.disk.clone(), self.dir.clone());
        let rename = |suffixes: &[&str], stages| swap::rename(&*disk, &dir, base_offset, suffixes, stages);
        if replacement.step == Step::Written {
            self.check_writable()?;
            self.swaps_begun += 1;
            replacement.number = self.swaps_begun;
            let number = replacement.number;
            self.swapping = Some(Swapping { number, base_offset, replaced_by: None });
        } else if self.swapping.as_ref().is_none_or(|swapping| swapping.number != replacement.number) {
            // A truncation or the close settled it.
            let is_done = replacement.step > Step::Committed;
            return if is_done { Ok(None) } else { Err(CompactionError::Overtaken) };
        }
        replacement.step = match replacement.step {
            Step::Written => {
                self.position_of(replacement)?;
                rename(&COMPANIONS, (CLEANED, SWAP))?;
                Step::CompanionsNamed
            }
            Step::CompanionsNamed => {
                self.position_of(replacement)?;
                rename(&[names::LOG], (CLEANED, SWAP))?;
                Step::Committed
            }
            Step::Committed => {
                self.replace(replacement, now_ms)?;
                Step::Replaced
            }
            Step::Replaced => {
                rename(&COMPANIONS, (SWAP, ""))?;
                Step::CompanionsFinal
            }
            Step::CompanionsFinal => {
                rename(&[names::LOG], (SWAP, ""))?;
                replacement.new.named();
                self.swapping = None;
                self.dirty.dir = true;
                Step::Final
            }
            Step::Final => return Ok(None),
        };
        Ok(Some(self.sync_dir()))
    }

    fn sync_dir(&self) -> SyncDir {
        SyncDir { disk: self.disk.clone(), dir: self.dir.clone(), planted: self.config.planted }
    }

    /// Where the old segments are in the list, if all of them still are what they were.
    fn position_of(&self, replacement: &Replacement) -> Result<usize, CompactionError> {
        if self.reader.truncations() != replacement.truncations {
            return Err(CompactionError::Overtaken);
        }
        let segments = self.reader.segments();
        let old = &replacement.old;
        let first = segments.partition_point(|segment| segment.base_offset < old[0].base_offset);
        let found = segments.get(first..first + old.len());
        let same = |found: &[Arc<Segment>]| found.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b));
        if found.is_some_and(same) { Ok(first) } else { Err(CompactionError::Overtaken) }
    }

    /// Publishes the new segment, then takes the names of the old ones away.
    fn replace(&mut self, replacement: &Replacement, now_ms: i64) -> Result<(), CompactionError> {
        let first = self.position_of(replacement)?;
        let new = &replacement.new;
        // It knows the transactions of all old ones, so that nobody misses one meanwhile.
        let stages = (SWAP, "");
        swap::rename(&*self.disk, &self.dir, new.base_offset, &[names::TXN_INDEX], stages)?;
        if let Some(swapping) = &mut self.swapping {
            swapping.replaced_by = Some(new.clone());
        }
        let mut segments = self.reader.segments().as_ref().clone();
        segments.splice(first..first + replacement.old.len(), [new.clone()]);
        self.reader.txn_index.merge(new.base_offset, replacement.has_aborted);
        self.reader.publish_segments(segments);
        self.reader.forget_open();
        let due_ms = now_ms + self.config.file_delete_delay_ms;
        for old in &replacement.old {
            if old.base_offset == new.base_offset {
                self.rename_deleted_log(old, due_ms)?;
            } else {
                self.reader.txn_index.merge(old.base_offset, false);
                self.rename_deleted(old, due_ms)?;
            }
        }
        Ok(())
    }

    /// Gives a replacement up after `error`. Before the old segments lost their names nothing has happened; later
    /// there is no way back, and what a failed sync left on disk only a restart can tell.
    pub fn abandon_swap(&mut self, replacement: Replacement, error: &CompactionError) {
        let is_replaced = replacement.step > Step::Committed
            || self.swapping.as_ref().is_some_and(|swapping| swapping.replaced_by.is_some());
        if is_replaced || matches!(error, CompactionError::Sync(_)) {
            self.poison.set(&self.dir, error);
            return;
        }
        let base_offset = replacement.new.base_offset;
        swap::remove_cleaned(&*self.disk, &self.dir, base_offset);
        if let Err(error) = self.settle_swap() {
            self.poison.set(&self.dir, error);
        }
    }

    /// Ends a swap at once, for whoever is about to change the files. Syncs, under the lock: swaps are short and
    /// truncations rare.
    pub(super) fn settle_swap(&mut self) -> Result<(), StorageError> {
        let Some(Swapping { base_offset, replaced_by, .. }) = self.swapping.take() else { return Ok(()) };
        let sync = self.sync_dir();
        match replaced_by {
            None => {
                for suffix in [names::LOG].iter().chain(&COMPANIONS) {
                    let path = swap::path(&self.dir, base_offset, suffix, SWAP);
                    let unlink = self.move_aside(path, 0)?;
                    self.unlinks.extend(unlink);
                }
            }
            Some(new) => {
                for (suffixes, stages) in [(&COMPANIONS[..], (SWAP, "")), (&[names::LOG], (SWAP, ""))] {
                    sync.again()?;
                    swap::rename(&*self.disk, &self.dir, base_offset, suffixes, stages)?;
                }
                new.named();
            }
        }
        sync.again()
    }
}
