//! What everybody but the owner sees of a log: reads without the owner's lock.
//!
//! The segment list is swapped as a whole, the four positions are atomics; a slice holds the open file, so that
//! retention cannot take it away while it is being sent. Publication order on append: the segment's state first,
//! the log end last, so that whoever sees an end finds the bytes below it. Lookups by time are in `lookup.rs`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use logspine_protocol::types::{LeaderEpoch, Offset};
use parking_lot::{Mutex, RwLock};

use crate::disk::{DiskFile, read_exact_at};
use crate::epochs::{EpochEnd, Epochs};
use crate::error::{Damage, ReadError};
use crate::names;
use crate::segment::{Segment, SliceError, Sliced};
use crate::txn_index::{AbortedTxn, TxnIndex};

/// Sealed segments whose file stays open after a read.
const OPEN_SEALED_MAX: usize = 8;

/// Reads one log.
#[derive(Debug)]
pub struct LogReader {
    dir: Arc<Path>,
    /// Sorted by base offset, never empty, the last one is appended to.
    segments: ArcSwap<Vec<Arc<Segment>>>,
    log_start: AtomicI64,
    log_end: AtomicI64,
    durable_end: AtomicI64,
    pub(crate) epochs: RwLock<Epochs>,
    pub(crate) txn_index: TxnIndex,
    damage: OnceLock<Damage>,
    open_sealed: Mutex<VecDeque<Arc<Segment>>>,
}

/// Whole batches of one segment; holds the file open.
#[derive(Debug, Clone)]
pub struct LogSlice {
    /// The `.log` file; an empty slice has an empty file.
    pub file: Arc<dyn DiskFile>,
    /// Where the slice starts in the file.
    pub position: u64,
    /// Bytes.
    pub len: u32,
    /// Base offset of the first batch; not above the offset asked for, gaps apart.
    pub first_offset: Offset,
}

/// A record found by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Offset of the record.
    pub offset: Offset,
    /// Leader epoch of its batch.
    pub leader_epoch: LeaderEpoch,
}

impl LogSlice {
    fn empty(from: Offset) -> LogSlice {
        LogSlice { file: Arc::new(EmptyFile), position: 0, len: 0, first_offset: from }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads the slice into `buffer`, which must be exactly as long.
    pub fn read_into(&self, buffer: &mut [u8]) -> io::Result<()> {
        assert_eq!(buffer.len(), self.len as usize, "the buffer is as long as the slice");
        read_exact_at(&*self.file, buffer, self.position)
    }

    /// The slice's bytes.
    pub fn to_vec(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len as usize];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }
}

impl LogReader {
    pub(crate) fn new(
        dir: Arc<Path>,
        segments: Vec<Arc<Segment>>,
        log_start: Offset,
        epochs: Epochs,
        txn_index: TxnIndex,
    ) -> LogReader {
        let log_end = segments.last().map_or(log_start, |active| active.end_offset());
        LogReader {
            dir,
            segments: ArcSwap::from_pointee(segments),
            log_start: AtomicI64::new(log_start.0),
            log_end: AtomicI64::new(log_end.0),
            durable_end: AtomicI64::new(log_end.0),
            epochs: RwLock::new(epochs),
            txn_index,
            damage: OnceLock::new(),
            open_sealed: Mutex::new(VecDeque::new()),
        }
    }

    /// The first offset that is served.
    pub fn log_start(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// The offset that the next record gets.
    pub fn log_end(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// Everything below is on stable storage.
    pub fn durable_end(&self) -> Offset {
        Offset(self.durable_end.load(Ordering::Acquire))
    }

    /// The newest leader epoch in the log.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.read().latest()
    }

    /// The epoch in which an offset was appended.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.read().epoch_of(offset)
    }

