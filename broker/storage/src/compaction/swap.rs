//! From `*.cleaned` over `*.swap` to the final names, one durable step after the other; and what recovery does with
//! a swap that a crash cut short.
//!
//! Written, synced as `.cleaned` -> indexes renamed to `.swap`, directory synced -> the log renamed to `.log.swap`,
//! directory synced: this is the commit -> the old segments renamed to `.deleted`, synced -> indexes to their final
//! names, synced -> the log to its final name, synced. So where there is a `.log.swap` its indexes are whole and the
//! swap is finished; `.swap` and `.cleaned` files without one are undone. The live half is `log/compaction.rs`.
//! Kafka: `LocalLog.replaceSegments`, `LogLoader`, whose names these are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::Offset;

use crate::disk::{Disk, Entry};
use crate::error::{StorageError, io_at};
use crate::names;
use crate::planted::{Bug, Planted};
use crate::walk::{Look, Walk};

/// Ends the names of files that are being written.
pub(crate) const CLEANED: &str = ".cleaned";
/// Ends the names of files that are being swapped in.
pub(crate) const SWAP: &str = ".swap";
/// What goes with a `.log`.
pub(crate) const COMPANIONS: [&str; 3] = [names::INDEX, names::TIME_INDEX, names::TXN_INDEX];

/// A directory that must be synced before the next step.
#[derive(Debug)]
#[must_use = "the swap may only go on once the directory is synced"]
pub struct SyncDir {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: Arc<Path>,
    pub(crate) planted: Planted,
}

impl SyncDir {
    /// Blocks; belongs on a thread that may.
    pub fn run(self) -> Result<(), super::CompactionError> {
        self.again().map_err(super::CompactionError::Sync)
    }

    pub(crate) fn again(&self) -> Result<(), StorageError> {
        if self.planted.has(Bug::SwapNotSynced) {
            return Ok(());
        }
        sync(&*self.disk, &self.dir)
    }
}

fn sync(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    disk.sync_dir(dir).map_err(io_at("sync", dir))
}

/// `dir/00000000000000000042.index.swap`
pub(crate) fn path(dir: &Path, base_offset: Offset, suffix: &str, stage: &str) -> PathBuf {
    names::segment_file(dir, base_offset, &format!("{suffix}{stage}"))
}

