//! One segment: a `.log` file, its indexes, and what is known in memory of where batches start.
//!
//! Shared between the log's owner, who appends, and readers. What readers need is one `State` behind a short
//! read-write lock: size and end offset always belong together. The newest batch starts are kept densely in a
//! ring, older ones sparsely in the offset index, so that a reader that goes on where its last slice ended finds
//! the start without touching the `.log` file. Slices of whole batches are made in `segment/slice.rs`.

mod age;
mod resident;
mod slice;
mod trust;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use logspine_protocol::batch::BatchHeader;
use logspine_protocol::types::Offset;
use parking_lot::RwLock;

use crate::aside::{is_the_files, move_aside};
use crate::disk::{Access, Disk, DiskFile};
use crate::error::{Damage, StorageError, io_at};
use crate::index::{self, OffsetIndex, Spot};
use crate::names;
use crate::open_files::Descriptor;
use crate::time_index::{self, TimeEntry, TimeIndex};
use crate::walk::{Look, Walk, WalkError};

use resident::Watched;
pub(crate) use slice::{Located, Patience, SliceError, Sliced, Wanted};
use trust::Trust;

/// Batch starts that are kept densely.
const RING_LEN: usize = 256;

/// One segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub base_offset: Offset,
    /// When it was created or loaded, for rolling batches that have no timestamp.
    pub created_ms: i64,
    disk: Arc<dyn Disk>,
    dir: Arc<Path>,
    active: AtomicBool,
    descriptor: Arc<Descriptor>,
    state: RwLock<State>,
    /// Which bytes need no verification.
    pub trust: Trust,
    /// It ends before the next segment starts: the offsets in between were lost, and are not passed over.
    pub missing: OnceLock<Damage>,
}

/// What changes as a segment grows.
#[derive(Debug)]
pub(crate) struct State {
    /// Bytes of whole batches; the file may be longer only while a write is under way or after one failed.
    pub size_bytes: u64,
    /// The offset after the last batch.
    pub end_offset: Offset,
    pub index: OffsetIndex,
    pub time_index: TimeIndex,
    ring: VecDeque<Spot>,
    /// Largest timestamp, and the last offset of its batch.
    pub max_timestamp: Option<TimeEntry>,
    /// An index file says so, and nobody has compared it with the batches.
    pub max_is_hint: bool,
    /// The first batch's largest timestamp, by which a segment's age is measured.
    pub first_timestamp: Option<i64>,
    bytes_since_entry: u64,
}

impl State {
    /// An empty segment without index files.
    pub fn empty(base_offset: Offset) -> State {
        State {
            size_bytes: 0,
            end_offset: base_offset,
            index: OffsetIndex::new(base_offset, 0),
            time_index: TimeIndex::new(base_offset, 0, None),
            ring: VecDeque::new(),
            max_timestamp: None,
            max_is_hint: false,
            first_timestamp: None,
            bytes_since_entry: 0,
        }
    }

    fn base_offset(&self) -> Offset {
        self.index.base_offset()
    }

    /// Notes one batch at the end: sizes, timestamps, ring, and an index entry once enough bytes went by.
    pub fn push(&mut self, header: &BatchHeader<'_>, index_interval_bytes: i32) {
        let spot =
            Spot { base: header.base_offset(), last: header.last_offset(), position: self.size_bytes as u32 };
        let timestamp = TimeEntry { timestamp: header.max_timestamp(), offset: spot.last };
        // A batch that compaction emptied has a timestamp and no record that it could lead to.
        if timestamp.timestamp >= 0
            && header.record_count() > 0
            && self.max_timestamp.is_none_or(|max| timestamp.timestamp > max.timestamp)
        {
            self.max_timestamp = Some(timestamp);
        }
        if self.size_bytes == 0 {
            self.first_timestamp = Some(header.max_timestamp());
        }
        if self.bytes_since_entry > index_interval_bytes.max(0) as u64 {
            self.index.append(spot);
            if let Some(max) = self.max_timestamp {
                self.time_index.maybe_append(max);
            }
            self.bytes_since_entry = 0;
        }
        if self.ring.len() == RING_LEN {
            self.ring.pop_front();
        }
        self.ring.push_back(spot);
        self.bytes_since_entry += header.total_len() as u64;
        self.size_bytes += header.total_len() as u64;
        self.end_offset = spot.last + 1;
    }
}

