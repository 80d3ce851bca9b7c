//! What is believed after a start, and how the rest is rebuilt.
//!
//! With the clean marker everything is believed and next to nothing is read. Without it nothing at or above the
//! recovery point is: from the segment that holds it on, every batch is checked, indexes, epochs and producers
//! are rebuilt. A tail that does not check out is moved aside and cut (`recovery/cut.rs`). Below the recovery point
//! the bytes were once safe: what does not read back there is a damage, and a damage is never cut. What is found
//! good is synced before it counts as durable, here or by the owner's next flush, so that a second recovery changes
//! nothing. Kafka: `LogLoader`.

mod cut;
mod misnamed;
mod scan;
mod snapshots;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::Offset;

use crate::aside::{SetAside, move_aside, read_or_move};
use crate::compaction::swap;
use crate::disk::{self, Disk, Entry};
use crate::epochs::Epochs;
use crate::error::{StorageError, io_at};
use crate::log::{OpenLog, Recovered};
use crate::planted::Bug;
use crate::producers::Producers;
use crate::reclaim::Unlink;
use crate::segment::Segment;
use crate::txn_index::TxnIndex;
use crate::{checkpoint, creation, names, partition_metadata};

use misnamed::Misnamed;
pub(crate) use snapshots::{load_producers, remove_snapshots_after};

/// A log as it was found or made.
pub(crate) struct Opened {
    pub dir: Arc<Path>,
    pub segments: Vec<Arc<Segment>>,
    pub log_start: Offset,
    pub epochs: Epochs,
    pub producers: Producers,
    pub txn_index: TxnIndex,
    pub unlinks: Vec<Unlink>,
    /// A name was added that is not synced yet.
    pub dir_dirty: bool,
    /// Made by `creation`: not even the directory's own name is synced.
    pub is_new: bool,
    /// Indexes and producers on disk are those of a clean close.
    pub is_closed: bool,
    /// Nothing above the recovery point is known to be on stable storage before a flush.
    pub is_unsynced: bool,
    pub recovered: Recovered,
}

/// Opens the files of one partition.
pub(crate) fn open(args: &OpenLog) -> Result<Opened, StorageError> {
    let disk = &*args.disk;
    let dir: Arc<Path> = args.dir.clone().into();
    disk.create_dir(&dir).map_err(io_at("create", &dir))?;
    let entries = disk.list(&dir).map_err(io_at("list", &dir))?;
    if let Some(created) = creation::create(args, &dir, &entries)? {
        return Ok(created);
    }
    let mut found = Found::from(args, &dir, swap::recover(disk, &dir, entries)?)?;
    let mut recovered = Recovered::default();
    nobodys_aside(args, &dir, &mut found, &mut recovered)?;
    let misnamed = Misnamed::take_from(&mut found, disk, &dir)?;
    let args = &match as_new(args, &dir, &found)? {
        Some(fresh) => fresh,
        None => args.clone(),
    };
    recovered.set_aside.extend(partition_metadata::check_or_write(disk, &dir, args.topic_id)?);
    let (mut epochs, epochs_known) = read_epochs(disk, &dir, &mut recovered.set_aside)?;
    let epochs_on_disk = epochs.clone();
    let (mut segments, scanned_from, is_unsynced) =
        load_or_scan(args, &dir, &found, &mut epochs, &mut recovered)?;
    let dir_dirty = segments.is_empty();
    if dir_dirty {
        segments.push(Arc::new(Segment::create(
            &args.disk,
            &dir,
            args.log_start.max(Offset(0)),
            args.now_ms,
        )?));
        sync_parent(disk, &dir)?;
    }
    let mut unlinks = found.unlinks;
    if args.log_start > log_end_of(&segments) && recovered.damage.is_none() {
        segments = begin_at(args, &dir, &segments, &mut unlinks, &mut recovered)?;
    }
    recovered.set_aside.extend(misnamed.tell(&segments));
    let known_start = if args.config.planted.has(Bug::LogStartLost) { Offset(0) } else { args.log_start };
    let log_start = known_start.max(segments[0].base_offset);
    settle_epochs(&segments, log_start, &mut epochs, epochs_known)?;
    if epochs != epochs_on_disk || !epochs_known {
        let path = dir.join(names::LEADER_EPOCH_CHECKPOINT);
        disk::replace_file(disk, &path, epochs.format().as_bytes()).map_err(io_at("write", &path))?;
    }
    let replayed = believed_producers(args, &dir, &segments, scanned_from)?;
    let txn_index = snapshots::open_txn_index(args, &dir, &found.names, &segments, scanned_from, &replayed)?;
    recovered.set_aside.extend(replayed.set_aside);
    if let Some(active) = segments.last() {
        active.set_active(true);
        active.close();
    }
    Ok(Opened {
        dir,
        segments,
        log_start,
        epochs,
        producers: replayed.producers,
        txn_index,
        unlinks,
        dir_dirty,
        is_new: false,
        is_closed: scanned_from.is_none(),
        is_unsynced,
        recovered,
    })
}

