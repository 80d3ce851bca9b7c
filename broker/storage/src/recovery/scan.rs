//! Loading segments that are believed, scanning those that are not.
//!
//! The scan starts at the segment that holds the recovery point and goes on to the end: every batch whole, CRC
//! right, offsets rising without a hole between segments, leader epochs not falling. The first batch that breaks
//! a rule decides: above the recovery point the rest is cut, below it the log is damaged from there.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::BatchError;
use logspine_protocol::types::Offset;

use super::{Found, cut};
use crate::disk::{DiskFile, read_exact_at};
use crate::epochs::Epochs;
use crate::error::{Damage, StorageError, io_at};
use crate::log::{OpenLog, Recovered, walk_error};
use crate::planted::Bug;
use crate::segment::{Located, Segment, State};
use crate::walk::{Look, Walk, WalkError};
use crate::{names, partition_metadata};

/// What a scan leaves.
pub(super) struct Scanned {
    pub segments: Vec<Arc<Segment>>,
    /// Base offset of the first segment that was scanned.
    pub from: Offset,
    /// The active segment is written but not synced; a flush has to follow.
    pub is_unsynced: bool,
}

/// Loads every segment as it was closed; `None` if the files do not fit together, so that a scan must decide.
pub(super) fn load_all(
    args: &OpenLog,
    dir: &Arc<Path>,
    logs: &[(Offset, u64)],
) -> Result<Option<Vec<Arc<Segment>>>, StorageError> {
    let mut segments = Vec::with_capacity(logs.len());
    for (number, (base, _)) in logs.iter().enumerate() {
        if let Some((end, _)) = logs.get(number + 1) {
            segments.push(Arc::new(load_sealed(args, dir, *base, *end)?));
            continue;
        }
        match Segment::load(&args.disk, dir, *base, None, args.now_ms)? {
            Some(segment) => segments.push(Arc::new(segment)),
            None => return Ok(None),
        }
    }
    Ok(Some(segments))
}

/// A segment that ends where the next one begins.
fn load_sealed(args: &OpenLog, dir: &Arc<Path>, base: Offset, end: Offset) -> Result<Segment, StorageError> {
    match Segment::load(&args.disk, dir, base, Some(end), args.now_ms)? {
        Some(segment) if segment.size_bytes() > 0 => Ok(segment),
        _ => rebuild_believed(args, dir, base, end),
    }
}

/// A segment that is believed but whose index files are not there: walks its headers and writes them anew.
fn rebuild_believed(
    args: &OpenLog,
    dir: &Arc<Path>,
    base: Offset,
    end: Offset,
) -> Result<Segment, StorageError> {
    let segment = Segment::with_state(&args.disk, dir, base, State::empty(base), args.now_ms);
    let file = segment.file()?;
    let path = segment.path(names::LOG);
    let size_bytes = file.len_bytes().map_err(io_at("measure", &path))?;
    let mut state = State::empty(base);
    let mut walk = Walk::new(&*file, Look::Headers, 0, size_bytes);
    // A batch that does not parse ends the index; whoever reads there is told.
    while let Ok(Some(found)) = walk.next() {
        state.push(&found.header, args.config.index_interval_bytes);
    }
    tracing::warn!(path = %path.display(), "the index files of a segment are missing or do not fit it; they are written anew");
    note_missing(args, &segment, &state, end);
    state.size_bytes = size_bytes;
    state.end_offset = end;
    segment.change(|current| *current = state);
    segment.clear_index_files()?;
    segment.write_indexes(true)?;
    segment.close_if_sealed();
    Ok(segment)
}

/// A sealed segment whose batches end before the next one begins was cut. Where compaction is at work that is no proof.
fn note_missing(args: &OpenLog, segment: &Segment, walked: &State, end: Offset) {
    if walked.end_offset >= end || args.config.cleanup_policy.compact {
        return;
    }
    let reason = format!("the segment ends at offset {}, the next one begins at {end}", walked.end_offset);
    let path = segment.path(names::LOG);
    let missing = Damage { path, position: walked.size_bytes, offset: walked.end_offset, reason };
    tracing::error!(damage = %missing, "records are missing; the offsets around them are served");
    // Nobody else sets it: the segment is new.
    let _ = segment.missing.set(missing);
}

