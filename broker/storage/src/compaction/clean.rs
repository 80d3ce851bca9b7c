//! One run over one log, without any lock: map the dirty keys, then rewrite group after group of segments into
//! `*.cleaned` files, synced, ready to be swapped in.
//!
//! Every batch is read whole and its CRC checked; a batch that does not check out ends the run, and so does a disk
//! that refuses, with the half-written files removed. Memory: the key map, one batch as it is stored and
//! decompressed, and the new segment's index entries. Kafka: `Cleaner.doClean`, `Cleaner.cleanSegments`.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::{BatchError, BatchHeader, BatchView};
use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};

use super::grouping::{GroupMax, Sizes, group};
use super::key_map::KeyMap;
use super::retain::{Circumstances, Outcome};
use super::transactions::Transactions;
use super::{Cleanable, CompactionError, KeyMemory, Pace, swap};
use crate::config::LogConfig;
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Damage, StorageError, io_at};
use crate::planted::{Bug, Planted};
use crate::reader::LogReader;
use crate::segment::{Located, Segment, State};
use crate::txn_index::AbortedTxn;
use crate::walk::{Look, Walk, WalkError};
use crate::{index, names, time_index};

/// Written at once.
const WRITE_BYTES: usize = 256 << 10;

/// The last that is known of a live producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastRecord {
    /// Last offset of its newest batch; `None` if the newest is a marker.
    pub data_offset: Option<Offset>,
    pub epoch: ProducerEpoch,
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompactionStats {
    /// Keys of the dirty part.
    pub keys: u64,
    /// Bytes of the segments that were rewritten so far.
    pub bytes_before: u64,
    /// Bytes of what replaces them.
    pub bytes_after: u64,
}

/// A run.
#[derive(Debug)]
pub struct Compaction {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) reader: Arc<LogReader>,
    /// How often the log had been cut when this began: what is cleaned must be what is replaced.
    pub(crate) truncations: u64,
    /// Every segment below the first uncleanable offset.
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) cleanable: Cleanable,
    pub(crate) config: LogConfig,
    pub(crate) last_records: BTreeMap<ProducerId, LastRecord>,
    pub(crate) now_ms: i64,
    pub(crate) work: Option<Work>,
    pub(crate) stats: CompactionStats,
}

/// What is known once the keys are mapped.
#[derive(Debug)]
pub(crate) struct Work {
    keys: KeyMap,
    groups: VecDeque<Vec<Arc<Segment>>>,
    transactions: Transactions,
}

/// How far a replacement is on its way into the log; see `swap.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Written,
    CompanionsNamed,
    Committed,
    Replaced,
    CompanionsFinal,
    Final,
}

/// One new segment in the place of several, written and synced.
#[derive(Debug)]
pub struct Replacement {
    pub(crate) old: Vec<Arc<Segment>>,
    pub(crate) new: Arc<Segment>,
    /// Whether its index of aborted transactions has entries.
    pub(crate) has_aborted: bool,
    pub(crate) step: Step,
    pub(crate) number: u64,
    /// As of the run's beginning.
    pub(crate) truncations: u64,
}

impl Compaction {
    /// Reads the dirty part and notes the last offset of each key, as far as they fit into the memory.
    pub fn map_keys(&mut self, memory: KeyMemory, pace: &mut dyn Pace) -> Result<(), CompactionError> {
        let mapped = self.map_dirty_keys(memory, pace);
        mapped.map_err(|error| self.explain(error))
    }

    /// What was read while a truncation cut it is no damage.
    fn explain(&self, error: CompactionError) -> CompactionError {
        match error {
            CompactionError::Damaged(_) if self.reader.truncations() != self.truncations => {
                CompactionError::Overtaken
            }
            error => error,
        }
    }

