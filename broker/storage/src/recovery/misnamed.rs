//! Segments whose first batch says that they are not those of their name: left out, set aside, and their offsets refused.
//!
//! A name that is too high would hide what lies in front of it, one that is too low would end the segment before it too
//! early. The file is renamed like all that cannot be read, so that no later roll meets it; the offsets that it
//! held are missing from the segment before it, which says so to readers. Looked at where there are several segments:
//! one alone is read anyway.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::types::Offset;

use super::Found;
use crate::aside::{SetAside, move_aside};
use crate::disk::{Access, Disk};
use crate::error::{Damage, StorageError};
use crate::names;
use crate::segment::Segment;
use crate::walk::{Look, Walk};

/// The segments that were left out, by their first offset.
#[derive(Debug, Default)]
pub(super) struct Misnamed(Vec<(Offset, SetAside)>);

impl Misnamed {
    /// Takes them out of `found`.
    pub fn take_from(found: &mut Found, disk: &dyn Disk, dir: &Path) -> Result<Misnamed, StorageError> {
        let mut misnamed = Misnamed::default();
        if found.logs.len() < 2 {
            return Ok(misnamed);
        }
        let mut number = 0;
        while let Some((base, _)) = found.logs.get(number).copied() {
            let end = found.logs.get(number + 1).map_or(Offset(i64::MAX), |(next, _)| *next);
            let path = names::segment_file(dir, base, names::LOG);
            match first_offset(disk, &path, base..end) {
                None => number += 1,
                Some(first) => {
                    let reason = format!("its first batch has offset {first}, its name says {base}");
                    misnamed.0.push((first, move_aside(disk, &path, 0, reason)?));
                    found.logs.remove(number);
                    for suffix in [names::INDEX, names::TIME_INDEX, names::TXN_INDEX] {
                        let derived = names::segment_file(dir, base, suffix);
                        // One that stays is a leftover for the next start.
                        let _ = disk.remove_file(&derived);
                        found
                            .names
                            .retain(|name| derived.file_name().is_none_or(|gone| gone != name.as_str()));
                    }
                    // What follows it may be judged otherwise, and so may what lies before it.
                    number = number.saturating_sub(1);
                }
            }
        }
        Ok(misnamed)
    }

    /// Tells the segments in front of them that offsets are missing.
    pub fn tell(self, segments: &[Arc<Segment>]) -> Vec<SetAside> {
        for (offset, aside) in &self.0 {
            let after = segments.partition_point(|segment| segment.base_offset <= *offset);
            let Some(before) = after.checked_sub(1).map(|number| &segments[number]) else { continue };
            if *offset < before.end_offset() {
                let (path, reason) = (aside.kept.clone(), aside.reason.clone());
                let _ = before.missing.set(Damage { path, position: 0, offset: *offset, reason });
            }
        }
        self.0.into_iter().map(|(_, aside)| aside).collect()
    }
}

/// The first offset of a file whose first two batches both lie outside of these offsets: one may be damaged, and where no
/// header can be read it is for others to judge.
fn first_offset(disk: &dyn Disk, path: &Path, own: Range<Offset>) -> Option<Offset> {
    let file = disk.open(path, Access::Read).ok()?;
    let mut walk = Walk::new(&*file, Look::Headers, 0, file.len_bytes().ok()?);
    let mut next = || Some(walk.next().ok()??.header.base_offset()).filter(|base| !own.contains(base));
    let first = next()?;
    next().filter(|second| *second > first).and(Some(first))
}
