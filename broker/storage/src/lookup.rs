//! Offsets by time, for ListOffsets: the first record not older than a timestamp, and the youngest record.
//!
//! The time index leads to a batch, its header says whether it can hold the record, and only that one batch is
//! decompressed. As in Kafka the answer is the first record in offset order whose timestamp is large enough.

use std::sync::Arc;

use logspine_protocol::batch::{BatchView, RecordView};
use logspine_protocol::types::Offset;

use crate::disk::read_exact_at;
use crate::error::{ReadError, io_at};
use crate::names;
use crate::reader::{LogReader, TimestampOffset};
use crate::segment::{Located, Segment, SliceError};
use crate::time_index::TimeEntry;
use crate::walk::{Look, Walk, WalkError};

impl LogReader {
    /// The first record with a timestamp of at least `timestamp`; `None` if there is none.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<TimestampOffset>, ReadError> {
        self.on_settled_segments(|segments| self.first_not_older(segments, timestamp))
    }

    /// The record with the largest timestamp, the first of them; `None` if no record has one.
    pub fn max_timestamp(&self) -> Result<Option<TimestampOffset>, ReadError> {
        self.on_settled_segments(|segments| self.youngest(segments))
    }

    /// Looks again if segments were replaced or deleted under the look.
    fn on_settled_segments<T>(
        &self,
        look: impl Fn(&[Arc<Segment>]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let segments = self.segments();
            match look(&segments) {
                Err(ReadError::Storage(_)) if !Arc::ptr_eq(&segments, &self.segments()) => {}
                result => return result,
            }
        }
    }

    fn first_not_older(
        &self,
        segments: &[Arc<Segment>],
        timestamp: i64,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let log_start = self.log_start();
        for segment in segments {
            let max = segment.proven_max_timestamp();
            let max = max.map_err(|error| self.read_error(segment, segment.base_offset, error))?;
            if max.is_none_or(|max| max.timestamp < timestamp) {
                continue;
            }
            let floor = segment
                .look(|state| state.time_index.floor(|| segment.open_index(names::TIME_INDEX), timestamp));
            let floor = floor.ok().flatten().filter(|entry| segment.bears(*entry));
            let from = floor.map_or(segment.base_offset, |entry| entry.offset);
            let found = find(segment, from, log_start, timestamp, |record| record.timestamp >= timestamp);
            if let Some(found) = found.map_err(|error| self.read_error(segment, from, error))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn youngest(&self, segments: &[Arc<Segment>]) -> Result<Option<TimestampOffset>, ReadError> {
        let log_start = self.log_start();
        let mut best: Option<(&Segment, TimeEntry)> = None;
        for segment in segments.iter().filter(|segment| segment.end_offset() > log_start) {
            let youngest = youngest_batch(segment, log_start);
            if let Some(max) = youngest.map_err(|error| self.read_error(segment, log_start, error))?
                && best.is_none_or(|(_, so_far)| max.timestamp > so_far.timestamp)
            {
                best = Some((segment, max));
            }
        }
        let Some((segment, max)) = best else { return Ok(None) };
        let found =
            find(segment, max.offset, log_start, max.timestamp, |record| record.timestamp >= max.timestamp);
        found.map_err(|error| self.read_error(segment, max.offset, error))
    }
}

/// The segment's largest timestamp, of what the log start has left of it.
fn youngest_batch(segment: &Segment, log_start: Offset) -> Result<Option<TimeEntry>, SliceError> {
    if segment.base_offset >= log_start {
        return segment.proven_max_timestamp();
    }
    let (mut best, mut spanning): (Option<TimeEntry>, _) = (None, None);
    segment.walk(Look::Headers, 0, |found| {
        let header = &found.header;
        let entry = TimeEntry { timestamp: header.max_timestamp(), offset: header.last_offset() };
        // A batch that compaction emptied has a timestamp and no record that it could lead to.
        if entry.timestamp < 0 || entry.offset < log_start || header.record_count() == 0 {
        } else if header.base_offset() < log_start {
            spanning = Some((found.position, header.total_len()));
        } else if best.is_none_or(|so_far| entry.timestamp > so_far.timestamp) {
            best = Some(entry);
        }
    })?;
    // Its timestamp may be that of a record below the log start.
    if let Some((position, len)) = spanning {
        let served = youngest_record(segment, position, len, log_start)?;
        let is_younger = |entry: &TimeEntry| best.is_none_or(|so_far| entry.timestamp >= so_far.timestamp);
        best = served.filter(is_younger).or(best);
    }
    Ok(best)
}

/// The largest timestamp of a batch's records from the log start on.
fn youngest_record(
    segment: &Segment,
    position: u64,
    len: usize,
    log_start: Offset,
) -> Result<Option<TimeEntry>, SliceError> {
    let file = segment.file().map_err(SliceError::Storage)?;
    let mut bytes = vec![0; len];
    read_exact_at(&segment.watched(&*file), &mut bytes, position)
        .map_err(|error| SliceError::Storage(io_at("read", &segment.path(names::LOG))(error)))?;
    let bad = |reason| SliceError::Bad { position, reason };
    let (batch, _) = BatchView::parse(&bytes).map_err(bad)?;
    batch.verify_crc().map_err(bad)?;
    let mut best: Option<TimeEntry> = None;
    for record in &batch.records().map_err(bad)? {
        let record = record.map_err(bad)?;
        let entry = TimeEntry { timestamp: record.timestamp, offset: record.offset };
        if entry.offset >= log_start && best.is_none_or(|so_far| entry.timestamp > so_far.timestamp) {
            best = Some(entry);
        }
    }
    Ok(best)
}

/// Walks from the batch that contains `from` to the first batch young enough, and inside of it to the record.
fn find(
    segment: &Segment,
    from: Offset,
    log_start: Offset,
    timestamp: i64,
    matches: impl Fn(&RecordView<'_>) -> bool,
) -> Result<Option<TimestampOffset>, SliceError> {
    let position = match segment.look(|state| state.locate(from)) {
        Located::Exact(spot) => u64::from(spot.position),
        Located::From(position) => position,
        Located::InFile => segment.floor_in_file(from),
        Located::PastEnd => return Ok(None),
    };
    let file = segment.file().map_err(SliceError::Storage)?;
    let file = segment.watched(&*file);
    let path = segment.path(names::LOG);
    let io = |error| SliceError::Storage(io_at("read", &path)(error));
    let mut walk = Walk::new(&file, Look::Headers, position, segment.size_bytes());
    loop {
        let (position, len) = match walk.next() {
            Ok(None) => return Ok(None),
            Ok(Some(found))
                if found.header.max_timestamp() < timestamp || found.header.last_offset() < log_start =>
            {
                continue;
            }
            Ok(Some(found)) => (found.position, found.header.total_len()),
            Err(WalkError::Bad { position, reason }) => return Err(SliceError::Bad { position, reason }),
            Err(WalkError::Io(error)) => return Err(io(error)),
        };
        let mut bytes = vec![0; len];
        read_exact_at(&file, &mut bytes, position).map_err(io)?;
        let bad = |reason| SliceError::Bad { position, reason };
        let (batch, _) = BatchView::parse(&bytes).map_err(bad)?;
        batch.verify_crc().map_err(bad)?;
        for record in &batch.records().map_err(bad)? {
            let record = record.map_err(bad)?;
            if record.offset >= log_start && matches(&record) {
                return Ok(Some(TimestampOffset {
                    timestamp: record.timestamp,
                    offset: record.offset,
                    leader_epoch: batch.partition_leader_epoch(),
                }));
            }
        }
    }
}
