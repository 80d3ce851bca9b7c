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
use crate::planted::Bug;
use crate::segment::{Located, Segment, State};
use crate::walk::Look;
use crate::{checkpoint, names, recovery};

impl Log {
    /// Removes every batch that holds an offset at or above `offset`. Returns whether there was one. The new log
    /// end is `offset`, or lower: where the last batch that is left ends.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<bool, StorageError> {
        self.check_writable()?;
        if offset >= self.log_end() {
            return Ok(false);
        }
        let settled = self.settle_swap();
        self.whole_or_poisoned(settled)?;
        if offset < self.log_start() {
            self.truncate_fully_and_start_at(offset)?;
            return Ok(true);
        }
        let mut segments = self.reader.segments().as_ref().clone();
        let keep = segments.partition_point(|segment| segment.base_offset <= offset).max(1);
        let last = segments[keep - 1].clone();
        let position = cut_position(&last, offset)?;
        let state = self.rebuild_state(&last, position)?;
        // Not the offset itself, if it lies in a gap that compaction left: no file would say so after a restart.
        let log_end = match self.config.planted.has(Bug::TruncationIntoGap) {
            true => offset,
            false => state.end_offset,
        };
        if log_end < self.log_start() {
            // The batch that spans the offset began before the log start: nothing that is served is left.
            self.truncate_fully_and_start_at(self.log_start())?;
            return Ok(true);
        }
        self.lower_ends(log_end, log_end)?;
        let gone = segments.split_off(keep);
        let cut = self.cut_segment(&last, position, state, &gone);
        self.whole_or_poisoned(cut)?;
        self.reader.publish_segments(segments);
        let followed = self.after_truncation();
        self.whole_or_poisoned(followed)?;
        Ok(true)
    }

    fn cut_segment(
        &mut self,
        last: &Arc<Segment>,
        position: u64,
        state: State,
        gone: &[Arc<Segment>],
    ) -> Result<(), StorageError> {
        for segment in gone.iter().rev() {
            self.rename_deleted(segment, 0)?;
        }
        let file = last.file()?;
        let path = last.path(names::LOG);
        file.truncate(position).map_err(io_at("truncate", &path))?;
        last.clear_index_files()?;
        last.change(|current| *current = state);
        last.set_active(true);
        (self.active, self.dirty.active) = (last.clone(), Some(file));
        Ok(())
    }

    /// Half a truncation leaves files and memory apart: from here on only a restart knows what there is.
    fn whole_or_poisoned(&self, result: Result<(), StorageError>) -> Result<(), StorageError> {
        if let Err(error) = &result
            && !self.config.planted.has(Bug::HalfTruncation)
        {
            self.poison.set(&self.dir, error);
        }
        result
    }

    /// Drops everything and begins anew at `offset`, as a follower does whose leader no longer has its end.
    ///
    /// The new segment is there before the old ones go, older ones leave oldest first and later ones newest first:
    /// a crash in between finds a whole log, old or new, and never an end below what is left of the old one. The
    /// durable end reaches `offset` with the next flush.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.check_writable()?;
        let settled = self.settle_swap();
        self.whole_or_poisoned(settled)?;
        // To 0: the segments that are left may end anywhere, and that must not look like a loss.
        self.lower_ends(offset.min(self.log_end()), Offset(0))?;
        let begun = self.begin_anew_at(offset);
        self.whole_or_poisoned(begun)
    }

    fn begin_anew_at(&mut self, offset: Offset) -> Result<(), StorageError> {
        let segments = self.reader.segments();
        let same = segments.iter().find(|segment| segment.base_offset == offset);
        let active = match same {
            Some(segment) => segment.clone(),
            None => Arc::new(Segment::create(&self.disk, &self.dir, offset, segments[0].created_ms)?),
        };
        let older = segments.iter().filter(|segment| segment.base_offset < offset);
        let later = segments.iter().rev().filter(|segment| segment.base_offset > offset);
        for segment in older.chain(later) {
            // Names that are not synced are lost in any order: before the first the new one, then each before the next.
            self.disk.sync_dir(&self.dir).map_err(io_at("sync", &self.dir))?;
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

    /// First the ends in memory, then the durable recovery point, and only then bytes may go. If the disk does not take
    /// the point, the log is as it was.
    fn lower_ends(&mut self, log_end: Offset, recovery_point: Offset) -> Result<(), StorageError> {
        if !self.config.planted.has(Bug::SwapOverTruncation) {
            self.reader.truncation_begins();
        }
        let before = (self.durable_end(), self.log_end(), self.flush_cap);
        self.reader.publish_durable_end(before.0.min(log_end));
        self.reader.publish_log_end(log_end);
        if !self.config.planted.has(Bug::FlushForgetsTruncation) {
            self.flush_cap = self.flush_cap.map(|cap| cap.min(log_end));
        }
        if self.config.planted.has(Bug::RecoveryPointNotLowered) {
            return Ok(());
        }
        let (data_dir, topic) = (self.dir.parent().unwrap_or(Path::new(".")), &self.topic);
        let lowered =
            checkpoint::lower_recovery_point(&*self.disk, data_dir, topic, self.partition.0, recovery_point);
        if lowered.is_err() {
            self.reader.publish_log_end(before.1);
            self.reader.publish_durable_end(before.0);
            self.flush_cap = before.2;
        }
        lowered
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
        if self.config.planted.has(Bug::TruncationNotSynced) {
            (self.dirty.active, self.dirty.dir) = (None, false);
        }
        self.unclosed = true;
        self.allocated_bytes = 0;
        self.dirty.epochs |= self.reader.epochs.write().truncate_from_end(log_end);
        self.reader.forget_open();
        recovery::remove_snapshots_after(&*self.disk, &self.dir, log_end)?;
        if !self.config.planted.has(Bug::AbortedTxnsKept) {
            self.reader.txn_index.truncate(log_end)?;
        }
        self.undecided.retain(|_, marker| *marker < log_end);
        let segments = self.reader.segments();
        self.producers = recovery::load_producers(&*self.disk, &self.dir, &segments, log_end)?.producers;
        Ok(())
    }
}

/// Where the first batch that holds an offset at or above `offset` starts.
fn cut_position(segment: &Segment, offset: Offset) -> Result<u64, StorageError> {
    let start = match segment.look(|state| state.locate(offset)) {
        Located::PastEnd => return Ok(segment.size_bytes()),
        Located::Exact(spot) => u64::from(spot.position),
        Located::From(position) => position,
        Located::InFile => segment.floor_in_file(offset),
    };
    let mut cut = None;
    segment
        .walk(Look::Headers, start, |found| {
            if cut.is_none() && found.header.last_offset() >= offset {
                cut = Some(found.position);
            }
        })
        .map_err(|error| walk_error(segment, offset, error))?;
    Ok(cut.unwrap_or(segment.size_bytes()))
}