    fn map_dirty_keys(&mut self, memory: KeyMemory, pace: &mut dyn Pace) -> Result<(), CompactionError> {
        let Cleanable { first_dirty, first_uncleanable, .. } = self.cleanable;
        let first_base = self.segments.first().map_or(first_dirty, |segment| segment.base_offset);
        let aborted = self.reader.txn_index.aborted(first_base, Offset(0), first_uncleanable)?;
        let span = (first_uncleanable - first_dirty).max(0) as u64;
        let mut keys = KeyMap::new(memory, span);
        let dirty_ones = aborted.iter().filter(|txn| txn.last_offset >= first_dirty).copied().collect();
        let mut transactions = Transactions::new(dirty_ones);
        for (number, segment) in self.segments.iter().enumerate() {
            let end = self.segments.get(number + 1).map_or(first_uncleanable, |next| next.base_offset);
            if end <= first_dirty {
                continue;
            }
            if !map_segment(segment, first_dirty, &mut keys, &mut transactions, pace)? {
                break;
            }
            keys.considered(end + -1);
        }
        self.stats.keys = keys.len() as u64;
        let groups = self.groups(keys.latest() + 1);
        self.work = Some(Work { keys, groups, transactions: Transactions::new(aborted) });
        Ok(())
    }

    /// The segments with records below `end`, grouped.
    fn groups(&self, end: Offset) -> VecDeque<Vec<Arc<Segment>>> {
        let count = self.segments.partition_point(|segment| segment.base_offset < end);
        let sizes: Vec<Sizes> = self.segments[..count].iter().map(|segment| sizes(segment)).collect();
        let max = GroupMax {
            log_bytes: self.config.segment_bytes.max(0) as u64,
            index_bytes: self.config.segment_index_bytes.max(0) as u64,
        };
        let mut rest = &self.segments[..count];
        let mut groups = VecDeque::new();
        for len in group(&sizes, max, self.cleanable.first_uncleanable) {
            let (first, after) = rest.split_at(len);
            groups.push_back(first.to_vec());
            rest = after;
        }
        groups
    }

    /// Everything below is clean once all groups are in place: the cleaner's next checkpoint.
    pub fn end_offset(&self) -> Offset {
        let latest = self.work.as_ref().map(|work| work.keys.latest() + 1);
        latest.unwrap_or_default().max(self.cleanable.first_dirty)
    }

    /// What was done so far.
    pub fn stats(&self) -> CompactionStats {
        self.stats
    }

    /// Rewrites the next group, after `map_keys`; `None` when all are done. On an error its files are removed.
    pub fn clean_next(&mut self, pace: &mut dyn Pace) -> Result<Option<Replacement>, CompactionError> {
        let Some(mut work) = self.work.take() else { return Ok(None) };
        let Some(old) = work.groups.pop_front() else {
            self.work = Some(work);
            return Ok(None);
        };
        let base_offset = old[0].base_offset;
        let cleaned = self.clean_group(&old, &mut work, pace);
        self.work = Some(work);
        if cleaned.is_err() {
            swap::remove_cleaned(&*self.disk, &self.dir, base_offset);
        }
        let replacement = cleaned.map_err(|error| self.explain(error))?;
        self.stats.bytes_before += replacement.old.iter().map(|segment| segment.size_bytes()).sum::<u64>();
        self.stats.bytes_after += replacement.new.size_bytes();
        Ok(Some(replacement))
    }

    fn clean_group(
        &self,
        old: &[Arc<Segment>],
        work: &mut Work,
        pace: &mut dyn Pace,
    ) -> Result<Replacement, CompactionError> {
        let mut output =
            Output::create(&self.disk, &self.dir, old[0].base_offset, self.config.index_interval_bytes)?;
        for segment in old {
            self.clean_segment(segment, work, &mut output, pace)?;
        }
        let last = &old[old.len() - 1];
        let (file, mut state) = output.seal(self.config.planted)?;
        state.end_offset = state.end_offset.max(last.end_offset());
        let retained = work.transactions.take_retained();
        write_txn_index(&self.disk, &self.dir, old[0].base_offset, &retained)?;
        let new = Segment::with_state(&self.disk, &self.dir, old[0].base_offset, state, last.created_ms);
        new.adopt(file);
        new.trust.appended(0);
        Ok(Replacement {
            old: old.to_vec(),
            new: Arc::new(new),
            has_aborted: !retained.is_empty(),
            step: Step::Written,
            number: 0,
            truncations: self.truncations,
        })
    }

