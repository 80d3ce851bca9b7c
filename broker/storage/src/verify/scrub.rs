//! One step of the scrubber: verifies a piece of a log that nobody asked for, and leaves the page cache as it was.
//!
//! Stateless: the caller says where to go on and how much to read, and decides when. A damage is noted and walked
//! past; where nothing can be found behind it, the rest of the segment is left out. Called by the broker's
//! `partition/scrubber.rs`.

use std::sync::Arc;

use logspine_protocol::types::Offset;

use super::checks::Checks;
use super::start_of;
use crate::disk::DiskFile;
use crate::error::{ReadError, io_at};
use crate::names;
use crate::reader::LogReader;
use crate::segment::{Segment, Wanted};

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// Where to go on; `None` at the end of the log.
    pub next: Option<Offset>,
    /// Bytes read.
    pub bytes: u64,
}

impl LogReader {
    /// Verifies about `bytes_max` from the batch that contains `from` on, at least one batch, within one segment.
    /// Offsets that are no longer there are passed over.
    pub fn scrub(&self, from: Offset, bytes_max: u64) -> Result<Scrubbed, ReadError> {
        let from = from.max(self.log_start());
        if from >= self.log_end() {
            return Ok(Scrubbed { next: None, bytes: 0 });
        }
        self.on_segments(from, self.log_end(), |segments, _| {
            let Some(at) = segments.iter().position(|segment| segment.end_offset() > from) else {
                return Ok(Scrubbed { next: None, bytes: 0 });
            };
            self.scrub_segment(&segments[at], at + 1 == segments.len(), from, bytes_max)
        })
    }

    fn scrub_segment(
        &self,
        segment: &Arc<Segment>,
        is_active: bool,
        from: Offset,
        bytes_max: u64,
    ) -> Result<Scrubbed, ReadError> {
        let (size_bytes, end_offset) = segment.look(|state| (state.size_bytes, state.end_offset));
        let file = self.open(segment)?;
        file.read_only_what_is_asked();
        let watched = segment.watched(&*file);
        let start = start_of(segment, from.max(segment.base_offset));
        let first = start.position;
        let was_resident = file.is_resident(first, bytes_max.min(size_bytes - first));
        let path = segment.path(names::LOG);
        let mut checks = Checks::new(self, segment, &watched, start, bytes_max);
        let (mut good, mut end, mut next) = (first, first, from.max(segment.base_offset));
        let mut is_through = true;
        while let Some(checked) = checks.next().map_err(io_at("read", &path))? {
            end = if checked.is_last { size_bytes } else { checked.end };
            if checked.fault.is_some() {
                segment.trust.verified(good..checked.position);
                good = end;
                self.confirm(segment, &*file, next);
            }
            next = next.max(checked.next.min(end_offset));
            if end - first >= bytes_max && next > from && end < size_bytes {
                is_through = false;
                break;
            }
        }
        segment.trust.verified(good..end);
        self.rot.heal(segment.base_offset, &(good..end));
        if !was_resident {
            file.evict(first, end - first);
        }
        let next = if is_through { end_offset } else { next };
        Ok(Scrubbed { next: (!is_through || !is_active).then_some(next), bytes: end - first })
    }

    /// Reads what did not check out as a consumer would, which notes it if it is no better.
    fn confirm(&self, segment: &Arc<Segment>, file: &dyn DiskFile, offset: Offset) {
        let wanted = Wanted { from: offset, limit: self.log_end(), max_bytes: 1, min_one: true };
        // The damage is noted; any other error is met again by the next step.
        let _ = self.find_twice(segment, file, wanted, 1);
    }
}