    /// Where an epoch ends here (OffsetForLeaderEpoch); `None` for an epoch newer than all known ones.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.epochs.read().end_offset(epoch, self.log_end())
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.size_bytes()).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.load().len()
    }

    /// Base offset of the segment that is appended to: a slice from below it ends where its segment ends, and more
    /// may follow at once.
    pub fn active_base_offset(&self) -> Offset {
        self.segments.load().last().map_or(self.log_end(), |active| active.base_offset)
    }

    /// The damage found when the log was opened, if any.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.get()
    }

    /// The partition's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whole batches from the one that contains `from`, all below `limit`, within one segment.
    ///
    /// At most `max_bytes`, but with `min_one` at least one batch if there is one. Empty only if there is no batch
    /// below the limit, or if the first does not fit and `min_one` is not set. The next read from the offset after
    /// the slice continues without a gap, whatever the budget.
    pub fn read(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: u32,
        min_one: bool,
    ) -> Result<LogSlice, ReadError> {
        loop {
            let segments = self.segments.load_full();
            let (log_start, log_end) = (self.log_start(), self.log_end());
            if from < log_start || from > log_end {
                return Err(ReadError::OutOfRange { requested: from, log_start, log_end });
            }
            match self.read_from(&segments, from, limit.min(log_end), max_bytes, min_one) {
                // Retention renamed a file that this list still names: look again, `from` may be gone now.
                Err(ReadError::Storage(_)) if !Arc::ptr_eq(&segments, &self.segments.load_full()) => {}
                result => return result,
            }
        }
    }

    fn read_from(
        &self,
        segments: &[Arc<Segment>],
        from: Offset,
        mut limit: Offset,
        max_bytes: u32,
        min_one: bool,
    ) -> Result<LogSlice, ReadError> {
        if let Some(damage) = self.damage() {
            if from >= damage.offset && from < limit {
                return Err(damage.clone().into());
            }
            limit = limit.min(damage.offset);
        }
        if from >= limit {
            return Ok(LogSlice::empty(from));
        }
        let first = segments.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
        for segment in &segments[first..] {
            let was_open = segment.is_open();
            let sliced = segment.slice(from, limit, u64::from(max_bytes), min_one);
            match sliced.map_err(|error| self.read_error(segment, from, error))? {
                Sliced::PastEnd => {}
                Sliced::Empty => return Ok(LogSlice::empty(from)),
                Sliced::Run { position, len, first_offset } => {
                    let file = segment.file()?;
                    if !was_open {
                        self.keep_open(segment);
                    }
                    // A segment, and so a slice, is at most 2 GiB.
                    return Ok(LogSlice { file, position, len: len as u32, first_offset });
                }
            }
        }
        Ok(LogSlice::empty(from))
    }

    /// The aborted transactions that have records in a slice which lies below `limit`, so that a read_committed
    /// reader leaves those out. Costs nothing in a log that has none.
    pub fn aborted_transactions(
        &self,
        slice: &LogSlice,
        limit: Offset,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        if slice.is_empty() || self.txn_index.is_empty() {
            return Ok(Vec::new());
        }
        let segments = self.segments.load();
        let after = segments.partition_point(|segment| segment.base_offset <= slice.first_offset);
        let first_segment = segments[after.saturating_sub(1)].base_offset;
        // The batch behind the slice says where it ends, be it in the next segment.
        let mut next_offset = [0; 8];
        let next = match read_exact_at(&*slice.file, &mut next_offset, slice.position + u64::from(slice.len))
        {
            Ok(()) => Offset(i64::from_be_bytes(next_offset)),
            Err(_) => segments.get(after).map_or(limit, |next| next.base_offset),
        };
        let upper = if next > slice.first_offset { next.min(limit) } else { limit };
        Ok(self.txn_index.aborted(first_segment, slice.first_offset, upper)?)
    }

    /// Bytes that no longer parse are a damage, here and now, even if recovery did not look at them.
    pub(crate) fn read_error(&self, segment: &Segment, from: Offset, error: SliceError) -> ReadError {
        match error {
            SliceError::Storage(error) => error.into(),
            SliceError::Bad { position, reason } => {
                let damage = Damage {
                    path: segment.path(names::LOG),
                    position,
                    offset: from,
                    reason: reason.to_string(),
                };
                tracing::error!(%damage, "a batch does not parse");
                damage.into()
            }
        }
    }

    fn keep_open(&self, segment: &Arc<Segment>) {
        let mut open = self.open_sealed.lock();
        open.push_back(segment.clone());
        if open.len() > OPEN_SEALED_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.close_if_sealed();
        }
    }

    pub(crate) fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        self.segments.load_full()
    }

    pub(crate) fn publish_segments(&self, segments: Vec<Arc<Segment>>) {
        self.segments.store(Arc::new(segments));
    }

    pub(crate) fn publish_log_start(&self, offset: Offset) {
        self.log_start.store(offset.0, Ordering::Release);
    }

    pub(crate) fn publish_log_end(&self, offset: Offset) {
        self.log_end.store(offset.0, Ordering::Release);
    }

    pub(crate) fn publish_durable_end(&self, offset: Offset) {
        self.durable_end.store(offset.0, Ordering::Release);
    }

    pub(crate) fn set_damage(&self, damage: Damage) {
        let _ = self.damage.set(damage);
    }

    /// After segments left the list.
    pub(crate) fn forget_open(&self) {
        self.open_sealed.lock().clear();
    }
}

/// Behind an empty slice.
#[derive(Debug)]
struct EmptyFile;

impl DiskFile for EmptyFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _buffer: &mut [u8], _position: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, _slices: &[io::IoSlice<'_>], _position: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _len_bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
