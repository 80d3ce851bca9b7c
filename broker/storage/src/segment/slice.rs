//! From an offset and a byte budget to a run of whole batches in one segment.
//!
//! A slice starts with the batch that contains the offset, ends at a batch boundary below the limit, and never
//! leaves the segment: whoever wants more asks again from where it ended. Among the newest batches every start is
//! known, and the `.log` file is not read at all. Elsewhere, above `LARGE_BYTES` the end is a boundary that is
//! known in memory; below, headers are read and as many batches are taken as fit. Nothing here checks the bytes.

use std::io;
use std::ops::Range;

use logspine_protocol::batch::{BatchError, BatchHeader, HEADER_LEN};
use logspine_protocol::types::Offset;

use super::resident::Resident;
use super::{Segment, State};
use crate::disk::{DiskFile, read_exact_at};
use crate::error::{StorageError, io_at};
use crate::index::Spot;
use crate::names;
use crate::walk::{Look, Walk, WalkError};

/// Responses above this leave by sendfile.
pub(crate) const LARGE_BYTES: u64 = 32 << 10;

/// What a segment has for a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sliced {
    /// Whole batches, from the one that contains the offset asked for.
    /// Finding them relied on what stands in the file from `relies_from` on.
    Run { position: u64, len: u64, first_offset: Offset, relies_from: u64 },
    /// The batch does not fit the budget, or the limit lies inside of it; the range of the file that says so.
    Empty(Range<u64>),
    /// Every batch of the segment lies below the offset.
    PastEnd,
}

/// Whether finding a slice may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as it takes.
    Waits,
    /// What is not in memory is an error of kind `WouldBlock`.
    OnlyResident,
}

/// Where a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Located {
    /// Exactly there.
    Exact(Spot),
    /// At this position or behind it.
    From(u64),
    /// The index file knows more.
    InFile,
    /// Not in this segment.
    PastEnd,
}

/// Reading a segment failed.
#[derive(Debug)]
pub(crate) enum SliceError {
    Bad { position: u64, reason: BatchError },
    Storage(StorageError),
}

impl SliceError {
    /// Whether somebody who may wait for the disk should look instead.
    pub fn would_block(&self) -> bool {
        matches!(self, SliceError::Storage(StorageError::Io { source, .. })
            if source.kind() == io::ErrorKind::WouldBlock)
    }
}

impl State {
    /// Where the batch that contains `from` starts, as far as memory knows.
    pub fn locate(&self, from: Offset) -> Located {
        if from >= self.end_offset {
            return Located::PastEnd;
        }
        let after = self.ring.partition_point(|spot| spot.base <= from);
        if after > 0 {
            let floor = self.ring[after - 1];
            // Beyond its last offset there is a gap, as compaction leaves them: the next batch is the answer.
            return match self.ring.get(after) {
                Some(next) if from > floor.last => Located::Exact(*next),
                _ => Located::Exact(floor),
            };
        }
        if from == self.base_offset() {
            return Located::Exact(Spot { base: from, last: from, position: 0 });
        }
        match self.index.floor(from) {
            Some(spot) if from <= spot.last => Located::Exact(spot),
            Some(spot) => Located::From(u64::from(spot.position)),
            None if self.index.has_older() => Located::InFile,
            None => Located::From(0),
        }
    }

    /// The run from `start`, if every batch start behind it is known: exact for any budget.
    fn dense(&self, start: u64, wanted: Wanted) -> Option<Sliced> {
        let at = self.ring.partition_point(|spot| u64::from(spot.position) < start);
        let first = *self.ring.get(at).filter(|spot| u64::from(spot.position) == start)?;
        let stop = start.saturating_add(wanted.max_bytes);
        let whole = (self.size_bytes, self.end_offset);
        let boundary =
            |at: usize| self.ring.get(at).map_or(whole, |spot| (u64::from(spot.position), spot.base));
        let is_below = |(position, base): (u64, Offset)| position <= stop && base <= wanted.limit;
        let fits = self.ring.partition_point(|spot| is_below((u64::from(spot.position), spot.base)));
        let mut end = if is_below(whole) { whole.0 } else { boundary(fits.max(1) - 1).0 };
        if end <= start {
            let next = boundary(at + 1);
            if !wanted.min_one || next.1 > wanted.limit {
                return Some(Sliced::Empty(0..0));
            }
            end = next.0;
        }
        Some(Sliced::Run { position: start, len: end - start, first_offset: first.base, relies_from: start })
    }

