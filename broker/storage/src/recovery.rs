//! What is believed after a start, and how the rest is rebuilt.
//!
//! With the clean marker everything is believed and next to nothing is read. Without it nothing at or above the
//! recovery point is: from the segment that holds it on, every batch is checked, indexes, epochs and producers
//! are rebuilt. A tail that does not check out is moved aside and cut (`recovery/cut.rs`). Below the recovery point
//! the bytes were once safe: what does not read back there is a damage, and a damage is never cut. What is found
//! good is synced before it counts as durable, so that a second recovery changes nothing. Kafka: `LogLoader`.

mod cut;
mod scan;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::BatchView;
use logspine_protocol::types::Offset;

use crate::compaction::swap;
use crate::disk::{self, Disk, Entry, read_exact_at};
use crate::epochs::Epochs;
use crate::error::{StorageError, io_at};
use crate::log::{OpenLog, Recovered};
use crate::producers::{Producers, SnapshotError};
use crate::reclaim::Unlink;
use crate::segment::{Segment, SliceError};
use crate::txn_index::{AbortedTxn, TxnIndex};
use crate::walk::Look;
use crate::{checkpoint, creation, log, names, partition_metadata};

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
    let found = Found::from(args, &dir, swap::recover(disk, &dir, entries)?)?;
    let args = &match as_new(args, &dir, &found)? {
        Some(fresh) => fresh,
        None => args.clone(),
    };
    partition_metadata::check_or_write(disk, &dir, args.topic_id)?;
    let (mut epochs, epochs_known) = read_epochs(disk, &dir)?;
    let epochs_on_disk = epochs.clone();
    let mut recovered = Recovered::default();
    let mut scanned_from = None;
    let mut segments = if args.clean { scan::load_all(args, &dir, &found.logs)? } else { None };
    if segments.is_none() {
        let scanned = scan::recover(args, &dir, &found, &mut epochs, &mut recovered)?;
        scanned_from = Some(scanned.from);
        segments = Some(scanned.segments);
    }
    let mut segments = segments.unwrap_or_default();
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
    let log_end = log_end_of(&segments);
    if args.log_start > log_end && recovered.damage.is_none() {
        segments = begin_at(args, &dir, &segments, &mut unlinks)?;
    }
    let log_start = args.log_start.max(segments[0].base_offset);
    let log_end = log_end_of(&segments);
    // A crash can leave a log start that is older than the epochs, which forget what lies below it.
    let first_known = epochs.entries().first().map_or(log_end, |first| first.start_offset);
    if !epochs_known || first_known > log_start {
        scan::epochs_from_headers(&segments, &mut epochs)?;
    }
    epochs.truncate_from_start(log_start);
    epochs.truncate_from_end(log_end);
    if epochs != epochs_on_disk || !epochs_known {
        let path = dir.join(names::LEADER_EPOCH_CHECKPOINT);
        disk::replace_file(disk, &path, epochs.format().as_bytes()).map_err(io_at("write", &path))?;
    }
    remove_snapshots_after(disk, &dir, scanned_from.unwrap_or(log_end).min(log_end))?;
    let replayed = load_producers(disk, &dir, &segments, log_end)?;
    let txn_index = open_txn_index(args, &dir, &found.names, &segments, scanned_from, &replayed)?;
    let producers = replayed.producers;
    if let Some(active) = segments.last() {
        active.set_active(true);
    }
    let is_closed = scanned_from.is_none();
    Ok(Opened {
        dir,
        segments,
        log_start,
        epochs,
        producers,
        txn_index,
        unlinks,
        dir_dirty,
        is_new: false,
        is_closed,
        recovered,
    })
}

/// A directory without metadata and without data is a new partition. Checkpoints that know its name speak of an
/// older one that was deleted, and are made to forget it before anything of the new one is there.
fn as_new(args: &OpenLog, dir: &Path, found: &Found) -> Result<Option<OpenLog>, StorageError> {
    let disk = &*args.disk;
    if !found.logs.is_empty() || partition_metadata::read(disk, dir)?.is_some() {
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

/// The log start lies behind everything that is left: begin there.
fn begin_at(
    args: &OpenLog,
    dir: &Arc<Path>,
    segments: &[Arc<Segment>],
    unlinks: &mut Vec<Unlink>,
) -> Result<Vec<Arc<Segment>>, StorageError> {
    for segment in segments.iter().rev() {
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
                _ => entry.name.ends_with(names::TEMPORARY),
            };
            if leftover {
                args.disk.remove_file(&path).map_err(io_at("remove", &path))?;
            }
        }
        let names = entries.into_iter().map(|entry| entry.name).collect();
        Ok(Found { logs, names, unlinks })
    }
}

/// The epoch checkpoint; false if it must be rebuilt from the batches.
fn read_epochs(disk: &dyn Disk, dir: &Path) -> Result<(Epochs, bool), StorageError> {
    let path = dir.join(names::LEADER_EPOCH_CHECKPOINT);
    let Some(content) = disk::read_file(disk, &path).map_err(io_at("read", &path))? else {
        return Ok((Epochs::default(), true));
    };
    match Epochs::parse(&content) {
        Ok(epochs) => Ok((epochs, true)),
        Err((line, found)) if line == 0 && !content.is_empty() => Err(StorageError::Foreign {
            path,
            position: checkpoint::byte_of_line(&content, line),
            found,
            advice: "start the version that wrote it; if no newer version did, remove the file: it is rebuilt from the log",
        }),
        Err((line, found)) => {
            tracing::warn!(path = %path.display(), line, found, "rebuilding the leader epochs from the log");
            Ok((Epochs::default(), false))
        }
    }
}