/// Loads what lies below the recovery point and scans the rest.
pub(super) fn recover(
    args: &OpenLog,
    dir: &Arc<Path>,
    found: &Found,
    epochs: &mut Epochs,
    recovered: &mut Recovered,
) -> Result<Scanned, StorageError> {
    // Strictly below: a segment that ends exactly at the recovery point was safe before it was sealed, but its
    // index files may be younger than the last sync.
    let mut first = found.logs.partition_point(|(base, _)| *base < args.recovery_point).saturating_sub(1);
    if args.config.planted.has(Bug::IndexTrustedAfterCrash) {
        first = found.logs.len().saturating_sub(1);
    }
    let from = found.logs.get(first).map_or(Offset(0), |(base, _)| *base);
    let mut segments = Vec::with_capacity(found.logs.len());
    for (number, (base, _)) in found.logs[..first.min(found.logs.len())].iter().enumerate() {
        segments.push(Arc::new(load_sealed(args, dir, *base, found.logs[number + 1].0)?));
    }
    epochs.truncate_from_end(from);
    let mut expected = from;
    for (number, (base, len_bytes)) in found.logs.iter().enumerate().skip(first) {
        let segment = Segment::with_state(&args.disk, dir, *base, State::empty(*base), args.now_ms);
        let stopped = if *base == expected {
            scan(args, &segment, epochs)?
        } else {
            let reason = format!("the segment before it ends at offset {expected}");
            Some(Stopped { position: 0, reason })
        };
        recovered.scanned_bytes += segment.size_bytes();
        expected = segment.end_offset();
        let Some(stopped) = stopped else {
            segments.push(Arc::new(segment));
            continue;
        };
        if *base < args.recovery_point && expected < args.recovery_point {
            stopped.refuse_foreign(&segment, *len_bytes)?;
            recovered.damage = Some(stopped.damage(&segment, expected));
            segments.push(Arc::new(segment));
        } else {
            let at = cut::CutAt { number, position: stopped.position, keep_empty: number == first };
            let keep = cut::tail(args, dir, found, &segment, at, recovered)?;
            tracing::warn!(
                path = %segment.path(names::LOG).display(), position = stopped.position, offset = %expected,
                reason = stopped.reason, bytes = recovered.truncated_bytes, "cut the tail of a log; its bytes were moved aside"
            );
            if keep {
                segments.push(Arc::new(segment));
            }
        }
        break;
    }
    let mut is_unsynced = false;
    if recovered.damage.is_none() {
        missing_tail(args, &segments, recovered);
        let scanned = &segments[first.min(segments.len())..];
        match scanned {
            [only] if was_durable(args, only, recovered) => drop(index_anew(only, false)?),
            [only] if may_be_flushed_later(args, recovered) => {
                index_anew(only, false)?;
                rewrite(only, args.recovery_point)?;
                cut_again(only)?;
                is_unsynced = !args.config.planted.has(Bug::RecoveredNotSynced);
            }
            _ => make_durable(args, dir, scanned)?,
        }
    }
    Ok(Scanned { segments, from, is_unsynced })
}

/// The log ends below a point that was once durable: bytes are missing, and to give their offsets away again would
/// hide it.
fn missing_tail(args: &OpenLog, segments: &[Arc<Segment>], recovered: &mut Recovered) {
    let end = segments.last().map_or(Offset(0), |last| last.end_offset());
    // What lies below the log start was deleted on purpose.
    if end.max(args.log_start) < args.recovery_point {
        let (path, position) = match segments.last() {
            Some(last) => (last.path(names::LOG), last.size_bytes()),
            None => (args.dir.clone(), 0),
        };
        let reason =
            format!("the log ends here, but offsets up to {} were on stable storage", args.recovery_point);
        recovered.damage = Some(Damage { path, position, offset: end, reason });
    }
}