/// Renames some of a segment's files from one stage to another; those that are not there were renamed before.
pub(crate) fn rename(
    disk: &dyn Disk,
    dir: &Path,
    base_offset: Offset,
    suffixes: &[&str],
    (from, to): (&str, &str),
) -> Result<(), StorageError> {
    for suffix in suffixes {
        let (from, to) = (path(dir, base_offset, suffix, from), path(dir, base_offset, suffix, to));
        match disk.rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_at("rename", &from)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes what was written in vain; best effort, for the names are used anew by the next attempt.
pub(crate) fn remove_cleaned(disk: &dyn Disk, dir: &Path, base_offset: Offset) {
    for suffix in COMPANIONS.iter().chain(&[names::LOG]) {
        let _ = disk.remove_file(&path(dir, base_offset, suffix, CLEANED));
    }
}

/// Finishes or undoes every swap that a crash cut short, before anything else of the directory is believed. Takes
/// its entries and returns them as they are now.
pub(crate) fn recover(disk: &dyn Disk, dir: &Path, entries: Vec<Entry>) -> Result<Vec<Entry>, StorageError> {
    let stage = |entry: &Entry, stage: &str| {
        names::parse_segment_file(&entry.name).filter(|(_, suffix)| suffix.ends_with(stage)).is_some()
    };
    if !entries.iter().any(|entry| stage(entry, SWAP) || stage(entry, CLEANED)) {
        return Ok(entries);
    }
    let log_swap = format!("{}{SWAP}", names::LOG);
    for entry in &entries {
        match names::parse_segment_file(&entry.name) {
            Some((base_offset, suffix)) if suffix == log_swap => finish(disk, dir, base_offset, &entries)?,
            _ => {}
        }
    }
    let list = || disk.list(dir).map_err(io_at("list", dir));
    for entry in list()?.iter().filter(|entry| stage(entry, SWAP) || stage(entry, CLEANED)) {
        let path = dir.join(&entry.name);
        disk.remove_file(&path).map_err(io_at("remove", &path))?;
    }
    list()
}

fn finish(disk: &dyn Disk, dir: &Path, base_offset: Offset, entries: &[Entry]) -> Result<(), StorageError> {
    let from = path(dir, base_offset, names::LOG, SWAP);
    let old: Vec<Offset> = entries
        .iter()
        .filter_map(|entry| match names::parse_segment_file(&entry.name)? {
            (offset, names::LOG) if offset >= base_offset => Some(offset),
            _ => None,
        })
        .collect();
    let end = match end_of(disk, &from, base_offset)? {
        Some(end) => end,
        None if old.first() == Some(&base_offset) => {
            // It was whole when it was renamed, and the segments that it was to replace are still there.
            let aside = free_name(dir, entries, base_offset, "log.cut-swap");
            tracing::error!(path = %from.display(), kept = %aside.display(), "a compacted segment is damaged; it is set aside and the segments before compaction are served");
            disk.rename(&from, &aside).map_err(io_at("rename", &from))?;
            return sync(disk, dir);
        }
        // Nothing else is left of these records: opening the log names the damage.
        None => base_offset + 1,
    };
    for offset in old.into_iter().filter(|offset| *offset < end) {
        let gone: &[&str] = match offset == base_offset {
            // Its indexes are replaced by rename, if they were not already.
            true => &[names::LOG],
            false => &[names::LOG, names::INDEX, names::TIME_INDEX, names::TXN_INDEX, names::SNAPSHOT],
        };
        for suffix in gone {
            let path = names::segment_file(dir, offset, suffix);
            let aside = free_name(dir, entries, offset, suffix);
            match disk.rename(&path, &aside.with_added_extension("deleted")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_at("rename", &path)(error));
                }
                _ => {}
            }
        }
    }
    sync(disk, dir)?;
    rename(disk, dir, base_offset, &COMPANIONS, (SWAP, ""))?;
    sync(disk, dir)?;
    rename(disk, dir, base_offset, &[names::LOG], (SWAP, ""))?;
    tracing::info!(path = %from.display(), "finished a compaction that was interrupted");
    sync(disk, dir)
}

/// The offset behind the last batch of a file whose every batch checks out; `None` if one does not.
fn end_of(disk: &dyn Disk, path: &Path, base_offset: Offset) -> Result<Option<Offset>, StorageError> {
    let file = disk.open(path, crate::disk::Access::Read).map_err(io_at("open", path))?;
    let len_bytes = file.len_bytes().map_err(io_at("measure", path))?;
    let mut walk = Walk::new(&*file, Look::Everything, 0, len_bytes);
    let mut end = base_offset;
    loop {
        match walk.next() {
            Ok(None) => return Ok((end > base_offset).then_some(end)),
            Ok(Some(found)) if found.header.base_offset() >= end => end = found.header.next_offset(),
            Ok(Some(_)) | Err(crate::walk::WalkError::Bad { .. }) => return Ok(None),
            Err(crate::walk::WalkError::Io(error)) => return Err(io_at("read", path)(error)),
        }
    }
}

/// `<base>.<suffix>.<n>` with the first n that no name of the directory begins with.
fn free_name(dir: &Path, entries: &[Entry], base_offset: Offset, suffix: &str) -> PathBuf {
    let name = |n: usize| format!("{:020}.{suffix}.{n}", base_offset.0);
    let is_free = |name: &String| !entries.iter().any(|entry| entry.name.starts_with(name));
    let free = (0..=entries.len()).map(name).find(is_free);
    dir.join(free.unwrap_or_else(|| name(entries.len() + 1)))
}
