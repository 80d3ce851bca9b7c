//! The damaged batches that were met in a log since it was opened: named once in the broker's log, listed for as
//! long as they stand.
//!
//! A list, not a fence: each read looks at the bytes themselves, so a batch that reads well again is served again
//! and leaves the list. At most `ROT_MAX` are remembered; more are refused all the same.

use std::ops::Range;

use logspine_protocol::types::Offset;
use parking_lot::Mutex;

use crate::error::Damage;
use crate::reader::LogReader;

const ROT_MAX: usize = 64;

/// Damages with the base offset of their segment, in the order in which they were met.
#[derive(Debug, Default)]
pub(crate) struct Rot(Mutex<Vec<(Offset, Damage)>>);

impl Rot {
    /// A batch does not check out, not even when it is read once more.
    pub fn note(&self, segment_base: Offset, damage: &Damage) {
        let mut known = self.0.lock();
        let is_known =
            known.iter().any(|(base, other)| *base == segment_base && other.position == damage.position);
        if is_known || known.len() >= ROT_MAX {
            return;
        }
        tracing::error!(%damage, "a batch was damaged on the disk and is not served");
        known.push((segment_base, damage.clone()));
    }

    /// The range was read and is good.
    pub fn heal(&self, segment_base: Offset, range: &Range<u64>) {
        let mut known = self.0.lock();
        if !known.is_empty() {
            known.retain(|(base, damage)| *base != segment_base || !range.contains(&damage.position));
        }
    }
}

impl LogReader {
    /// What is known to be damaged in segments that are still there: by the start, and by whoever read.
    pub fn damaged_batches(&self) -> Vec<Damage> {
        let segments = self.segments();
        let mut damaged: Vec<Damage> = self.damage().cloned().into_iter().collect();
        damaged.extend(segments.iter().filter_map(|segment| segment.missing.get().cloned()));
        let known = self.rot.0.lock();
        let is_there = |base: &Offset| segments.iter().any(|segment| segment.base_offset == *base);
        damaged.extend(known.iter().filter(|(base, _)| is_there(base)).map(|(_, damage)| damage.clone()));
        damaged
    }
}