/// Segments, from where on a scan looked, and whether a flush has to follow.
type Loaded = (Vec<Arc<Segment>>, Option<Offset>, bool);

/// The segments as they were closed, or as a scan found them.
fn load_or_scan(
    args: &OpenLog,
    dir: &Arc<Path>,
    found: &Found,
    epochs: &mut Epochs,
    recovered: &mut Recovered,
) -> Result<Loaded, StorageError> {
    let loaded = if args.clean { scan::load_all(args, dir, &found.logs)? } else { None };
    // A log that was closed ends at its recovery point; for one that ends elsewhere the scan says what is wrong.
    let is_whole = |segments: &Vec<_>| {
        args.recovery_point == Offset(0) || log_end_of(segments).max(args.log_start) == args.recovery_point
    };
    if let Some(segments) = loaded.filter(is_whole) {
        return Ok((segments, None, false));
    }
    let scanned = scan::recover(args, dir, found, epochs, recovered)?;
    Ok((scanned.segments, Some(scanned.from), scanned.is_unsynced))
}

/// Batches without a topic id, and nothing says that they were ever on stable storage: the power went before the first
/// flush, which makes the id durable before anything counts. They may be those of an older topic of the name.
fn nobodys_aside(
    args: &OpenLog,
    dir: &Path,
    found: &mut Found,
    recovered: &mut Recovered,
) -> Result<(), StorageError> {
    let has_id = partition_metadata::read(&*args.disk, dir)? != partition_metadata::Found::Absent;
    if has_id || args.clean || args.recovery_point > Offset(0) || args.config.planted.has(Bug::NobodysServed)
    {
        return Ok(());
    }
    for (base, len_bytes) in found.logs.iter().rev() {
        cut::aside_whole(args, dir, found, *base, *len_bytes, recovered)?;
    }
    found.logs.clear();
    Ok(())
}

/// Producer state, with snapshots believed as far as the log was not scanned.
fn believed_producers(
    args: &OpenLog,
    dir: &Path,
    segments: &[Arc<Segment>],
    scanned_from: Option<Offset>,
) -> Result<snapshots::Replayed, StorageError> {
    let log_end = log_end_of(segments);
    if args.config.planted.has(Bug::SnapshotNewerThanLog) {
        return load_producers(&*args.disk, dir, segments, Offset(i64::MAX));
    }
    remove_snapshots_after(&*args.disk, dir, scanned_from.unwrap_or(log_end).min(log_end))?;
    load_producers(&*args.disk, dir, segments, log_end)
}

/// Brings the epochs in line with the log, from its batches if the file cannot tell.
fn settle_epochs(
    segments: &[Arc<Segment>],
    log_start: Offset,
    epochs: &mut Epochs,
    known: bool,
) -> Result<(), StorageError> {
    let log_end = log_end_of(segments);
    // A crash can leave a log start that is older than the epochs, which forget what lies below it.
    let first_known = epochs.entries().first().map_or(log_end, |first| first.start_offset);
    if !known || first_known > log_start {
        scan::epochs_from_headers(segments, epochs)?;
    }
    epochs.truncate_from_start(log_start);
    epochs.truncate_from_end(log_end);
    Ok(())
}

/// A directory without metadata and without data is a new partition. Checkpoints that know its name speak of an
/// older one that was deleted, and are made to forget it before anything of the new one is there.
fn as_new(args: &OpenLog, dir: &Path, found: &Found) -> Result<Option<OpenLog>, StorageError> {
    let disk = &*args.disk;
    if !found.logs.is_empty() || partition_metadata::read(disk, dir)? != partition_metadata::Found::Absent {
        return Ok(None);
    }
    let data_dir = dir.parent().unwrap_or(Path::new("."));
    checkpoint::forget(disk, data_dir, &args.topic, args.partition.0)?;
    Ok(Some(OpenLog { recovery_point: Offset(0), log_start: Offset(0), ..args.clone() }))
}

