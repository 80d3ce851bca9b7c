//! What everybody but the owner sees of a log: reads without the owner's lock.
//!
//! The segment list is swapped as a whole, the four positions are atomics; a slice holds the open file, so that
//! retention cannot take it away while it is being sent. Publication order on append: the segment's state first,
//! the log end last, so that whoever sees an end finds the bytes below it. Lookups by time are in `lookup.rs`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use logspine_protocol::types::{LeaderEpoch, Offset};
use parking_lot::{Mutex, RwLock};

use crate::disk::{DiskFile, read_exact_at};
use crate::epochs::{EpochEnd, Epochs};
use crate::error::{Damage, ReadError, StorageError};
use crate::names;
use crate::planted::{Bug, Planted};
use crate::segment::{Patience, Segment, SliceError, Sliced, Wanted};
use crate::txn_index::{AbortedTxn, TxnIndex};
use crate::verify::Rot;

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
    pub(crate) rot: Rot,
    open_sealed: Mutex<VecDeque<Arc<Segment>>>,
    truncations: AtomicU64,
    planted: Planted,
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
    /// Whose bytes these are; an empty slice has none.
    pub(crate) segment: Option<Arc<Segment>>,
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
    pub(crate) fn empty(from: Offset) -> LogSlice {
        LogSlice { file: Arc::new(EmptyFile), position: 0, len: 0, first_offset: from, segment: None }
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

    /// Whether sending it would not wait for the disk.
    pub fn is_resident(&self) -> bool {
        self.file.is_resident(self.position, u64::from(self.len))
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
        planted: Planted,
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
            rot: Rot::default(),
            open_sealed: Mutex::new(VecDeque::new()),
            truncations: AtomicU64::new(0),
            planted,
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
    /// the slice continues without a gap, whatever the budget. Waits for the disk, and verifies what it must.
    pub fn read(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: u32,
        min_one: bool,
    ) -> Result<LogSlice, ReadError> {
        match self.try_read(from, limit, max_bytes, min_one)? {
            Some(slice) => Ok(slice),
            None => Ok(self.read_verified(from, limit, max_bytes, min_one, 0)?.slice),
        }
    }

    /// The same without waiting for the disk; `None` if it has to be read, or if bytes have to be verified
    /// before they are served: then `read_verified` is for a thread that may wait.
    pub fn try_read(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: u32,
        min_one: bool,
    ) -> Result<Option<LogSlice>, ReadError> {
        let max_bytes = u64::from(max_bytes);
        self.on_segments(from, limit, |segments, limit| {
            self.slice(segments, Wanted { from, limit, max_bytes, min_one })
        })
    }

    /// Looks at the segments from the one that may hold `from`, below the log end and any damage found at start.
    pub(crate) fn on_segments<T>(
        &self,
        from: Offset,
        limit: Offset,
        look: impl Fn(&[Arc<Segment>], Offset) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let segments = self.segments.load_full();
            let (log_start, log_end) = (self.log_start(), self.log_end());
            if from < log_start || from > log_end {
                return Err(ReadError::OutOfRange { requested: from, log_start, log_end });
            }
            let mut limit = limit.min(log_end);
            if let Some(damage) = self.damage() {
                if from >= damage.offset && from < limit {
                    return Err(damage.clone().into());
                }
                limit = limit.min(damage.offset);
            }
            let mut first = segments.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
            if let Some(missing) = segments[first].missing.get().filter(|missing| missing.offset <= from) {
                return Err(missing.clone().into());
            }
            if self.planted.has(Bug::JumpToNextSegment) && from > segments[first].base_offset {
                first = (first + 1).min(segments.len() - 1);
            }
            match look(&segments[first..], limit) {
                // Retention or compaction took a file that this list still names, or a truncation cut it: look
                // again, `from` may be gone now.
                Err(ReadError::Storage(_) | ReadError::Damaged(_))
                    if log_end > self.log_end() || !Arc::ptr_eq(&segments, &self.segments.load_full()) => {}
                result => return result,
            }
        }
    }

    fn slice(&self, segments: &[Arc<Segment>], wanted: Wanted) -> Result<Option<LogSlice>, ReadError> {
        if wanted.from >= wanted.limit || (wanted.max_bytes == 0 && !wanted.min_one) {
            return Ok(Some(LogSlice::empty(wanted.from)));
        }
        for segment in segments {
            let (position, len, first_offset) = match segment.slice(wanted, Patience::OnlyResident) {
                Ok(Sliced::PastEnd) => continue,
                Ok(Sliced::Empty(relies_on)) => {
                    let is_sure = relies_on.is_empty() || segment.trust.covers(relies_on);
                    return Ok(is_sure.then(|| LogSlice::empty(wanted.from)));
                }
                Ok(Sliced::Run { position, len, first_offset, relies_from }) => {
                    if !segment.trust.covers(relies_from..position + len) {
                        return Ok(None);
                    }
                    (position, len, first_offset)
                }
                // Whether that is a damage is for those to say who verify.
                Err(SliceError::Bad { .. }) => return Ok(None),
                Err(error) if error.would_block() => return Ok(None),
                Err(SliceError::Storage(error)) => return Err(error.into()),
            };
            let file = self.open(segment)?;
            if !file.is_resident(position, len) {
                return Ok(None);
            }
            // A segment, and so a slice, is at most 2 GiB.
            let segment = Some(Arc::clone(segment));
            return Ok(Some(LogSlice { file, position, len: len as u32, first_offset, segment }));
        }
        Ok(Some(LogSlice::empty(wanted.from)))
    }

    /// The `.log` file of a segment; of sealed ones a few stay open.
    pub(crate) fn open(&self, segment: &Arc<Segment>) -> Result<Arc<dyn DiskFile>, StorageError> {
        let was_open = segment.is_open();
        let file = segment.file()?;
        if !was_open {
            self.keep_open(segment);
        }
        Ok(file)
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
        loop {
            let segments = self.segments.load_full();
            let found = self.aborted_within(&segments, slice, limit);
            // Compaction joined segments, and their indexes with them: look again.
            if Arc::ptr_eq(&segments, &self.segments.load_full()) {
                return found;
            }
        }
    }

    fn aborted_within(
        &self,
        segments: &[Arc<Segment>],
        slice: &LogSlice,
        limit: Offset,
    ) -> Result<Vec<AbortedTxn>, ReadError> {
        let after = segments.partition_point(|segment| segment.base_offset <= slice.first_offset);
        let first_segment = segments[after.saturating_sub(1)].base_offset;
        // The batch behind the slice says where it ends, be it in the next segment.
        let mut next_offset = [0; 8];
        let end = slice.position + u64::from(slice.len);
        let is_there = slice.file.is_resident(end, next_offset.len() as u64);
        let next = match is_there.then(|| read_exact_at(&*slice.file, &mut next_offset, end)) {
            Some(Ok(())) => Offset(i64::from_be_bytes(next_offset)),
            // At the end of the segment, or not worth a wait: some more transactions do no harm.
            _ => segments.get(after).map_or(limit, |next| next.base_offset),
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

    /// How often the log was cut: segments keep their names and change what they hold.
    pub(crate) fn truncations(&self) -> u64 {
        self.truncations.load(Ordering::Acquire)
    }

    pub(crate) fn truncation_begins(&self) {
        self.truncations.fetch_add(1, Ordering::AcqRel);
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