impl Segment {
    /// Creates the `.log` file of an empty segment.
    pub fn create(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<Segment, StorageError> {
        let segment = Segment::with_state(disk, dir, base_offset, State::empty(base_offset), now_ms);
        segment.active.store(true, Ordering::Relaxed);
        let file = segment.open(Access::Write)?;
        let path = segment.path(names::LOG);
        if file.len_bytes().map_err(io_at("measure", &path))? > 0 {
            // A leftover of a roll that failed half-way: nothing in it was ever acknowledged.
            file.truncate(0).map_err(io_at("truncate", &path))?;
        }
        Ok(segment)
    }

    /// A segment whose content is known.
    pub fn with_state(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        base_offset: Offset,
        state: State,
        now_ms: i64,
    ) -> Segment {
        Segment {
            base_offset,
            created_ms: now_ms,
            disk: disk.clone(),
            dir: dir.clone(),
            active: AtomicBool::new(false),
            descriptor: Arc::default(),
            state: RwLock::new(state),
            trust: Trust::nothing(),
            missing: OnceLock::new(),
        }
    }

    /// The path of one of the segment's files.
    pub fn path(&self, suffix: &str) -> PathBuf {
        names::segment_file(&self.dir, self.base_offset, suffix)
    }

    /// The `.log` file, opened if it is not; `create` made it.
    pub fn file(&self) -> Result<Arc<dyn DiskFile>, StorageError> {
        self.open(Access::Update)
    }

    fn open(&self, access: Access) -> Result<Arc<dyn DiskFile>, StorageError> {
        let path = || self.path(names::LOG);
        self.descriptor
            .file(|| self.disk.open(&path(), access))
            .map_err(|error| io_at("open", &path())(error))
    }

    /// Takes a file that gets the segment's name later, by `named`.
    pub fn adopt(&self, file: Arc<dyn DiskFile>) {
        self.descriptor.adopt(file);
    }

    /// The files bear the segment's names: they are opened when they are needed, indexes included.
    pub fn named(&self) {
        self.descriptor.named();
        self.change(|state| {
            state.index.forget_memory();
            state.time_index.forget_memory();
        });
        self.close_if_sealed();
    }

    /// The first batch's largest timestamp, read from the file if an earlier process wrote it.
    pub fn first_timestamp(&self) -> Option<i64> {
        if let Some(known) = self.look(|state| state.first_timestamp) {
            return Some(known);
        }
        let file = self.file().ok()?;
        let first = Walk::new(&*file, Look::Headers, 0, self.size_bytes())
            .next()
            .ok()?
            .map(|found| found.header.max_timestamp());
        self.close_if_sealed();
        self.change(|state| state.first_timestamp = first);
        first
    }

    /// The segment leaves the log and its names go to others, or to nobody: it opens nothing any more. Returns the
    /// descriptor that readers may still hold. Whoever meets a retired segment finds a newer list of segments.
    pub fn retire(&self) -> Option<Weak<dyn DiskFile>> {
        self.descriptor.retire()
    }

    /// The `.log` file for whoever reads it other than by slices.
    pub fn watched<'f>(&'f self, file: &'f dyn DiskFile) -> Watched<'f> {
        Watched::new(file, &self.trust)
    }

    /// Whether the `.log` file is open.
    pub fn is_open(&self) -> bool {
        self.descriptor.is_open()
    }

    /// Gives the descriptor back, unless the segment is being appended to. Slices keep theirs.
    pub fn close_if_sealed(&self) {
        if !self.active.load(Ordering::Relaxed) {
            self.descriptor.close();
        }
    }

    /// Gives the descriptor back. Whoever wrote holds it until it is synced.
    pub fn close(&self) {
        self.descriptor.close();
    }

    /// Marks the segment as the one that is appended to, or not.
    pub fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// For readers: a consistent look.
    pub fn look<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read())
    }

    /// For the owner.
    pub fn change<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write())
    }

    /// Bytes of whole batches.
    pub fn size_bytes(&self) -> u64 {
        self.look(|state| state.size_bytes)
    }

    /// The offset after the last batch.
    pub fn end_offset(&self) -> Offset {
        self.look(|state| state.end_offset)
    }

    /// The largest timestamp and the last offset of its batch.
    pub fn max_timestamp(&self) -> Option<TimeEntry> {
        self.look(|state| state.max_timestamp)
    }

    /// Writes what the index files are missing; with `last`, the largest timestamp gets its entry first.
    /// Returns the files, for the dirty set.
    pub fn write_indexes(&self, last: bool) -> Result<[Arc<dyn DiskFile>; 2], StorageError> {
        let (index_path, time_path) = (self.path(names::INDEX), self.path(names::TIME_INDEX));
        let index_file = self.disk.open(&index_path, Access::Write).map_err(io_at("open", &index_path))?;
        let time_file = self.disk.open(&time_path, Access::Write).map_err(io_at("open", &time_path))?;
        self.change(|state| {
            if let (true, Some(max)) = (last, state.max_timestamp) {
                state.time_index.maybe_append(max);
            }
            state.index.write_to(&*index_file).map_err(io_at("write", &index_path))?;
            state.time_index.write_to(&*time_file).map_err(io_at("write", &time_path))
        })?;
        Ok([index_file, time_file])
    }

    /// Drops the index files' content: they are about to be written anew from `State`.
    pub fn clear_index_files(&self) -> Result<(), StorageError> {
        for suffix in [names::INDEX, names::TIME_INDEX] {
            let path = self.path(suffix);
            match self.disk.open(&path, Access::Update).and_then(|file| file.truncate(0)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_the_files(&error) => {
                    drop(move_aside(&*self.disk, &path, 0, error.to_string())?);
                }
                cleared => cleared.map_err(io_at("truncate", &path))?,
            }
        }
        Ok(())
    }

    pub(super) fn open_index(&self, suffix: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.descriptor.open_beside(|| self.disk.open(&self.path(suffix), Access::Read))
    }

    /// Learns size, indexes and timestamps of a segment that was closed cleanly, reading as little as possible:
    /// the lengths and last entries of the index files, and the headers behind the last offset entry.
    /// `Ok(None)`: the index files are not to be trusted, scan instead.
    pub fn load(
        disk: &Arc<dyn Disk>,
        dir: &Arc<Path>,
        base_offset: Offset,
        end: Option<Offset>,
        now_ms: i64,
    ) -> Result<Option<Segment>, StorageError> {
        let segment = Segment::with_state(disk, dir, base_offset, State::empty(base_offset), now_ms);
        let file = segment.file()?;
        let size_bytes = file.len_bytes().map_err(io_at("measure", &segment.path(names::LOG)))?;
        let Ok(Some(mut state)) = segment.load_indexes(size_bytes) else { return Ok(None) };
        let known = match end {
            // A sealed segment ends where the next one starts.
            Some(end) => {
                state.end_offset = end;
                state.size_bytes = size_bytes;
                true
            }
            None => segment.load_tail(&*file, &mut state, size_bytes),
        };
        segment.close_if_sealed();
        *segment.state.write() = state;
        Ok(known.then_some(segment))
    }

    fn load_indexes(&self, size_bytes: u64) -> io::Result<Option<State>> {
        let mut state = State::empty(self.base_offset);
        if size_bytes == 0 {
            return Ok(Some(state));
        }
        let (index_file, time_file) = (self.open_index(names::INDEX)?, self.open_index(names::TIME_INDEX)?);
        let (index_len, time_len) = (index_file.len_bytes()?, time_file.len_bytes()?);
        if index_len % index::ENTRY_LEN != 0 || time_len % time_index::ENTRY_LEN != 0 {
            return Ok(None);
        }
        state.index = OffsetIndex::new(self.base_offset, (index_len / index::ENTRY_LEN) as u32);
        let entries = time_len / time_index::ENTRY_LEN;
        let last = match entries {
            0 => None,
            entries => Some(time_index::read_entry(&*time_file, entries - 1, self.base_offset)?),
        };
        state.time_index = TimeIndex::new(self.base_offset, entries as u32, last);
        state.max_timestamp = last;
        state.max_is_hint = true;
        // An entry that leads beyond the end of the file: one of the two was cut.
        let last = state.index.last_entry_in_file(&*index_file)?;
        Ok(last.is_none_or(|(_, position)| u64::from(position) < size_bytes).then_some(state))
    }

    /// Walks the headers behind the last offset entry. False: they do not lead to the end of the file.
    fn load_tail(&self, file: &dyn DiskFile, state: &mut State, size_bytes: u64) -> bool {
        let start = match state.index.has_older().then(|| self.open_index(names::INDEX)) {
            Some(Ok(index)) => match state.index.last_entry_in_file(&*index) {
                Ok(entry) => entry.map_or(0, |(_, position)| u64::from(position)),
                Err(_) => return false,
            },
            Some(Err(_)) => return false,
            None => 0,
        };
        if start > size_bytes {
            return false;
        }
        let mut first = Walk::new(file, Look::Headers, 0, size_bytes);
        state.first_timestamp = match first.next() {
            // Under another segment's name.
            Ok(Some(found)) if found.header.base_offset() < self.base_offset => return false,
            Ok(found) => found.map(|found| found.header.max_timestamp()),
            Err(_) => return false,
        };
        state.size_bytes = start;
        state.max_is_hint &= start > 0;
        if !state.max_is_hint {
            state.max_timestamp = None;
        }
        let mut walk = Walk::new(file, Look::Headers, start, size_bytes);
        // No entry for what is walked here: the file has one for `start` already and the rest is below the interval.
        loop {
            match walk.next() {
                Ok(None) => return state.size_bytes == size_bytes,
                Ok(Some(found)) if found.header.base_offset() >= state.end_offset => {
                    state.push(&found.header, i32::MAX);
                }
                Ok(Some(_)) | Err(_) => return false,
            }
        }
    }

    /// Walks every batch from `position`, for whoever rebuilds something.
    pub fn walk(
        &self,
        look: Look,
        position: u64,
        mut visit: impl FnMut(&crate::walk::Found<'_>),
    ) -> Result<(), SliceError> {
        let file = self.file().map_err(SliceError::Storage)?;
        let path = self.path(names::LOG);
        let file = self.watched(&*file);
        let mut walk = Walk::new(&file, look, position, self.size_bytes());
        loop {
            match walk.next() {
                Ok(None) => return Ok(()),
                Ok(Some(found)) => visit(&found),
                Err(WalkError::Bad { position, reason }) => return Err(SliceError::Bad { position, reason }),
                Err(WalkError::Io(source)) => return Err(SliceError::Storage(io_at("read", &path)(source))),
            }
        }
    }
}
