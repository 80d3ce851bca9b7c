//! Producer state from its snapshot files and the batches behind them.
//!
//! A snapshot is believed if it checks out and describes no more than the log holds; the newest such one is taken
//! and the batches behind it are applied. One that cannot be read is set aside: an older one, or the log alone, tells
//! the same. Called when a log is opened and after it was truncated. Kafka: `UnifiedLog.rebuildProducerState`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::BatchView;
use logspine_protocol::types::Offset;

use crate::aside::{SetAside, is_the_files, move_aside, read_or_move};
use crate::disk::{Disk, read_exact_at};
use crate::error::{StorageError, io_at};
use crate::log::OpenLog;
use crate::producers::{Producers, SnapshotError};
use crate::segment::{Located, Segment, SliceError};
use crate::txn_index::{AbortedTxn, TxnIndex};
use crate::walk::Look;
use crate::{log, names};

/// Removes producer snapshots that describe more than the log holds for sure.
pub(crate) fn remove_snapshots_after(
    disk: &dyn Disk,
    dir: &Path,
    offset: Offset,
) -> Result<(), StorageError> {
    for (snapshot, path) in snapshots(disk, dir)? {
        if snapshot > offset {
            match disk.remove_file(&path) {
                Err(error) if is_the_files(&error) => drop(move_aside(disk, &path, 0, error.to_string())?),
                removed => removed.map_err(io_at("remove", &path))?,
            }
        }
    }
    Ok(())
}

fn snapshots(disk: &dyn Disk, dir: &Path) -> Result<Vec<(Offset, PathBuf)>, StorageError> {
    let names = disk.names(dir).map_err(io_at("list", dir))?;
    let snapshot = |name: &str| match names::parse_segment_file(name)? {
        (offset, names::SNAPSHOT) => Some((offset, dir.join(name))),
        _ => None,
    };
    Ok(names.iter().filter_map(|name| snapshot(name)).collect())
}

/// The indexes of aborted transactions: believed below what was scanned, as far as they read back at all.
pub(super) fn open_txn_index(
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
    }
    // Also then: a snapshot knows of transactions whose first records are gone.
    if let Some(from) = scanned_from {
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
    /// Snapshots that could not be read.
    pub set_aside: Vec<SetAside>,
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
        let (content, unread) = read_or_move(disk, &path)?;
        replayed.set_aside.extend(unread);
        let Some(content) = content else { continue };
        let reason = match Producers::decode(&content) {
            Ok(known) if known.is_beyond(offset) => {
                "it knows batches behind the offset of its name".to_owned()
            }
            Ok(known) => {
                (replayed.producers, from) = (known, offset);
                break;
            }
            Err(SnapshotError::Version(version)) => format!("producer snapshot of version {version}"),
            Err(SnapshotError::Corrupt) => "its checksum does not match".to_owned(),
        };
        replayed.set_aside.push(move_aside(disk, &path, 0, reason)?);
    }
    for segment in segments.iter().filter(|segment| segment.end_offset() > from) {
        replay(segment, from, &mut replayed)?;
    }
    Ok(replayed)
}

/// Applies the batches of a segment from an offset on.
fn replay(segment: &Segment, from: Offset, replayed: &mut Replayed) -> Result<(), StorageError> {
    let start = match segment.look(|state| state.locate(from.max(segment.base_offset))) {
        Located::Exact(spot) => u64::from(spot.position),
        Located::From(position) => position,
        Located::InFile => segment.floor_in_file(from),
        Located::PastEnd => return Ok(()),
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
