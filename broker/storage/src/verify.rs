//! Reads that trust nothing: a batch is served, or counted as good, only after every byte of it was checked.
//!
//! Who calls waits for the disk: the pool for cold reads, the scrubber, and owners that replay their log. Bytes are
//! verified on their first read after a start and whenever they had left the page cache (`segment/trust.rs`). What
//! does not check out is read once more from the disk; if that is no better it is a damage: noted by file and
//! position, never served. The batches around it are: before it, and beyond it when they are asked for by offset.

mod checks;
mod rot;
mod scrub;

use std::ops::Range;
use std::sync::Arc;

use logspine_protocol::types::Offset;

use crate::disk::DiskFile;
use crate::error::{Damage, ReadError, io_at};
use crate::names;
use crate::reader::{LogReader, LogSlice};
use crate::segment::{Located, Segment, Wanted};
use crate::walk::{Look, Walk, WalkError};
use checks::{Checked, Checks};

pub(crate) use rot::Rot;
pub use scrub::Scrubbed;

/// A slice within so many bytes of the log's end is the tail that everybody reads, not a replay of old data.
const NEAR_TAIL_BYTES: u64 = 64 << 20;

/// Dropped from the page cache before a second look; larger than most batches.
const SECOND_LOOK_BYTES: u64 = 16 << 20;

/// What a verified read came to.
#[derive(Debug)]
pub struct VerifiedRead {
    /// As `LogReader::read` gives it.
    pub slice: LogSlice,
    /// What the read brought into the page cache, if it is far from the log's end.
    pub brought_in: Option<BroughtIn>,
}

/// A range of a file that is in the page cache because old data was read.
#[derive(Debug)]
pub struct BroughtIn {
    file: Arc<dyn DiskFile>,
    range: Range<u64>,
}

impl BroughtIn {
    /// Bytes.
    pub fn len_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Gives the memory back to the page cache; pages that are on their way to a socket stay.
    pub fn evict(self) {
        self.file.evict(self.range.start, self.len_bytes());
    }
}

/// What was found for a reader in one segment.
enum Found {
    Run(Run),
    /// The batch does not fit the budget, or the limit lies inside of it.
    Nothing,
    PastEnd,
}

/// Good batches in a row.
struct Run {
    first_offset: Offset,
    /// The ones that are served.
    served: Range<u64>,
    /// Those and what was verified around them.
    verified: Range<u64>,
    /// What came in from the disk for that.
    brought_in: Option<Range<u64>>,
}

/// Where a walk starts, and what is known without looking: so that the first batch is judged like all others.
#[derive(Debug, Clone, Copy)]
struct Start {
    position: u64,
    base: Option<Offset>,
    last: Option<Offset>,
    /// Known from an index file, which may itself be damaged.
    is_hint: bool,
}

impl Start {
    const OF_FILE: Start = Start { position: 0, base: None, last: None, is_hint: false };
}

impl LogReader {
    /// As `read`, with every byte verified first, and up to `ahead_bytes` from the slice's start on verified with it,
    /// so that whoever reads on finds them in memory.
    pub fn read_verified(
        &self,
        from: Offset,
        limit: Offset,
        max_bytes: u32,
        min_one: bool,
        ahead_bytes: u64,
    ) -> Result<VerifiedRead, ReadError> {
        let max_bytes = u64::from(max_bytes);
        self.on_segments(from, limit, |segments, limit| {
            let wanted = Wanted { from, limit, max_bytes, min_one };
            self.verified(segments, wanted, ahead_bytes.max(max_bytes))
        })
    }

    fn verified(
        &self,
        segments: &[Arc<Segment>],
        wanted: Wanted,
        ahead_bytes: u64,
    ) -> Result<VerifiedRead, ReadError> {
        let nothing = || VerifiedRead { slice: LogSlice::empty(wanted.from), brought_in: None };
        if wanted.from >= wanted.limit {
            return Ok(nothing());
        }
        for (number, segment) in segments.iter().enumerate() {
            let file = self.open(segment)?;
            let at = start_of(segment, wanted.from).position;
            // Ahead is read for whoever reads on, not for whoever jumps about.
            let reads_on = segment.trust.covers(at.saturating_sub(1)..at) || segment.trust.covers(at..at + 1);
            let ahead_bytes = if at == 0 || reads_on { ahead_bytes } else { wanted.max_bytes };
            let run = match self.find_twice(segment, &*file, wanted, ahead_bytes)? {
                Found::Run(run) => run,
                Found::Nothing => return Ok(nothing()),
                Found::PastEnd => continue,
            };
            let verified = run.verified;
            segment.trust.verified(verified.clone());
            self.rot.heal(segment.base_offset, &verified);
            let old = run.brought_in.filter(|range| !is_near_tail(&segments[number..], range.start));
            let len = (run.served.end - run.served.start) as u32;
            return Ok(VerifiedRead {
                brought_in: old.map(|range| BroughtIn { file: Arc::clone(&file), range }),
                slice: LogSlice {
                    file,
                    position: run.served.start,
                    len,
                    first_offset: run.first_offset,
                    segment: Some(Arc::clone(segment)),
                },
            });
        }
        Ok(nothing())
    }

