//! The largest timestamp of a segment, for those who delete or pass over a segment because of it.
//!
//! A segment of an earlier process is loaded with what the last entry of its time index says. Index files carry no
//! checksum, so before anything follows from it the entry is compared with the batch that it names, and with those
//! behind it; if it is not true, or there is none, all headers are read. Done once, and only when somebody asks.

use logspine_protocol::batch::BatchHeader;

use super::Segment;
use super::slice::{Located, SliceError, failed};
use crate::time_index::TimeEntry;
use crate::walk::{Look, Walk};

impl Segment {
    /// The largest timestamp and the last offset of its batch, as the batches have it. Reads the file at most once.
    pub fn proven_max_timestamp(&self) -> Result<Option<TimeEntry>, SliceError> {
        let (hint, is_hint) = self.look(|state| (state.max_timestamp, state.max_is_hint));
        if !is_hint {
            return Ok(hint);
        }
        let proven = match hint.map(|entry| self.youngest_from(entry)).transpose()?.flatten() {
            Some(true_entry) => Some(true_entry),
            None => self.youngest_of_all()?,
        };
        self.close_if_sealed();
        self.change(|state| {
            // What was appended meanwhile is known anyway.
            let newer = state.max_timestamp.filter(|_| state.max_timestamp != hint);
            state.max_timestamp = younger(newer, proven);
            state.max_is_hint = false;
        });
        Ok(self.max_timestamp())
    }

    /// Whether the batch that an entry of a time index names has the timestamp that it says.
    pub fn bears(&self, entry: TimeEntry) -> bool {
        matches!(self.position_of(entry), Ok(Some(_)))
    }

    /// Where the batch of a true entry is.
    fn position_of(&self, entry: TimeEntry) -> Result<Option<u64>, SliceError> {
        let start = match self.look(|state| state.locate(entry.offset)) {
            Located::Exact(spot) => u64::from(spot.position),
            Located::From(position) => position,
            Located::InFile => self.floor_in_file(entry.offset),
            Located::PastEnd => return Ok(None),
        };
        let file = self.file().map_err(SliceError::Storage)?;
        let file = self.watched(&*file);
        let mut walk = Walk::new(&file, Look::Headers, start, self.size_bytes());
        while let Some(found) = walk.next().map_err(|error| failed(error, self))? {
            let header = &found.header;
            if header.last_offset() >= entry.offset {
                let is_true =
                    header.base_offset() <= entry.offset && header.max_timestamp() == entry.timestamp;
                return Ok(is_true.then_some(found.position));
            }
        }
        Ok(None)
    }

    /// The youngest batch from the one that the entry names on; `None` if that one is not as the entry says.
    fn youngest_from(&self, entry: TimeEntry) -> Result<Option<TimeEntry>, SliceError> {
        let Some(start) = self.position_of(entry)? else { return Ok(None) };
        let mut youngest = None;
        self.walk(Look::Headers, start, |found| youngest = younger(youngest, of_batch(&found.header)))?;
        Ok(youngest)
    }

    fn youngest_of_all(&self) -> Result<Option<TimeEntry>, SliceError> {
        let mut youngest = None;
        self.walk(Look::Headers, 0, |found| youngest = younger(youngest, of_batch(&found.header)))?;
        Ok(youngest)
    }
}

/// The first of the youngest.
fn younger(known: Option<TimeEntry>, other: Option<TimeEntry>) -> Option<TimeEntry> {
    match (known, other) {
        (Some(known), Some(other)) if other.timestamp > known.timestamp => Some(other),
        (None, other) => other,
        (known, _) => known,
    }
}

/// A batch that compaction emptied has a timestamp and no record that it could lead to.
fn of_batch(header: &BatchHeader<'_>) -> Option<TimeEntry> {
    let entry = TimeEntry { timestamp: header.max_timestamp(), offset: header.last_offset() };
    (entry.timestamp >= 0 && header.record_count() > 0).then_some(entry)
}
