//! Walks a segment and judges each batch: its checksum, and what the checksum does not cover.
//!
//! The CRC leaves out base offset, length and leader epoch. A wrong length makes the CRC wrong; the epoch is
//! compared with the log's epochs; the base offset must fit between the neighbours, so a batch is judged when the
//! next one is known. Where two of them overlap, the one that also leaves a gap before it is the wrong one: gaps
//! alone are legal, for compaction makes them.

use std::io;

use logspine_protocol::types::{LeaderEpoch, Offset};

use super::Start;
use crate::disk::DiskFile;
use crate::error::Damage;
use crate::names;
use crate::reader::LogReader;
use crate::segment::Segment;
use crate::walk::{Look, Walk, WalkError};

/// Least and most that is asked of the disk at once, apart from batches that are larger.
const PIECE_BYTES_MIN: u64 = 16 << 10;
const PIECE_BYTES_MAX: u64 = 1 << 20;

/// Kafka writes it where a batch was made before there were epochs.
const NO_EPOCH: LeaderEpoch = LeaderEpoch(-1);

/// One batch, or what stands in place of one.
#[derive(Debug)]
pub(super) struct Checked {
    pub position: u64,
    pub end: u64,
    pub base: Offset,
    /// The offset after it.
    pub next: Offset,
    pub fault: Option<String>,
    /// Nothing can be found behind it.
    pub is_last: bool,
    /// It does not go on where the batch before it ended.
    is_doubtful: bool,
}

impl Checked {
    pub fn damage(&self, segment: &Segment, offset: Offset) -> Damage {
        let reason = self.fault.clone().unwrap_or_default();
        Damage { path: segment.path(names::LOG), position: self.position, offset, reason }
    }
}

pub(super) struct Checks<'f> {
    reader: &'f LogReader,
    walk: Walk<'f>,
    segment_base: Offset,
    /// Of the segment, as long as the walk: nothing may reach beyond it.
    end_offset: Offset,
    /// Batches above are being appended, and their epoch may not be known yet.
    log_end: Offset,
    /// What is known of the first batch: its base and its last offset.
    first: (Option<Offset>, Option<Offset>),
    /// Where the next batch should start, if that is known.
    expected: Option<Offset>,
    ahead: Option<Checked>,
    is_begun: bool,
}

impl<'f> Checks<'f> {
    /// Reads in pieces of about `bytes`, what is wanted, as far as pieces may be.
    pub fn new(
        reader: &'f LogReader,
        segment: &Segment,
        file: &'f dyn DiskFile,
        start: Start,
        bytes: u64,
    ) -> Checks<'f> {
        // The end first: what lies below it has its epoch.
        let log_end = reader.log_end();
        let (size_bytes, end_offset) = segment.look(|state| (state.size_bytes, state.end_offset));
        Checks {
            reader,
            walk: Walk::new(file, Look::Reporting, start.position, size_bytes)
                .in_pieces_of(bytes.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX) as usize),
            first: (start.base, start.last),
            segment_base: segment.base_offset,
            end_offset,
            log_end,
            expected: start.base.or((start.position == 0).then_some(segment.base_offset)),
            ahead: None,
            is_begun: false,
        }
    }

    /// The next batch with its verdict.
    pub fn next(&mut self) -> io::Result<Option<Checked>> {
        if !self.is_begun {
            self.is_begun = true;
            self.ahead = self.look_ahead()?;
        }
        let Some(mut batch) = self.ahead.take() else { return Ok(None) };
        if batch.is_last {
            return Ok(Some(batch));
        }
        self.expected = batch.fault.is_none().then_some(batch.next);
        self.ahead = self.look_ahead()?;
        if batch.fault.is_some() {
            return Ok(Some(batch));
        }
        match &mut self.ahead {
            Some(ahead) if ahead.fault.is_none() && batch.next > ahead.base => {
                let reason =
                    format!("offset {} lies before the end of the batch before, {}", ahead.base, batch.next);
                let wrong = if batch.is_doubtful { &mut batch } else { ahead };
                wrong.fault = Some(reason);
            }
            None if batch.next > self.end_offset => {
                batch.fault =
                    Some(format!("it ends at offset {}, the segment at {}", batch.next, self.end_offset));
            }
            _ => {}
        }
        Ok(Some(batch))
    }

    fn look_ahead(&mut self) -> io::Result<Option<Checked>> {
        let found = match self.walk.next() {
            Ok(None) => return Ok(None),
            Ok(Some(found)) => found,
            Err(WalkError::Io(error)) => return Err(error),
            Err(WalkError::Bad { position, reason }) => {
                let (base, next) = (Offset(i64::MIN), Offset(i64::MAX));
                let fault = Some(reason.to_string());
                return Ok(Some(Checked {
                    position,
                    end: position,
                    base,
                    next,
                    fault,
                    is_last: true,
                    is_doubtful: true,
                }));
            }
        };
        let header = found.header;
        let (base, next, epoch) =
            (header.base_offset(), header.next_offset(), header.partition_leader_epoch());
        let known_epoch = (next <= self.log_end).then(|| self.reader.epoch_of(base)).flatten();
        let (base_known, last_known) = std::mem::take(&mut self.first);
        let is_elsewhere = base_known.is_some_and(|known| known != base)
            || last_known.is_some_and(|known| known != header.last_offset());
        let fault = if !found.crc_fits {
            Some("the checksum of the batch does not fit".to_owned())
        } else if is_elsewhere {
            Some(format!(
                "it spans offsets {base} to {}, which are not those it was appended at",
                header.last_offset()
            ))
        } else if base < self.segment_base {
            Some(format!("offset {base} lies before the segment's first, {}", self.segment_base))
        } else if known_epoch.is_some_and(|known| epoch != NO_EPOCH && known != epoch) {
            Some(format!("it bears leader epoch {}, its offsets were appended in another", epoch.0))
        } else {
            None
        };
        let is_doubtful = self.expected.is_some_and(|expected| expected != base);
        Ok(Some(Checked {
            position: found.position,
            end: found.end(),
            base,
            next,
            fault,
            is_last: false,
            is_doubtful,
        }))
    }
}