    /// The last boundary known in memory behind `start` and not behind `stop`, with all batches before it
    /// below `limit`.
    fn boundary(&self, start: u64, stop: u64, limit: Offset) -> Option<u64> {
        if self.size_bytes <= stop && self.end_offset <= limit {
            return Some(self.size_bytes).filter(|end| *end > start);
        }
        let after = self.ring.partition_point(|spot| u64::from(spot.position) <= stop && spot.base <= limit);
        let dense = after.checked_sub(1).map(|last| self.ring[last]);
        let best = dense.or_else(|| self.index.boundary(stop, limit));
        best.map(|spot| u64::from(spot.position)).filter(|end| *end > start)
    }
}

/// A request to one segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub from: Offset,
    pub limit: Offset,
    pub max_bytes: u64,
    pub min_one: bool,
}

impl Segment {
    /// Finds the run of batches that starts with the one containing `from`; see the module.
    pub fn slice(&self, wanted: Wanted, patience: Patience) -> Result<Sliced, SliceError> {
        match self.look(|state| state.locate(wanted.from)) {
            Located::PastEnd => Ok(Sliced::PastEnd),
            Located::Exact(spot) => {
                let start = u64::from(spot.position);
                if let Some(sliced) = self.look(|state| state.dense(start, wanted)) {
                    return Ok(sliced);
                }
                if let Some(len) = self.large_len(start, wanted, patience)? {
                    let (first_offset, relies_from) = (spot.base, start);
                    return Ok(Sliced::Run { position: start, len, first_offset, relies_from });
                }
                self.slice_by_headers(start, wanted, patience)
            }
            Located::From(position) => self.slice_by_headers(position, wanted, patience),
            Located::InFile => {
                let floor = self.floor_with_patience(wanted.from, patience)?;
                match self.slice_by_headers(floor, wanted, patience) {
                    // Index files carry no checksum: if one leads astray, walk from the start before calling it
                    // damage.
                    Err(SliceError::Bad { .. }) => self.slice_by_headers(0, wanted, patience),
                    result => result,
                }
            }
        }
    }

    /// What the index file says about `offset`; 0 if it says nothing that is true.
    pub fn floor_in_file(&self, offset: Offset) -> u64 {
        self.floor_with_patience(offset, Patience::Waits).unwrap_or(0)
    }

    /// Whether an entry of the index file is true: the batch at its position ends with its offset. Without that a damaged
    /// entry could lead past batches, which would look like a gap.
    fn leads_to(&self, (last, position): (Offset, u32), patience: Patience) -> Result<bool, SliceError> {
        let file = self.file().map_err(SliceError::Storage)?;
        let size_bytes = self.size_bytes();
        let position = u64::from(position);
        self.with_patience(
            &*file,
            position..(position + HEADER_LEN as u64).min(size_bytes),
            patience,
            |file| {
                let mut header = [0; HEADER_LEN];
                match read_exact_at(file, &mut header, position) {
                    Ok(()) => {
                        Ok(BatchHeader::parse(&header).is_ok_and(|header| header.last_offset() == last))
                    }
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
                    Err(error) => Err(SliceError::Storage(io_at("read", &self.path(names::LOG))(error))),
                }
            },
        )
    }

    fn floor_with_patience(&self, offset: Offset, patience: Patience) -> Result<u64, SliceError> {
        let size_bytes = self.size_bytes();
        let Ok(file) = self.open_index(names::INDEX) else { return Ok(0) };
        let floor = self.with_patience(&*file, 0..0, patience, |file| {
            self.look(|state| state.index.floor_entry_in_file(file, offset))
        });
        match floor {
            Ok(Some(entry)) if u64::from(entry.1) < size_bytes && self.leads_to(entry, patience)? => {
                Ok(u64::from(entry.1))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(SliceError::Storage(io_at("read", &self.path(names::INDEX))(error)))
            }
            _ => Ok(0),
        }
    }

