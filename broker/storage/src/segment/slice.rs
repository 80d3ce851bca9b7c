//! From an offset and a byte budget to a run of whole batches in one segment.
//!
//! A slice starts with the batch that contains the offset, ends at a batch boundary below the limit, and never
//! leaves the segment: whoever wants more asks again from where it ended. Above `LARGE_BYTES` the end is a boundary
//! that is known in memory, and if the start is known too, the `.log` file is not read at all; below, headers are
//! read and as many batches are taken as fit.

use logspine_protocol::batch::BatchError;
use logspine_protocol::types::Offset;

use super::{Segment, State};
use crate::error::{StorageError, io_at};
use crate::index::Spot;
use crate::names;
use crate::walk::{Look, Walk, WalkError};

/// Responses above this leave by sendfile.
pub(crate) const LARGE_BYTES: u64 = 32 << 10;

/// What a segment has for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sliced {
    /// Whole batches, from the one that contains the offset asked for.
    Run { position: u64, len: u64, first_offset: Offset },
    /// The batch does not fit the budget, or the limit lies inside of it.
    Empty,
    /// Every batch of the segment lies below the offset.
    PastEnd,
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
struct Wanted {
    from: Offset,
    limit: Offset,
    max_bytes: u64,
    min_one: bool,
}

impl Segment {
    /// Finds the run of batches that starts with the one containing `from`; see the module.
    pub fn slice(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: u64,
        min_one: bool,
    ) -> Result<Sliced, SliceError> {
        let wanted = Wanted { from, limit, max_bytes, min_one };
        match self.look(|state| state.locate(from)) {
            Located::PastEnd => Ok(Sliced::PastEnd),
            Located::Exact(spot) => {
                let start = u64::from(spot.position);
                if let Some(len) = self.large_len(start, wanted)? {
                    return Ok(Sliced::Run { position: start, len, first_offset: spot.base });
                }
                self.slice_by_headers(start, wanted)
            }
            Located::From(position) => self.slice_by_headers(position, wanted),
            Located::InFile => match self.slice_by_headers(self.floor_in_file(from), wanted) {
                // Index files carry no checksum: if one leads astray, walk from the start before calling it damage.
                Err(SliceError::Bad { .. }) => self.slice_by_headers(0, wanted),
                result => result,
            },
        }
    }

    /// What the index file says about `offset`; 0 if it says nothing sensible.
    pub fn floor_in_file(&self, offset: Offset) -> u64 {
        let size_bytes = self.size_bytes();
        let Ok(file) = self.open_index(names::INDEX) else { return 0 };
        let position = self.look(|state| state.index.floor_in_file(&*file, offset)).map_or(0, u64::from);
        if position < size_bytes { position } else { 0 }
    }

    /// For a large budget: how far a slice from `start` reaches to a known boundary.
    fn large_len(&self, start: u64, wanted: Wanted) -> Result<Option<u64>, SliceError> {
        if wanted.max_bytes <= LARGE_BYTES {
            return Ok(None);
        }
        let stop = start.saturating_add(wanted.max_bytes);
        let (known, older) =
            self.look(|state| (state.boundary(start, stop, wanted.limit), state.index.has_older()));
        if let (None, true) = (known, older) {
            let Ok(file) = self.open_index(names::INDEX) else { return Ok(None) };
            let found = self.look(|state| state.index.boundary_in_file(&*file, stop, wanted.limit));
            let found =
                found.map_err(|error| SliceError::Storage(io_at("read", &self.path(names::INDEX))(error)))?;
            return Ok(found.map(u64::from).filter(|end| *end > start).map(|end| end - start));
        }
        Ok(known.map(|end| end - start))
    }

    fn slice_by_headers(&self, position: u64, wanted: Wanted) -> Result<Sliced, SliceError> {
        let file = self.file().map_err(SliceError::Storage)?;
        let mut walk = Walk::new(&*file, Look::Headers, position, self.size_bytes());
        let (start, mut end, first_offset) = loop {
            let Some(found) = walk.next().map_err(|error| failed(error, self))? else {
                return Ok(Sliced::PastEnd);
            };
            if found.header.last_offset() < wanted.from {
                continue;
            }
            let fits = wanted.min_one || found.header.total_len() as u64 <= wanted.max_bytes;
            if found.header.last_offset() >= wanted.limit || !fits {
                return Ok(Sliced::Empty);
            }
            break (found.position, found.end(), found.header.base_offset());
        };
        if let Some(len) = self.large_len(start, wanted)? {
            return Ok(Sliced::Run { position: start, len, first_offset });
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
        Ok(Sliced::Run { position: start, len: end - start, first_offset })
    }
}

fn failed(error: WalkError, segment: &Segment) -> SliceError {
    match error {
        WalkError::Bad { position, reason } => SliceError::Bad { position, reason },
        WalkError::Io(source) => SliceError::Storage(io_at("read", &segment.path(names::LOG))(source)),
    }
}