/// Whether the log ends at its recovery point: then bytes and names are on stable storage, and of thousands of idle
/// partitions none needs a sync. Index files of an active segment are believed by nobody before it is sealed or closed.
fn was_durable(args: &OpenLog, active: &Segment, recovered: &Recovered) -> bool {
    args.recovery_point > Offset(0)
        && active.end_offset() == args.recovery_point
        && recovered.truncated_bytes == 0
        && recovered.damage.is_none()
}

/// Whether the sync of the only segment that was scanned can be left to a flush: nothing was cut off, so all that it
/// has to add is what lies above the recovery point, and until then no more than that point counts as durable.
fn may_be_flushed_later(args: &OpenLog, recovered: &Recovered) -> bool {
    args.config.is_flushed_after_open
        && args.log_start <= args.recovery_point
        && recovered.truncated_bytes == 0
        && recovered.damage.is_none()
}

/// Index files anew, everything synced: only then may the log end count as durable.
///
/// What lies above the recovery point is written once more before: if a sync failed in an earlier process, the
/// kernel has those bytes in its cache, takes them for clean, and would not write them for a sync alone.
fn make_durable(args: &OpenLog, dir: &Arc<Path>, scanned: &[Arc<Segment>]) -> Result<(), StorageError> {
    if args.config.planted.has(Bug::RecoveredNotSynced) {
        return Ok(());
    }
    for (number, segment) in scanned.iter().enumerate() {
        let sealed = number + 1 < scanned.len();
        for file in index_anew(segment, sealed)?.into_iter().flatten() {
            file.sync_data().map_err(io_at("sync", &segment.path(names::INDEX)))?;
        }
        if !args.config.planted.has(Bug::TailNotRewritten) {
            rewrite(segment, args.recovery_point)?;
        }
        if !sealed {
            cut_again(segment)?;
        }
        let file = segment.file()?;
        file.sync_data().map_err(io_at("sync", &segment.path(names::LOG)))?;
        if sealed {
            segment.close_if_sealed();
        }
    }
    if args.recovery_point == Offset(0) && !args.config.planted.has(Bug::TopicIdNotSynced) {
        // Perhaps no flush ever wrote the topic id, without which nobody knows whose batches these are.
        partition_metadata::replace(&*args.disk, dir, args.topic_id)?;
    }
    args.disk.sync_dir(dir).map_err(io_at("sync", dir))?;
    super::sync_parent(&*args.disk, dir)
}

/// Writes a segment's index files from what the scan found; those of an active segment only if there is an entry.
fn index_anew(segment: &Segment, sealed: bool) -> Result<Option<[Arc<dyn DiskFile>; 2]>, StorageError> {
    segment.clear_index_files()?;
    let entries = segment.look(|state| state.index.entries() + state.time_index.entries());
    (sealed || entries > 0).then(|| segment.write_indexes(sealed)).transpose()
}

/// Writes the bytes of a segment from an offset on where they are already.
fn rewrite(segment: &Segment, from: Offset) -> Result<(), StorageError> {
    let (file, path, size_bytes) = (segment.file()?, segment.path(names::LOG), segment.size_bytes());
    let mut at = match segment.look(|state| state.locate(from.max(segment.base_offset))) {
        Located::Exact(spot) => u64::from(spot.position),
        Located::From(position) => position,
        Located::InFile => 0,
        Located::PastEnd => size_bytes,
    };
    while at < size_bytes {
        let mut chunk = vec![0; (size_bytes - at).min(1 << 20) as usize];
        read_exact_at(&*file, &mut chunk, at).map_err(io_at("read", &path))?;
        file.write_at(&[IoSlice::new(&chunk)], at).map_err(io_at("write", &path))?;
        at += chunk.len() as u64;
    }
    Ok(())
}

/// A truncation that a failed sync took with it comes back as such bytes do.
fn cut_again(active: &Segment) -> Result<(), StorageError> {
    active.file()?.truncate(active.size_bytes()).map_err(io_at("truncate", &active.path(names::LOG)))
}

/// Why a scan went no further.
struct Stopped {
    position: u64,
    reason: String,
}

impl Stopped {
    fn damage(&self, segment: &Segment, offset: Offset) -> Damage {
        Damage {
            path: segment.path(names::LOG),
            position: self.position,
            offset,
            reason: self.reason.clone(),
        }
    }

