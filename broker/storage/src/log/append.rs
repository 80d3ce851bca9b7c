//! Appending: a leader assigns offsets, a follower copies them; the body of a batch is never copied or decoded.
//!
//! Only base offset, leader epoch and, with LogAppendTime, attributes, timestamp and CRC of the 61-byte header
//! change; header and body leave in one vectored write. The order after the write is: segment state, producers,
//! epochs, and last the published log end. A write that fails leaves the log as it was.

use std::io::IoSlice;

use logspine_protocol::batch::{
    self, BatchError, BatchHeader, BatchView, ControlRecord, NO_TIMESTAMP, TimestampType, iter_batches,
};
use logspine_protocol::types::{LeaderEpoch, Offset};

use super::Log;
use crate::error::{AppendError, StorageError, io_at};
use crate::names;

/// Where an append landed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendInfo {
    /// Offset of the first record.
    pub first_offset: Offset,
    /// Offset of the last record.
    pub last_offset: Offset,
    /// Largest timestamp.
    pub max_timestamp: i64,
    /// With LogAppendTime the time that was set, else -1.
    pub log_append_time_ms: i64,
    /// The batch had been appended before; the offsets are those of then. They may not be durable yet.
    pub duplicate: bool,
    /// A new segment was begun.
    pub rolled: bool,
}

impl AppendInfo {
    /// This append followed by another one.
    fn then(self, next: AppendInfo) -> AppendInfo {
        AppendInfo {
            first_offset: self.first_offset,
            last_offset: next.last_offset,
            max_timestamp: self.max_timestamp.max(next.max_timestamp),
            log_append_time_ms: next.log_append_time_ms,
            duplicate: self.duplicate && next.duplicate,
            rolled: self.rolled || next.rolled,
        }
    }
}

impl Log {
    /// Appends batches that a producer, or a state log, has built; assigns offsets from the log end. Validated
    /// before by `batch::validate_produced` and `batch::admit`. Each batch is atomic; an error leaves those before it appended.
    pub fn append_as_leader(
        &mut self,
        batches: &[u8],
        epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_appendable()?;
        let mut info: Option<AppendInfo> = None;
        for batch in iter_batches(batches) {
            let next = self.append_one(&batch?, epoch, now_ms)?;
            info = Some(info.map_or(next, |so_far| so_far.then(next)));
        }
        info.ok_or(AppendError::Batch(BatchError::Empty))
    }

    fn append_one(
        &mut self,
        batch: &BatchView<'_>,
        epoch: LeaderEpoch,
        now_ms: i64,
    ) -> Result<AppendInfo, AppendError> {
        self.check_limits(batch)?;
        if let Some(known) = self.producers.check(batch)? {
            return Ok(AppendInfo {
                first_offset: known.first_offset(),
                last_offset: known.last_offset,
                max_timestamp: known.timestamp,
                log_append_time_ms: NO_TIMESTAMP,
                duplicate: true,
                rolled: false,
            });
        }
        let mut header = batch.to_bytes();
        batch::patch_offset_and_epoch(&mut header, self.log_end(), epoch);
        let mut log_append_time_ms = NO_TIMESTAMP;
        if self.config.message_timestamp_type == TimestampType::LogAppendTime {
            batch::rewrite_for_log_append_time(&mut header, batch.body(), now_ms);
            log_append_time_ms = now_ms;
        }
        let marker = marker_of(batch);
        let header = BatchHeader::parse(&header)?;
        let rolled =
            self.roll_for(header.total_len() as u64, header.last_offset(), header.max_timestamp(), now_ms)?;
        self.write(&[IoSlice::new(&header.to_bytes()), IoSlice::new(batch.body())])?;
        self.note(&header, marker);
        self.reader.publish_log_end(header.next_offset());
        Ok(AppendInfo {
            first_offset: header.base_offset(),
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp(),
            log_append_time_ms,
            duplicate: false,
            rolled,
        })
    }

