//! What leaves a log at its start: whole segments by age, by size, and below the log start.
//!
//! Nothing above the high watermark goes. The log start is published before the segments leave the list; files
//! are renamed to `.deleted` at once, oldest first, and freed after `file.delete.delay.ms` outside of any lock
//! (`reclaim.rs`). Logs that are only compacted lose nothing here but what lies below the log start. Kafka:
//! `UnifiedLog.deleteOldSegments`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::Offset;

use super::Log;
use crate::disk::Access;
use crate::error::{StorageError, io_at};
use crate::names;
use crate::planted::Bug;
use crate::reclaim::Unlink;
use crate::segment::Segment;

/// What a retention run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Segments that left.
    pub deleted_segments: usize,
    /// Their bytes.
    pub deleted_bytes: u64,
}

impl Log {
    /// Deletes what the configs say may go, up to the high watermark.
    pub fn enforce_retention(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
    ) -> Result<Retained, StorageError> {
        self.check_writable()?;
        if self.swapping.is_some() {
            // Compaction has its hands on the files; the next run finds them.
            return Ok(Retained::default());
        }
        let mut segments = self.reader.segments();
        let mut count = self.deletable(&segments, now_ms, high_watermark);
        if count == segments.len() {
            // Even the active segment: it needs a successor first.
            self.roll(now_ms)?;
            segments = self.reader.segments();
            count = count.min(segments.len() - 1);
        }
        if count == 0 {
            return Ok(Retained::default());
        }
        let (gone, kept) = segments.split_at(count);
        let deleted_bytes = gone.iter().map(|segment| segment.size_bytes()).sum();
        self.raise_log_start(kept[0].base_offset);
        self.reader.publish_segments(kept.to_vec());
        self.reader.forget_open();
        let due_ms = now_ms + self.config.file_delete_delay_ms;
        for segment in gone {
            // Names that are not synced are lost in any order: the successor must stay before this one goes, and a newer
            // segment gone before an older one would be a hole that nobody sees.
            if !self.config.planted.has(Bug::DeletionBeforeNames) {
                self.disk.sync_dir(&self.dir).map_err(io_at("sync", &self.dir))?;
            }
            self.rename_deleted_log(segment, due_ms)?;
        }
        // A log whose new name is lost comes back below the recovery point, where nobody looks at its batches for aborted
        // transactions: their index must not be the only one that went.
        if !self.config.planted.has(Bug::IndexGoneBeforeLog) {
            self.disk.sync_dir(&self.dir).map_err(io_at("sync", &self.dir))?;
        }
        for segment in gone {
            self.rename_deleted_companions(segment, due_ms)?;
        }
        Ok(Retained { deleted_segments: count, deleted_bytes })
    }

    /// How many segments from the oldest on may go.
    fn deletable(&self, segments: &[Arc<Segment>], now_ms: i64, high_watermark: Offset) -> usize {
        let config = &self.config;
        let by_policy = config.cleanup_policy.delete;
        let mut excess = self.reader.size_bytes() as i64 - config.retention_bytes;
        let mut count = 0;
        for (number, segment) in segments.iter().enumerate() {
            let end = segments.get(number + 1).map_or(self.log_end(), |next| next.base_offset);
            let size_bytes = segment.size_bytes() as i64;
            let is_active = number + 1 == segments.len();
            if end > high_watermark || (is_active && size_bytes == 0) {
                break;
            }
            let is_old = |newest_ms: i64| now_ms.saturating_sub(newest_ms) > config.retention_ms;
            let by_time = by_policy
                && config.retention_ms >= 0
                && (is_old(newest_ms(segment)) || newest_ms(segment) > now_ms)
                && proven_newest_ms(&segments[number..]).is_some_and(is_old);
            let by_size = by_policy && config.retention_bytes >= 0 && excess >= size_bytes && !is_active;
            let by_start = end <= self.log_start() && !is_active;
            if !(by_time || by_size || by_start) {
                break;
            }
            excess -= size_bytes;
            count += 1;
        }
        count
    }

