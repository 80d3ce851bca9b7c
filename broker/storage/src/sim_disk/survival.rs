//! What a power cut leaves of changes that were not synced: the rules of the simulated hardware.
//!
//! A file: each sector holds what it held after any one of the pending changes, whatever its neighbours hold, and
//! the size is that after any one of them too; a hole reads as zeros. So writes are torn at sectors and reordered,
//! and a truncation is lost although a later append is there, or the other way round. A directory: any subset of
//! its pending changes; one change is whole or not there. A cut also has simpler moods (nothing, everything, a
//! prefix in order), because the worst is not always the most telling.

use std::collections::BTreeMap;

use super::state::{Change, Dir, File};
use super::{FaultCounts, Rng};

/// Sector sizes of disks, and a tiny one that tears small test batches more often than any disk would.
const SECTOR_BYTES: [usize; 3] = [64, 512, 4096];

/// How much of the pending changes is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Nothing,
    Everything,
    Prefix,
    EachApart,
}

fn mood(rng: &mut Rng) -> Mood {
    [Mood::Nothing, Mood::Everything, Mood::Prefix, Mood::EachApart, Mood::EachApart][rng.below(5) as usize]
}

/// The bytes that are left of a file.
pub(super) fn of_file(file: &File, rng: &mut Rng, counts: &mut FaultCounts) -> Vec<u8> {
    let pending = &file.pending;
    if pending.is_empty() {
        return file.durable.clone();
    }
    let count = pending.len() as u64;
    match mood(rng) {
        Mood::Nothing => file.durable.clone(),
        Mood::Everything => apply_all(&file.durable, pending),
        Mood::Prefix => {
            let kept = rng.below(count) as usize;
            let mut content = apply_all(&file.durable, &pending[..kept]);
            let torn = tear(&pending[kept], rng);
            counts.torn_sectors += u64::from(torn.end() < pending[kept].end());
            torn.apply(&mut content);
            content
        }
        Mood::EachApart => sectors_apart(file, rng, counts),
    }
}

fn apply_all(durable: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut content = durable.to_vec();
    changes.iter().for_each(|change| change.apply(&mut content));
    content
}

/// The first bytes of a write; a truncation is not torn.
fn tear(change: &Change, rng: &mut Rng) -> Change {
    match change {
        Change::Write { position, bytes } => {
            let kept = rng.below(bytes.len() as u64 + 1) as usize;
            Change::Write { position: *position, bytes: bytes[..kept].to_vec() }
        }
        truncate => truncate.clone(),
    }
}

/// Each sector, and the size, as of its own moment.
fn sectors_apart(file: &File, rng: &mut Rng, counts: &mut FaultCounts) -> Vec<u8> {
    let sector = SECTOR_BYTES[rng.below(SECTOR_BYTES.len() as u64) as usize];
    let mut content = file.durable.clone();
    let mut result = content.clone();
    let moments = file.pending.len() as u64 + 1;
    let longest = file.pending.iter().map(Change::end).max().unwrap_or(0).max(content.len());
    let moment_of: Vec<u64> = (0..longest.div_ceil(sector)).map(|_| rng.below(moments)).collect();
    let newest = moment_of.iter().copied().max().unwrap_or_default();
    counts.torn_sectors += moment_of.iter().filter(|moment| **moment < newest).count() as u64;
    let size_moment = rng.below(moments);
    let mut size = content.len();
    result.resize(longest, 0);
    for (moment, change) in (1..).zip(&file.pending) {
        change.apply(&mut content);
        if moment == size_moment {
            size = content.len();
        }
        for (number, _) in moment_of.iter().enumerate().filter(|(_, wanted)| **wanted == moment) {
            let (start, end) = (number * sector, (number * sector + sector).min(longest));
            let there = content.get(start.min(content.len())..end.min(content.len())).unwrap_or_default();
            result[start..start + there.len()].copy_from_slice(there);
            result[start + there.len()..end].fill(0);
        }
    }
    result.resize(size, 0);
    result
}

/// The names that are left of a directory.
pub(super) fn of_dir(dir: &Dir, rng: &mut Rng, counts: &mut FaultCounts) -> BTreeMap<String, u64> {
    let mut names = dir.durable.clone();
    let count = dir.pending.len();
    let mood = mood(rng);
    let prefix = match mood {
        Mood::Nothing | Mood::EachApart => 0,
        Mood::Everything => count,
        Mood::Prefix if count == 0 => 0,
        Mood::Prefix => rng.below(count as u64) as usize,
    };
    let survives = |number: usize, rng: &mut Rng| match mood {
        Mood::EachApart => rng.percent(50),
        _ => number < prefix,
    };
    for (number, naming) in dir.pending.iter().enumerate() {
        if survives(number, rng) {
            naming.apply(&mut names);
        } else {
            counts.lost_names += 1;
        }
    }
    names
}