    /// What the page cache holds may be damaged where the disk is not, and an index may lead astray: a second look
    /// is at the disk, and leaves the index out if the first one got no further than it.
    fn find_twice(
        &self,
        segment: &Segment,
        file: &dyn DiskFile,
        wanted: Wanted,
        ahead_bytes: u64,
    ) -> Result<Found, ReadError> {
        let start = start_of(segment, wanted.from);
        match self.find(segment, file, start, wanted, ahead_bytes) {
            Err(ReadError::Damaged(first)) => {
                file.evict(first.position, SECOND_LOOK_BYTES);
                let is_astray = start.is_hint && first.position == start.position;
                let start = if is_astray { Start::OF_FILE } else { start };
                self.find(segment, file, start, wanted, ahead_bytes).inspect_err(|error| {
                    if let ReadError::Damaged(damage) = error {
                        self.rot.note(segment.base_offset, damage);
                    }
                })
            }
            found => found,
        }
    }

    fn find(
        &self,
        segment: &Segment,
        file: &dyn DiskFile,
        start: Start,
        wanted: Wanted,
        ahead_bytes: u64,
    ) -> Result<Found, ReadError> {
        let path = segment.path(names::LOG);
        file.read_only_what_is_asked();
        let file = segment.watched(file);
        let mut checks = Checks::new(self, segment, &file, start, ahead_bytes);
        let mut good_from = start.position;
        let mut run: Option<Run> = None;
        let mut bad_before: Option<Checked> = None;
        let mut is_full = false;
        while let Some(checked) = checks.next().map_err(io_at("read", &path))? {
            let Checked { position, end, base, next, .. } = checked;
            if checked.fault.is_some() {
                if run.is_some() {
                    break;
                }
                good_from = end;
                if checked.is_last || (base <= wanted.from && wanted.from < next) {
                    return Err(checked.damage(segment, wanted.from).into());
                }
                bad_before = Some(checked);
                continue;
            }
            if next <= wanted.from {
                bad_before = None;
                continue;
            }
            let Some(run) = &mut run else {
                // A damaged batch may have held it: its offsets are worth no more than the rest of it.
                if let Some(bad) = bad_before.filter(|_| wanted.from < base) {
                    return Err(bad.damage(segment, wanted.from).into());
                }
                if next > wanted.limit || !(wanted.min_one || end - position <= wanted.max_bytes) {
                    return Ok(Found::Nothing);
                }
                run = Some(Run {
                    first_offset: base,
                    served: position..end,
                    verified: good_from..end,
                    brought_in: None,
                });
                bad_before = None;
                continue;
            };
            is_full |= next > wanted.limit || end - run.served.start > wanted.max_bytes;
            if is_full && (end - run.served.start > ahead_bytes || next > self.log_end()) {
                break;
            }
            run.verified.end = end;
            if !is_full {
                run.served.end = end;
            }
        }
        match (run, bad_before) {
            (Some(run), _) => Ok(Found::Run(Run { brought_in: file.brought_in(), ..run })),
            (None, Some(bad)) => Err(bad.damage(segment, wanted.from).into()),
            (None, None) => Ok(Found::PastEnd),
        }
    }
}

impl LogSlice {
    /// Reads and verifies a slice that was found before and has left the page cache since.
    pub fn bring_back(&self) -> Result<(), ReadError> {
        let Some(segment) = &self.segment else { return Ok(()) };
        let path = segment.path(names::LOG);
        let file = segment.watched(&*self.file);
        let end = self.position + u64::from(self.len);
        let mut walk = Walk::new(&file, Look::Everything, self.position, end);
        loop {
            match walk.next() {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(WalkError::Io(error)) => return Err(io_at("read", &path)(error).into()),
                Err(WalkError::Bad { position, reason }) => {
                    let (offset, reason) = (self.first_offset, reason.to_string());
                    return Err(Damage { path, position, offset, reason }.into());
                }
            }
        }
        segment.trust.verified(self.position..end);
        Ok(())
    }
}

/// A batch start at or before the batch that contains `from`.
fn start_of(segment: &Segment, from: Offset) -> Start {
    let in_memory = segment.look(|state| match state.locate(from) {
        Located::Exact(spot) => Ok(Some(spot)),
        Located::From(_) => Ok(state.index.floor(from)),
        Located::InFile | Located::PastEnd => Err(()),
    });
    if let Ok(spot) = in_memory {
        return spot.filter(|spot| spot.position > 0).map_or(Start::OF_FILE, |spot| Start {
            position: u64::from(spot.position),
            base: Some(spot.base),
            last: Some(spot.last),
            is_hint: false,
        });
    }
    let Ok(file) = segment.open_index(names::INDEX) else { return Start::OF_FILE };
    match segment.look(|state| state.index.floor_entry_in_file(&*file, from)) {
        Ok(Some((last, position))) if u64::from(position) < segment.size_bytes() => {
            Start { position: u64::from(position), base: None, last: Some(last), is_hint: true }
        }
        _ => Start::OF_FILE,
    }
}

/// Whether the rest of the log behind `position` of the first segment is short.
fn is_near_tail(segments: &[Arc<Segment>], position: u64) -> bool {
    let mut behind = 0_u64;
    for (number, segment) in segments.iter().enumerate() {
        behind += segment.size_bytes() - if number == 0 { position.min(segment.size_bytes()) } else { 0 };
        if behind > NEAR_TAIL_BYTES {
            return false;
        }
    }
    true
}