    fn with_patience<T>(
        &self,
        file: &dyn DiskFile,
        likely: Range<u64>,
        patience: Patience,
        read: impl FnOnce(&dyn DiskFile) -> T,
    ) -> T {
        match patience {
            Patience::Waits => read(file),
            Patience::OnlyResident => read(&Resident::new(file, likely)),
        }
    }

    /// For a large budget: how far a slice from `start` reaches to a known boundary.
    fn large_len(&self, start: u64, wanted: Wanted, patience: Patience) -> Result<Option<u64>, SliceError> {
        if wanted.max_bytes <= LARGE_BYTES {
            return Ok(None);
        }
        let stop = start.saturating_add(wanted.max_bytes);
        let (known, older) =
            self.look(|state| (state.boundary(start, stop, wanted.limit), state.index.has_older()));
        if let (None, true) = (known, older) {
            let Ok(file) = self.open_index(names::INDEX) else { return Ok(None) };
            let found = self.with_patience(&*file, 0..0, patience, |file| {
                self.look(|state| state.index.boundary_in_file(file, stop, wanted.limit))
            });
            let found =
                found.map_err(|error| SliceError::Storage(io_at("read", &self.path(names::INDEX))(error)))?;
            let ahead = found.filter(|(_, end)| u64::from(*end) > start);
            return match ahead {
                Some(entry) if self.leads_to(entry, patience)? => Ok(Some(u64::from(entry.1) - start)),
                _ => Ok(None),
            };
        }
        Ok(known.map(|end| end - start))
    }

    fn slice_by_headers(
        &self,
        position: u64,
        wanted: Wanted,
        patience: Patience,
    ) -> Result<Sliced, SliceError> {
        let file = self.file().map_err(SliceError::Storage)?;
        let size_bytes = self.size_bytes();
        let likely = position..position.saturating_add(wanted.max_bytes).min(size_bytes);
        self.with_patience(&*file, likely, patience, |file| {
            let mut walk = Walk::new(file, Look::Headers, position, size_bytes);
            self.walk_headers(&mut walk, position, wanted, patience)
        })
    }

    fn walk_headers(
        &self,
        walk: &mut Walk<'_>,
        relies_from: u64,
        wanted: Wanted,
        patience: Patience,
    ) -> Result<Sliced, SliceError> {
        let (start, mut end, first_offset) = loop {
            let Some(found) = walk.next().map_err(|error| failed(error, self))? else {
                return Ok(Sliced::Empty(relies_from..self.size_bytes()));
            };
            if found.header.last_offset() < wanted.from {
                continue;
            }
            let fits = wanted.min_one || found.header.total_len() as u64 <= wanted.max_bytes;
            if found.header.last_offset() >= wanted.limit || !fits {
                return Ok(Sliced::Empty(relies_from..found.end()));
            }
            break (found.position, found.end(), found.header.base_offset());
        };
        if let Some(len) = self.large_len(start, wanted, patience)? {
            return Ok(Sliced::Run { position: start, len, first_offset, relies_from });
        }
        while end - start < wanted.max_bytes {
            match walk.next().map_err(|error| failed(error, self))? {
                Some(found)
                    if found.end() - start <= wanted.max_bytes
                        && found.header.last_offset() < wanted.limit =>
                {
                    end = found.end();
                }
                _ => break,
            }
        }
        Ok(Sliced::Run { position: start, len: end - start, first_offset, relies_from })
    }
}

pub(super) fn failed(error: WalkError, segment: &Segment) -> SliceError {
    match error {
        WalkError::Bad { position, reason } => SliceError::Bad { position, reason },
        WalkError::Io(source) => SliceError::Storage(io_at("read", &segment.path(names::LOG))(source)),
    }
}