    fn clean_segment(
        &self,
        segment: &Segment,
        work: &mut Work,
        output: &mut Output,
        pace: &mut dyn Pace,
    ) -> Result<(), CompactionError> {
        let size_bytes = segment.size_bytes();
        each_batch(segment, 0, pace, |batch, end, pace| {
            let circumstances = Circumstances {
                may_discard: work.transactions.may_discard(batch),
                last_record: self.last_records.get(&batch.producer_id()).copied(),
                ends_segment: end == size_bytes,
                ends_round: batch.next_offset() == self.cleanable.first_uncleanable,
                now_ms: self.now_ms,
                delete_retention_ms: self.config.delete_retention_ms,
            };
            let written = match circumstances.retain(&work.keys, batch)? {
                Outcome::AsIs => output.push(batch.bytes())?,
                Outcome::Rewritten(bytes) => output.push(&bytes)?,
                Outcome::Gone => 0,
            };
            if pace.io(written) { Ok(true) } else { Err(CompactionError::Stopped.into()) }
        })?;
        Ok(())
    }
}

fn sizes(segment: &Segment) -> Sizes {
    segment.look(|state| Sizes {
        base: segment.base_offset,
        log_bytes: state.size_bytes,
        index_bytes: state.index.entries() * index::ENTRY_LEN,
        time_index_bytes: state.time_index.entries() * time_index::ENTRY_LEN,
    })
}

/// Adds the keys of one segment's records from `from` on. False: the map is full.
fn map_segment(
    segment: &Segment,
    from: Offset,
    keys: &mut KeyMap,
    transactions: &mut Transactions,
    pace: &mut dyn Pace,
) -> Result<bool, CompactionError> {
    let start = match segment.look(|state| state.locate(from.max(segment.base_offset))) {
        Located::Exact(spot) => u64::from(spot.position),
        Located::From(position) => position,
        Located::InFile => segment.floor_in_file(from),
        Located::PastEnd => return Ok(true),
    };
    each_batch(segment, start, pace, |batch, _, _| {
        if !transactions.may_discard(batch) && !batch.is_control() {
            for record in &batch.records()? {
                let record = record?;
                let Some(key) = record.key.filter(|_| record.offset >= from) else { continue };
                if !keys.put(key, record.offset) {
                    return Ok(false);
                }
            }
        }
        if batch.last_offset() >= from {
            keys.considered(batch.last_offset());
        }
        Ok(true)
    })
}

/// What a visit of a batch came to: an error of the batch itself gets its place in the file.
enum Fault {
    Batch(BatchError),
    Other(CompactionError),
}

impl From<BatchError> for Fault {
    fn from(error: BatchError) -> Fault {
        Fault::Batch(error)
    }
}