    /// DeleteRecords, or what a leader says: nothing below `offset` is served any more. Returns whether it moved.
    /// The caller keeps it at or below the high watermark and checkpoints it; segments leave with retention.
    pub fn advance_log_start(&mut self, offset: Offset) -> Result<bool, StorageError> {
        self.check_writable()?;
        if offset <= self.log_start() || offset > self.log_end() {
            return Ok(false);
        }
        self.raise_log_start(offset);
        Ok(true)
    }

    fn raise_log_start(&mut self, offset: Offset) {
        if offset > self.log_start() {
            self.reader.publish_log_start(offset);
        }
        if self.reader.epochs.write().truncate_from_start(self.log_start()) {
            self.dirty.epochs = true;
        }
    }

    /// Moves a segment's files out of the way; the `.log` first, so that a crash leaves no index without reason.
    pub(super) fn rename_deleted(&mut self, segment: &Segment, due_ms: i64) -> Result<(), StorageError> {
        self.rename_deleted_log(segment, due_ms)?;
        self.rename_deleted_companions(segment, due_ms)
    }

    fn rename_deleted_companions(&mut self, segment: &Segment, due_ms: i64) -> Result<(), StorageError> {
        for suffix in [names::INDEX, names::TIME_INDEX, names::TXN_INDEX, names::SNAPSHOT] {
            let unlink = self.move_aside(segment.path(suffix), due_ms)?;
            self.unlinks.extend(unlink);
        }
        Ok(())
    }

    /// Moves the `.log` alone.
    pub(super) fn rename_deleted_log(&mut self, segment: &Segment, due_ms: i64) -> Result<(), StorageError> {
        let readers = segment.retire();
        let unlink = self.move_aside(segment.path(names::LOG), due_ms)?;
        self.unlinks.extend(unlink.map(|unlink| unlink.held_by(readers)));
        Ok(())
    }

    /// Renames one file to `.deleted`; `None` if there is none.
    pub(super) fn move_aside(&mut self, path: PathBuf, due_ms: i64) -> Result<Option<Unlink>, StorageError> {
        self.dirty.dir = true;
        let deleted = self.free_deleted_name(&path);
        match self.disk.rename(&path, &deleted) {
            Ok(()) => Ok(Some(Unlink::file(&self.disk, deleted, due_ms))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_at("rename", &path)(error)),
        }
    }

    /// A name that no file on its way out has: to rename over one would free it here and now. As many are tried as
    /// there are such files.
    fn free_deleted_name(&self, path: &Path) -> PathBuf {
        let named = |number: u64| {
            let mut name = path.as_os_str().to_owned();
            if number > 0 {
                name.push(format!(".{number}"));
            }
            name.push(names::DELETED);
            PathBuf::from(name)
        };
        let is_free = |name: &PathBuf| self.disk.open(name, Access::Read).is_err();
        (0..).map(named).find(is_free).expect("a directory holds a finite number of files")
    }

    /// Whether files wait to be freed, due or not.
    pub fn has_unlinks(&self) -> bool {
        !self.unlinks.is_empty()
    }

    /// The files whose delay is over; freed without holding the log.
    pub fn take_unlinks(&mut self, now_ms: i64) -> Vec<Unlink> {
        let (due, later) = self.unlinks.drain(..).partition(|unlink| unlink.is_due(now_ms));
        self.unlinks = later;
        due
    }
}

/// The age of a segment as its index has it; one without timestamps is as old as we know it.
fn newest_ms(segment: &Segment) -> i64 {
    segment.max_timestamp().map_or(segment.created_ms, |max| max.timestamp)
}

/// The same as the batches have it: an index alone deletes nothing. Where they cannot be read, the segments behind
/// it, which are no older, must do.
fn proven_newest_ms(segments: &[Arc<Segment>]) -> Option<i64> {
    let proven = segments.iter().find(|segment| segment.proven_max_timestamp().is_ok());
    proven.map(|segment| newest_ms(segment))
}
