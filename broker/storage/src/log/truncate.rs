//! Cutting a log's end, as a follower does when the leader's history differs.
//!
//! The durable recovery point is lowered before a byte is cut: otherwise a crash in between would look like the
//! loss of bytes that were known to be safe. Afterwards the log is dirty; a follower flushes before it asks for
//! more. Later segments leave newest first, so that a crash leaves a log without holes.

use std::path::Path;
use std::sync::Arc;

use logspine_protocol::types::Offset;

use super::{Log, walk_error};
use crate::error::{StorageError, io_at};
use crate::segment::{Located, Segment, State};
use crate::walk::Look;
use crate::{checkpoint, names, recovery};

impl Log {
    /// Removes every batch that holds an offset at or above `offset`. Returns whether there was one. The new log
    /// end is `offset`, or lower if a batch spans it.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<bool, StorageError> {
        self.check_writable()?;
        if offset >= self.log_end() {
            return Ok(false);
        }
        self.settle_swap()?;
        if offset < self.log_start() {
            self.truncate_fully_and_start_at(offset)?;
            return Ok(true);
        }
        let mut segments = self.reader.segments().as_ref().clone();
        let keep = segments.partition_point(|segment| segment.base_offset <= offset).max(1);
        let last = segments[keep - 1].clone();
        let (position, log_end) = cut_position(&last, offset)?;
        if log_end < self.log_start() {
            // The batch that spans the offset began before the log start: nothing that is served is left.
            self.truncate_fully_and_start_at(self.log_start())?;
            return Ok(true);
        }
        let state = self.rebuild_state(&last, position)?;
        self.lower_ends(log_end, log_end)?;
        let gone = segments.split_off(keep);
        for segment in gone.iter().rev() {
            self.rename_deleted(segment, 0)?;
        }
        let file = last.file()?;
        let path = last.path(names::LOG);
        file.truncate(position).map_err(io_at("truncate", &path))?;
        last.clear_index_files()?;
        last.change(|current| *current = state);
        last.set_active(true);
        (self.active, self.dirty.active) = (last, Some(file));
        self.reader.publish_segments(segments);
        self.after_truncation()?;
        Ok(true)
    }

    /// Drops everything and begins anew at `offset`, as a follower does whose leader no longer has its end.
    ///
    /// The new segment is there before the old ones go, older ones leave oldest first and later ones newest first:
    /// a crash in between finds a whole log, old or new, and never an end below what is left of the old one. The
    /// durable end reaches `offset` with the next flush.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.check_writable()?;
        self.settle_swap()?;
        // To 0: the segments that are left may end anywhere, and that must not look like a loss.
        self.lower_ends(offset.min(self.log_end()), Offset(0))?;
        let segments = self.reader.segments();
        let same = segments.iter().find(|segment| segment.base_offset == offset);
        let active = match same {
            Some(segment) => segment.clone(),
            None => Arc::new(Segment::create(&self.disk, &self.dir, offset, segments[0].created_ms)?),
        };
        self.disk.sync_dir(&self.dir).map_err(io_at("sync", &self.dir))?;
        for segment in segments.iter().filter(|segment| segment.base_offset < offset) {
            self.rename_deleted(segment, 0)?;
        }
        for segment in segments.iter().rev().filter(|segment| segment.base_offset > offset) {
            self.rename_deleted(segment, 0)?;
        }
        let file = active.file()?;
        file.truncate(0).map_err(io_at("truncate", &active.path(names::LOG)))?;
        active.clear_index_files()?;
        active.change(|state| *state = State::empty(offset));
        active.set_active(true);
        (self.active, self.dirty.active) = (active.clone(), Some(file));
        self.reader.publish_segments(vec![active]);
        self.reader.publish_log_start(offset);
        self.reader.publish_log_end(offset);
        self.dirty.epochs |= self.reader.epochs.write().truncate_from_start(offset);
        self.after_truncation()
    }

    /// First the ends in memory, then the durable recovery point, and only then bytes may go.
    fn lower_ends(&mut self, log_end: Offset, recovery_point: Offset) -> Result<(), StorageError> {
        self.reader.publish_durable_end(self.durable_end().min(log_end));
        self.reader.publish_log_end(log_end);
        self.flush_cap = self.flush_cap.map(|cap| cap.min(log_end));
        let data_dir = self.dir.parent().unwrap_or(Path::new("."));
        checkpoint::lower_recovery_point(&*self.disk, data_dir, &self.topic, self.partition.0, recovery_point)
    }

    fn rebuild_state(&self, segment: &Segment, size_bytes: u64) -> Result<State, StorageError> {
        let mut state = State::empty(segment.base_offset);
        let interval = self.config.index_interval_bytes;
        segment
            .walk(Look::Headers, 0, |found| {
                if found.end() <= size_bytes {
                    state.push(&found.header, interval);
                }
            })
            .map_err(|error| walk_error(segment, segment.base_offset, error))?;
        Ok(state)
    }

    /// Epochs, producers and snapshots follow the new end.
    fn after_truncation(&mut self) -> Result<(), StorageError> {
        let log_end = self.log_end();
        self.dirty.dir = true;
        self.unclosed = true;
        self.allocated_bytes = 0;
        self.dirty.epochs |= self.reader.epochs.write().truncate_from_end(log_end);
        self.reader.forget_open();
        recovery::remove_snapshots_after(&*self.disk, &self.dir, log_end)?;
        self.reader.txn_index.truncate(log_end)?;
        self.undecided.retain(|_, marker| *marker < log_end);
        let segments = self.reader.segments();
        self.producers = recovery::load_producers(&*self.disk, &self.dir, &segments, log_end)?.producers;
        Ok(())
    }
}

/// Where the first batch that holds an offset at or above `offset` starts, and its base offset.
fn cut_position(segment: &Segment, offset: Offset) -> Result<(u64, Offset), StorageError> {
    let start = match segment.look(|state| state.locate(offset)) {
        Located::PastEnd => return Ok(segment.look(|state| (state.size_bytes, state.end_offset))),
        Located::Exact(spot) => u64::from(spot.position),
        Located::From(position) => position,
        Located::InFile => segment.floor_in_file(offset),
    };
    let mut cut = None;
    let mut previous_end = segment.base_offset;
    segment
        .walk(Look::Headers, start, |found| {
            if cut.is_none() && found.header.last_offset() >= offset {
                // In a gap between batches the log may end at `offset` itself.
                cut = Some((found.position, found.header.base_offset().min(offset)));
            }
            previous_end = found.header.next_offset();
        })
        .map_err(|error| walk_error(segment, offset, error))?;
    Ok(cut.unwrap_or((segment.size_bytes(), previous_end)))
}