    /// A `.log` that begins with a message of another format is not damaged: it is not ours to open.
    fn refuse_foreign(&self, segment: &Segment, len_bytes: u64) -> Result<(), StorageError> {
        if self.position != 0 || len_bytes < 17 {
            return Ok(());
        }
        let path = segment.path(names::LOG);
        let mut head = [0; 17];
        read_exact_at(&*segment.file()?, &mut head, 0).map_err(io_at("read", &path))?;
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let magic = i8::from_be_bytes([head[16]]);
        let plausible = length >= 14 && u64::from(length.unsigned_abs()) + 12 <= len_bytes;
        if !plausible || !matches!(magic, 0 | 1 | 3..=9) {
            return Ok(());
        }
        Err(StorageError::Foreign {
            path,
            position: 16,
            found: format!("message format {magic}"),
            advice: "only format 2 (Kafka 0.11 and later) is served; convert the topic, or start the version that wrote it",
        })
    }
}

/// Checks every batch of a segment and fills its state; `Some` if it ends before the file does.
fn scan(args: &OpenLog, segment: &Segment, epochs: &mut Epochs) -> Result<Option<Stopped>, StorageError> {
    let file = segment.file()?;
    let path = segment.path(names::LOG);
    let size_bytes = file.len_bytes().map_err(io_at("measure", &path))?;
    let mut state = State::empty(segment.base_offset);
    let look = if args.config.planted.has(Bug::TornTailAccepted) { Look::Headers } else { Look::Everything };
    let mut walk = Walk::new(&*file, look, 0, size_bytes);
    let stopped = loop {
        match walk.next() {
            Ok(None) => break None,
            Ok(Some(found)) => {
                if let Some(reason) = breaks_order(args, &state, epochs, &found.header) {
                    break Some(Stopped { position: found.position, reason });
                }
                epochs.assign(found.header.partition_leader_epoch(), found.header.base_offset());
                state.push(&found.header, args.config.index_interval_bytes);
            }
            Err(WalkError::Bad { position, reason }) => {
                break Some(Stopped { position, reason: words(&reason) });
            }
            Err(WalkError::Io(error)) => return Err(io_at("read", &path)(error)),
        }
    };
    segment.change(|current| *current = state);
    Ok(stopped)
}

fn words(reason: &BatchError) -> String {
    reason.to_string()
}

fn breaks_order(
    args: &OpenLog,
    state: &State,
    epochs: &Epochs,
    header: &logspine_protocol::batch::BatchHeader<'_>,
) -> Option<String> {
    let (expected, found, epoch) = (state.end_offset, header.base_offset(), header.partition_leader_epoch());
    if found < expected {
        return Some(format!("a batch with offset {found} follows where {expected} is expected"));
    }
    // No checksum covers the offset; but a log that was closed ends at its recovery point, with a whole batch, and only
    // compaction leaves none that reaches it.
    let point = args.recovery_point;
    let jumps_over = expected < point && point < found && !args.config.cleanup_policy.compact;
    if jumps_over || (args.clean && expected < point && point < header.next_offset()) {
        let last = header.last_offset();
        return Some(format!("the batch spans {found} to {last}, the log was whole up to {point}"));
    }
    let base = state.index.base_offset();
    if header.last_offset_delta() < 0 || header.last_offset() - base > i64::from(i32::MAX) {
        return Some(format!("the batch spans {} to {}", found, header.last_offset()));
    }
    match epochs.latest() {
        Some(latest) if epoch.0 >= 0 && epoch < latest => {
            Some(format!("leader epoch {epoch} follows {latest}"))
        }
        _ => None,
    }
}

/// Rebuilds the epochs of a whole log from its headers.
pub(super) fn epochs_from_headers(
    segments: &[Arc<Segment>],
    epochs: &mut Epochs,
) -> Result<(), StorageError> {
    *epochs = Epochs::default();
    for segment in segments {
        let walked = segment.walk(Look::Headers, 0, |found| {
            epochs.assign(found.header.partition_leader_epoch(), found.header.base_offset());
        });
        walked.map_err(|error| walk_error(segment, segment.base_offset, error))?;
        segment.close_if_sealed();
    }
    Ok(())
}
