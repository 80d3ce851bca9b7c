//! Compaction in the life of a log: taken a few steps at a time, so that appends, flushes, truncations, retention, a
//! failing disk and restarts fall between any two of them.

use logspine_storage::compaction::SyncDir;
use logspine_storage::disk::read_file;
use logspine_storage::{Compaction, CompactionError, Disk, KeyMemory, Replacement, Unpaced};

use super::Run;
use crate::model::{self, Event};
use crate::support::NOW_MS;

/// Room for a handful of keys, or for all of them.
const MEMORY: [KeyMemory; 2] =
    [KeyMemory { bytes: 24 * 6, load_factor: 0.9 }, KeyMemory { bytes: 1 << 14, load_factor: 0.9 }];

/// How long a tombstone stays.
pub(super) const DELETE_RETENTION_MS: i64 = 5_000;

/// A compaction under way.
pub(super) struct Underway {
    compaction: Compaction,
    replacement: Option<Replacement>,
    now_ms: i64,
}

impl Run {
    /// Some steps of the compaction that is under way, or of a new one.
    pub(super) fn compact(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.rng.below(9) {
            if self.log.check_poison().is_err() {
                return self.reopen();
            }
            let further = match self.underway.take() {
                Some(underway) => self.compact_further(underway),
                None => self.begin_compaction(),
            };
            match further {
                Ok(None) => return Ok(()),
                Ok(underway) => self.underway = underway,
                Err(CompactionError::Damaged(damage)) => {
                    return Err(format!("damage: in a compaction: {damage}"));
                }
                Err(_) if self.log.check_poison().is_err() => return self.reopen(),
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Up to the last stable offset; what is durable counts as committed.
    fn begin_compaction(&mut self) -> Result<Option<Underway>, CompactionError> {
        let committed = self.log.durable_end();
        self.log.high_watermark_moved(committed);
        let last_stable = self.log.first_unstable_offset().map_or(committed, |offset| offset.min(committed));
        let cleaned = self.dir.cleaned()?;
        let checkpoint = cleaned.get(&("topic".to_owned(), 0)).copied();
        // In a third of the cases tombstones that were seen before have had their time.
        let now_ms = NOW_MS + 1_000 + self.rng.below(3) as i64 * DELETE_RETENTION_MS;
        let cleanable = self.log.compaction_scope(last_stable).cleanable(checkpoint, now_ms);
        if cleanable.cleanable_bytes == 0 {
            return Ok(None);
        }
        let mut compaction = self.log.begin_compaction(cleanable, now_ms)?;
        let memory = MEMORY[self.rng.below(2) as usize];
        compaction.map_keys(memory, &mut Unpaced)?;
        Ok(Some(Underway { compaction, replacement: None, now_ms }))
    }

    /// One step; `None` when there are no more.
    fn compact_further(&mut self, mut underway: Underway) -> Result<Option<Underway>, CompactionError> {
        let Some(mut replacement) = underway.replacement.take() else {
            underway.replacement = underway.compaction.clean_next(&mut Unpaced)?;
            if underway.replacement.is_some() {
                self.note_replacement();
                return Ok(Some(underway));
            }
            let _ = self.dir.write_cleaned("topic", 0, underway.compaction.end_offset());
            return Ok(None);
        };
        let stepped = self.log.swap_step(&mut replacement, underway.now_ms);
        let synced = stepped.and_then(|sync| sync.map(|sync| self.sync(sync)).transpose());
        match synced {
            Ok(Some(())) => underway.replacement = Some(replacement),
            Ok(None) => self.know(Event::SwapDone),
            Err(error) => {
                self.log.abandon_swap(replacement, &error);
                if self.log.check_poison().is_ok() {
                    self.know(Event::SwapUndone);
                }
                return Err(error);
            }
        }
        Ok(Some(underway))
    }

    /// Between a step and its sync others have the log.
    fn sync(&mut self, sync: SyncDir) -> Result<(), CompactionError> {
        if self.rng.percent(20) {
            self.append();
        }
        sync.run()
    }

    /// What is about to be swapped in, read from the file that holds it.
    fn note_replacement(&mut self) {
        let dir = self.dir.partition_path("topic", 0);
        let names = self.disk.names(&dir).expect("the partition's directory");
        let name = names.iter().find(|name| name.ends_with(".log.cleaned")).expect("what was just cleaned");
        let from = name.split_once('.').and_then(|(base, _)| base.parse().ok()).expect("a base offset");
        let bytes = read_file(&self.disk, &dir.join(name)).expect("a live disk").unwrap_or_default();
        let after = model::batches(&bytes).expect("whole batches");
        // Nothing is left of a group that was truncated meanwhile; it will not get far.
        let end = after.last().map_or(from, |last| last.next);
        self.know(Event::SwapBegan { from, end, after });
    }
}