/// Removes producer snapshots that describe more than the log holds for sure.
pub(crate) fn remove_snapshots_after(
    disk: &dyn Disk,
    dir: &Path,
    offset: Offset,
) -> Result<(), StorageError> {
    for (snapshot, path) in snapshots(disk, dir)? {
        if snapshot > offset {
            disk.remove_file(&path).map_err(io_at("remove", &path))?;
        }
    }
    Ok(())
}

fn snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Offset, PathBuf)>, StorageError> {
    let entries = disk.list(dir).map_err(io_at("list", dir))?;
    let snapshot = |name: &str| match names::parse_segment_file(name)? {
        (offset, names::SNAPSHOT) => Some((offset, dir.join(name))),
        _ => None,
    };
    Ok(entries.iter().filter_map(|entry| snapshot(&entry.name)).collect())
}

/// The indexes of aborted transactions: believed below what was scanned, as far as they read back at all.
fn open_txn_index(
    args: &OpenLog,
    dir: &Arc<Path>,
    file_names: &[String],
    segments: &[Arc<Segment>],
    scanned_from: Option<Offset>,
    replayed: &Replayed,
) -> Result<TxnIndex, StorageError> {
    let (txn_index, is_sound) = TxnIndex::open(&args.disk, dir, file_names)?;
    let bases: Vec<Offset> = segments.iter().map(|segment| segment.base_offset).collect();
    if !is_sound {
        tracing::warn!(dir = %dir.display(), "rebuilding the index of aborted transactions from the log");
        let mut from_the_start = Replayed::default();
        for segment in segments {
            replay(segment, Offset(0), &mut from_the_start)?;
        }
        txn_index.rebuild(&bases, Offset(0), &from_the_start.aborted)?;
    } else if let Some(from) = scanned_from {
        txn_index.rebuild(&bases, from, &replayed.aborted)?;
    }
    Ok(txn_index)
}

/// What a replay of batches adds up to.
#[derive(Default)]
pub(crate) struct Replayed {
    pub producers: Producers,
    /// Transactions that were aborted in the batches replayed.
    pub aborted: Vec<AbortedTxn>,
}

/// Producer state as of `log_end`: the newest usable snapshot, and the batches behind it.
pub(crate) fn load_producers(
    disk: &dyn Disk,
    dir: &Path,
    segments: &[Arc<Segment>],
    log_end: Offset,
) -> Result<Replayed, StorageError> {
    let mut replayed = Replayed::default();
    let mut from = segments.first().map_or(Offset(0), |segment| segment.base_offset);
    for (offset, path) in snapshots(disk, dir)?.into_iter().rev() {
        if offset > log_end || offset < from {
            continue;
        }
        let content = disk::read_file(disk, &path).map_err(io_at("read", &path))?.unwrap_or_default();
        match Producers::decode(&content) {
            Ok(known) => {
                (replayed.producers, from) = (known, offset);
                break;
            }
            Err(SnapshotError::Version(version)) => {
                return Err(StorageError::Foreign {
                    path,
                    position: 0,
                    found: format!("producer snapshot of version {version}"),
                    advice: "start the version that wrote it, or remove the file: it is rebuilt from the log",
                });
            }
            Err(SnapshotError::Corrupt) => {
                tracing::warn!(path = %path.display(), "a producer snapshot does not check out, using an older one");
            }
        }
    }
    for segment in segments.iter().filter(|segment| segment.end_offset() > from) {
        replay(segment, from, &mut replayed)?;
    }
    Ok(replayed)
}

/// Applies the batches of a segment from an offset on.
fn replay(segment: &Segment, from: Offset, replayed: &mut Replayed) -> Result<(), StorageError> {
    let start = match segment.look(|state| state.locate(from.max(segment.base_offset))) {
        crate::segment::Located::Exact(spot) => u64::from(spot.position),
        crate::segment::Located::From(position) => position,
        crate::segment::Located::InFile => segment.floor_in_file(from),
        crate::segment::Located::PastEnd => return Ok(()),
    };
    let file = segment.file()?;
    let path = segment.path(names::LOG);
    let mut failed = None;
    let walked = segment.walk(Look::Headers, start, |found| {
        if found.header.base_offset() < from || !found.header.has_producer_id() || failed.is_some() {
            return;
        }
        let mut marker = None;
        if found.header.is_control() {
            let mut bytes = vec![0; found.header.total_len()];
            match read_exact_at(&*file, &mut bytes, found.position) {
                Ok(()) => {
                    marker = BatchView::parse(&bytes).ok().and_then(|(batch, _)| log::marker_of(&batch))
                }
                Err(error) => failed = Some(error),
            }
        }
        let ended = replayed.producers.apply(&found.header, marker);
        if let Some(ended) = ended.filter(|ended| ended.is_aborted) {
            replayed.aborted.push(ended.aborted(replayed.producers.first_unstable_offset()));
        }
    });
    segment.close_if_sealed();
    if let Some(error) = failed {
        return Err(io_at("read", &path)(error));
    }
    match walked {
        // A damage nobody was looking for: readers will meet it; the producers behind it are unknown.
        Err(SliceError::Bad { position, reason }) => {
            tracing::error!(path = %path.display(), position, %reason, "a batch does not parse");
            Ok(())
        }
        Err(SliceError::Storage(error)) => Err(error),
        Ok(()) => Ok(()),
    }
}