fn log_end_of(segments: &[Arc<Segment>]) -> Offset {
    segments.last().map_or(Offset(0), |active| active.end_offset())
}

/// The partition directory's own name.
fn sync_parent(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    let parent = dir.parent().unwrap_or(Path::new("."));
    disk.sync_dir(parent).map_err(io_at("sync", parent))
}

/// The log start lies behind everything that is left: begin there. Which of the two is wrong nobody knows, so no byte
/// of the log goes.
fn begin_at(
    args: &OpenLog,
    dir: &Arc<Path>,
    segments: &[Arc<Segment>],
    unlinks: &mut Vec<Unlink>,
    recovered: &mut Recovered,
) -> Result<Vec<Arc<Segment>>, StorageError> {
    for segment in segments.iter().rev() {
        if segment.size_bytes() > 0 {
            let reason = format!("it ends at {}, the log starts at {}", segment.end_offset(), args.log_start);
            recovered.set_aside.push(move_aside(&*args.disk, &segment.path(names::LOG), 0, reason)?);
        }
        for suffix in [names::LOG, names::INDEX, names::TIME_INDEX, names::TXN_INDEX, names::SNAPSHOT] {
            let path = segment.path(suffix);
            let mut name = path.clone().into_os_string();
            name.push(names::DELETED);
            if args.disk.rename(&path, Path::new(&name)).is_ok() {
                unlinks.push(Unlink::file(&args.disk, PathBuf::from(name), args.now_ms));
            }
        }
    }
    let active = Segment::create(&args.disk, dir, args.log_start, args.now_ms)?;
    args.disk.sync_dir(dir).map_err(io_at("sync", dir))?;
    Ok(vec![Arc::new(active)])
}

/// The files of a partition directory.
struct Found {
    /// Base offsets and sizes of `.log` files.
    logs: Vec<(Offset, u64)>,
    /// Every name, so that a cut finds a free one.
    names: Vec<String>,
    unlinks: Vec<Unlink>,
}

impl Found {
    /// Clears away what a crash left half-done.
    fn from(args: &OpenLog, dir: &Path, entries: Vec<Entry>) -> Result<Found, StorageError> {
        let logs: Vec<_> = entries
            .iter()
            .filter_map(|entry| match names::parse_segment_file(&entry.name)? {
                (offset, names::LOG) => Some((offset, entry.len_bytes)),
                _ => None,
            })
            .collect();
        let mut unlinks = Vec::new();
        for entry in &entries {
            let path = dir.join(&entry.name);
            let leftover = match names::parse_segment_file(&entry.name) {
                Some((_, suffix)) if suffix.ends_with(names::DELETED) => {
                    unlinks.push(Unlink::file(&args.disk, path.clone(), args.now_ms));
                    false
                }
                Some((offset, names::INDEX | names::TIME_INDEX | names::TXN_INDEX)) => {
                    logs.binary_search_by_key(&offset, |(base, _)| *base).is_err()
                }
                _ => names::is_temporary(&entry.name),
            };
            if entry.is_dir && (leftover || names::is_derived(&entry.name)) {
                move_aside(&*args.disk, &path, 0, "a directory stands where a file belongs")?;
            } else if leftover {
                args.disk.remove_file(&path).map_err(io_at("remove", &path))?;
            }
        }
        let names = entries.into_iter().map(|entry| entry.name).collect();
        Ok(Found { logs, names, unlinks })
    }
}

/// The epoch checkpoint; `false` if it must be rebuilt from the batches.
fn read_epochs(
    disk: &dyn Disk,
    dir: &Path,
    set_aside: &mut Vec<SetAside>,
) -> Result<(Epochs, bool), StorageError> {
    let path = dir.join(names::LEADER_EPOCH_CHECKPOINT);
    let (content, unread) = read_or_move(disk, &path)?;
    let Some(content) = content else {
        let is_known = unread.is_none();
        set_aside.extend(unread);
        return Ok((Epochs::default(), is_known));
    };
    match Epochs::parse(&content) {
        Ok(epochs) => Ok((epochs, true)),
        Err((line, found)) => {
            let position = checkpoint::byte_of_line(&content, line);
            set_aside.push(move_aside(disk, &path, position, found)?);
            Ok((Epochs::default(), false))
        }
    }
}
