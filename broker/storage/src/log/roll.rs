//! Rolling: sealing the active segment and beginning the next one, without a sync.
//!
//! A segment rolls when the batch does not fit, when it is old by its records' timestamps, when an index is full,
//! or when an offset no longer fits 32 bits relative to its base. The sealed files stay in the dirty set until
//! the next flush has them: forgetting that is the oldest way to lose a log. Kafka: `LogSegment.shouldRoll`,
//! `UnifiedLog.roll`.

use std::io::IoSlice;
use std::sync::Arc;

use logspine_protocol::types::Offset;

use super::Log;
use crate::disk::Access;
use crate::error::{StorageError, io_at};
use crate::names;
use crate::planted::Bug;
use crate::segment::Segment;

/// Index entries kept in memory over all segments of a log, 12 bytes each; older segments use their files.
const MEMORY_ENTRIES_MAX: usize = 1 << 20;

impl Log {
    /// Rolls if `incoming` bytes up to `last_offset` must not go into the active segment.
    pub(super) fn roll_for(
        &mut self,
        incoming: u64,
        last_offset: Offset,
        max_timestamp: i64,
        now_ms: i64,
    ) -> Result<bool, StorageError> {
        let due = self.active.look(|state| {
            if state.size_bytes == 0 {
                return false;
            }
            let full = state.size_bytes + incoming > self.config.segment_bytes.max(1) as u64;
            let index_max = self.config.segment_index_bytes.max(0) as u64;
            let index_full =
                state.index.entries() >= index_max / 8 || state.time_index.entries() + 1 >= index_max / 12;
            let too_far = last_offset - self.active.base_offset > i64::from(i32::MAX);
            // Age is measured between records if they have timestamps, else by the clock.
            let age_ms = match state.first_timestamp {
                Some(first) if first >= 0 => max_timestamp.saturating_sub(first),
                _ => now_ms.saturating_sub(self.active.created_ms),
            };
            full || index_full || too_far || age_ms > self.config.segment_ms - self.jitter_ms()
        });
        if due {
            self.roll(now_ms)?;
        }
        Ok(due)
    }

    /// Rolls a segment that grew old while nothing was appended, so that retention can have it.
    pub fn roll_if_due(&mut self, now_ms: i64) -> Result<bool, StorageError> {
        self.check_appendable()?;
        let due = self.active.look(|state| {
            let born_ms = state.first_timestamp.filter(|first| *first >= 0).unwrap_or(self.active.created_ms);
            state.size_bytes > 0 && now_ms.saturating_sub(born_ms) > self.config.segment_ms - self.jitter_ms()
        });
        if due {
            self.roll(now_ms)?;
        }
        Ok(due)
    }

    /// Begins a new segment at the log end.
    pub(super) fn roll(&mut self, now_ms: i64) -> Result<(), StorageError> {
        if self.active.base_offset == Offset(0) && self.durable_end() == Offset(0) {
            // The first name must not be lost while a later one is kept: what is left would look like a whole log.
            self.disk.sync_dir(&self.dir).map_err(io_at("sync", &self.dir))?;
        }
        let log_end = self.log_end();
        self.cut_leftovers()?;
        self.trim_active()?;
        let indexes = self.active.write_indexes(true)?;
        self.write_snapshot()?;
        let next = Arc::new(Segment::create(&self.disk, &self.dir, log_end, now_ms)?);
        let sealed = std::mem::replace(&mut self.active, next.clone());
        sealed.set_active(false);
        let sealed_file = self.dirty.active.take();
        self.dirty.files.extend(sealed_file.filter(|_| !self.config.planted.has(Bug::SyncForgottenAtRoll)));
        self.dirty.files.extend(indexes);
        self.dirty.dir = true;
        self.unclosed = true;
        let mut segments = self.reader.segments().as_ref().clone();
        bound_index_memory(&segments);
        sealed.close_if_sealed();
        segments.push(next);
        self.reader.publish_segments(segments);
        Ok(())
    }

    /// Writes the producer state as of the log end.
    pub(super) fn write_snapshot(&mut self) -> Result<(), StorageError> {
        let path = names::segment_file(&self.dir, self.log_end(), names::SNAPSHOT);
        let file = self.disk.open(&path, Access::Write).map_err(io_at("open", &path))?;
        file.truncate(0).map_err(io_at("truncate", &path))?;
        file.write_at(&[IoSlice::new(&self.producers.encode())], 0).map_err(io_at("write", &path))?;
        self.dirty.files.push(file);
        self.dirty.dir = true;
        Ok(())
    }

    /// Spreads the rolls of many partitions: a fixed part of the jitter for each segment.
    fn jitter_ms(&self) -> i64 {
        let jitter_ms = self.config.segment_jitter_ms.min(self.config.segment_ms);
        if jitter_ms <= 0 {
            return 0;
        }
        let seed = (self.active.base_offset.0 as u64).wrapping_add(self.partition.0 as u64 + 1);
        (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) as i64 % jitter_ms
    }
}

fn bound_index_memory(segments: &[Arc<Segment>]) {
    let mut entries = 0;
    for segment in segments.iter().rev() {
        entries += segment.look(|state| state.index.entries_in_memory());
        if entries > MEMORY_ENTRIES_MAX {
            segment.change(|state| {
                state.index.forget_memory();
                state.time_index.forget_memory();
            });
        }
    }
}