    /// Appends what a leader sent, offsets and epochs as they are. Checks every CRC and that the batches continue
    /// the log (gaps are legal: the leader's log may be compacted). All or nothing, in one write.
    pub fn append_as_follower(&mut self, batches: &[u8]) -> Result<AppendInfo, AppendError> {
        self.check_appendable()?;
        let first_offset = self.log_end();
        let (mut expected, mut max_timestamp, mut first) = (first_offset, NO_TIMESTAMP, None);
        for batch in iter_batches(batches) {
            let batch = batch?;
            batch.verify_crc()?;
            if batch.base_offset() < expected || batch.last_offset_delta() < 0 {
                return Err(AppendError::NotContiguous { expected, found: batch.base_offset() });
            }
            expected = batch.next_offset();
            max_timestamp = max_timestamp.max(batch.max_timestamp());
            first = first.or(Some(batch.base_offset()));
        }
        let first_offset = first.ok_or(AppendError::Batch(BatchError::Empty))?;
        let last_offset = Offset(expected.0 - 1);
        let rolled = self.roll_for(batches.len() as u64, last_offset, max_timestamp, max_timestamp)?;
        self.write(&[IoSlice::new(batches)])?;
        for batch in iter_batches(batches) {
            let batch = batch?;
            self.note(&batch, marker_of(&batch));
        }
        self.reader.publish_log_end(expected);
        Ok(AppendInfo {
            first_offset,
            last_offset,
            max_timestamp,
            log_append_time_ms: NO_TIMESTAMP,
            duplicate: false,
            rolled,
        })
    }

    /// What the log itself relies on; records, keys and timestamps were judged by `batch::admit`.
    fn check_limits(&self, batch: &BatchView<'_>) -> Result<(), AppendError> {
        let config = &self.config;
        let size_bytes = batch.total_len();
        if size_bytes > config.max_message_bytes.max(0) as usize {
            return Err(AppendError::RecordTooLarge {
                size_bytes,
                max_message_bytes: config.max_message_bytes,
            });
        }
        if batch.last_offset_delta() < 0 {
            let (records, last_offset_delta) = (batch.record_count(), batch.last_offset_delta());
            return Err(BatchError::Count { records, last_offset_delta }.into());
        }
        Ok(())
    }

    /// Writes behind the last whole batch. After a failure the file is cut back to it, now or before the next append.
    fn write(&mut self, slices: &[IoSlice<'_>]) -> Result<(), AppendError> {
        let position = self.active.size_bytes();
        let file = self.active.file().map_err(AppendError::from)?;
        let len_bytes = slices.iter().map(|slice| slice.len() as u64).sum();
        self.allocate(&*file, position, len_bytes);
        self.unclosed = true;
        let written = file.write_at(slices, position).map_err(|error| {
            self.uncut = file.truncate(position).is_err();
            AppendError::from(io_at("append to", &self.active.path(names::LOG))(error))
        });
        self.dirty.active.get_or_insert(file);
        written?;
        self.active.trust.appended(position);
        Ok(())
    }

    /// Whether the log takes an append now. What a failed write left behind goes first: a shorter batch over it would
    /// leave the rest as garbage, or as a batch that nobody acknowledged.
    pub(super) fn check_appendable(&mut self) -> Result<(), StorageError> {
        self.check_writable()?;
        self.cut_leftovers()
    }

    /// Cuts the file where the log ends, if there may be anything behind.
    pub(super) fn cut_leftovers(&mut self) -> Result<(), StorageError> {
        if self.uncut {
            let file = self.active.file()?;
            let cut = file.truncate(self.active.size_bytes());
            cut.map_err(io_at("cut a failed write off", &self.active.path(names::LOG)))?;
            self.dirty.active.get_or_insert(file);
            self.uncut = false;
        }
        Ok(())
    }

    fn note(&mut self, header: &BatchHeader<'_>, marker: Option<ControlRecord>) {
        let interval = self.config.index_interval_bytes;
        self.active.change(|state| state.push(header, interval));
        self.note_producer(header, marker);
        if self.reader.epochs.write().assign(header.partition_leader_epoch(), header.base_offset()) {
            self.dirty.epochs = true;
        }
    }
}

/// The record of a control batch.
pub(crate) fn marker_of(batch: &BatchView<'_>) -> Option<ControlRecord> {
    if !batch.is_control() {
        return None;
    }
    let records = batch.records().ok()?;
    let record = records.iter().next()?.ok()?;
    ControlRecord::parse(&record)
}