impl From<CompactionError> for Fault {
    fn from(error: CompactionError) -> Fault {
        Fault::Other(error)
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Fault {
        Fault::Other(error.into())
    }
}

/// Visits every batch from a position on, checked, with the position of its end; false from a visit ends the walk.
fn each_batch(
    segment: &Segment,
    start: u64,
    pace: &mut dyn Pace,
    mut visit: impl FnMut(&BatchView<'_>, u64, &mut dyn Pace) -> Result<bool, Fault>,
) -> Result<bool, CompactionError> {
    let path = segment.path(names::LOG);
    let file = match segment.file() {
        // Retention was faster.
        Err(StorageError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Err(CompactionError::Overtaken);
        }
        opened => opened?,
    };
    let file = segment.watched(&*file);
    let mut walk = Walk::new(&file, Look::Everything, start, segment.size_bytes());
    let mut offset = segment.base_offset;
    let damaged = |position, offset, reason: BatchError| {
        CompactionError::Damaged(Damage { path: path.clone(), position, offset, reason: reason.to_string() })
    };
    let goes_on = loop {
        let (position, batch) = match walk.next_view() {
            Ok(None) => break true,
            Ok(Some(found)) => found,
            Err(WalkError::Bad { position, reason }) => return Err(damaged(position, offset, reason)),
            Err(WalkError::Io(source)) => return Err(io_at("read", &path)(source).into()),
        };
        let len = batch.total_len() as u64;
        if !pace.io(len) {
            return Err(CompactionError::Stopped);
        }
        match visit(&batch, position + len, pace) {
            Ok(true) => offset = batch.next_offset(),
            Ok(false) => break false,
            Err(Fault::Batch(reason)) => return Err(damaged(position, batch.base_offset(), reason)),
            Err(Fault::Other(error)) => return Err(error),
        }
    };
    segment.close_if_sealed();
    Ok(goes_on)
}

/// The `.log.cleaned` that is being written, and its indexes so far.
struct Output {
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    base_offset: Offset,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    buffer: Vec<u8>,
    written: u64,
    state: State,
    index_interval_bytes: i32,
}

impl Output {
    fn create(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        base_offset: Offset,
        index_interval_bytes: i32,
    ) -> Result<Output, StorageError> {
        let (path, file) = create_cleaned(disk, dir, base_offset, names::LOG)?;
        Ok(Output {
            disk: disk.clone(),
            dir: dir.clone(),
            base_offset,
            path,
            file,
            buffer: Vec::new(),
            written: 0,
            state: State::empty(base_offset),
            index_interval_bytes,
        })
    }

    /// Adds a batch; returns its bytes.
    fn push(&mut self, batch: &[u8]) -> Result<u64, Fault> {
        self.state.push(&BatchHeader::parse(batch)?, self.index_interval_bytes);
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(batch.len() as u64)
    }

    fn write(&mut self) -> Result<(), StorageError> {
        self.file
            .write_at(&[IoSlice::new(&self.buffer)], self.written)
            .map_err(io_at("write", &self.path))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes and syncs what is missing.
    fn seal(mut self, planted: Planted) -> Result<(Arc<dyn DiskFile>, State), StorageError> {
        self.write()?;
        if !planted.has(Bug::CleanedNotSynced) {
            self.file.sync_data().map_err(io_at("sync", &self.path))?;
        }
        if let Some(max) = self.state.max_timestamp {
            self.state.time_index.maybe_append(max);
        }
        let (path, file) = create_cleaned(&self.disk, &self.dir, self.base_offset, names::INDEX)?;
        self.state.index.write_to(&*file).and_then(|()| file.sync_data()).map_err(io_at("write", &path))?;
        let (path, file) = create_cleaned(&self.disk, &self.dir, self.base_offset, names::TIME_INDEX)?;
        self.state
            .time_index
            .write_to(&*file)
            .and_then(|()| file.sync_data())
            .map_err(io_at("write", &path))?;
        Ok((self.file, self.state))
    }
}

/// Even an empty one is written: it takes the place of what the old segment had.
fn write_txn_index(
    disk: &Arc<dyn Disk>,
    dir: &Arc<Path>,
    base_offset: Offset,
    retained: &[AbortedTxn],
) -> Result<(), StorageError> {
    let (path, file) = create_cleaned(disk, dir, base_offset, names::TXN_INDEX)?;
    let bytes: Vec<u8> = retained.iter().flat_map(AbortedTxn::encode).collect();
    file.write_at(&[IoSlice::new(&bytes)], 0).and_then(|()| file.sync_data()).map_err(io_at("write", &path))
}

fn create_cleaned(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    base_offset: Offset,
    suffix: &str,
) -> Result<(PathBuf, Arc<dyn DiskFile>), StorageError> {
    let path = swap::path(dir, base_offset, suffix, swap::CLEANED);
    let file = disk.open(&path, Access::Write).map_err(io_at("open", &path))?;
    file.truncate(0).map_err(io_at("truncate", &path))?;
    Ok((path, file))
}
