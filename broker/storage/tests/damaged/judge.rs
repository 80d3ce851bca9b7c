//! Starts on a harmed directory three times and compares with what is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::iter_batches;
use logspine_protocol::types::Offset;
use logspine_storage::sim_disk::SimDisk;
use logspine_storage::{Disk, Log, LogDir, LogReader, OpenLog};

use crate::denying::Denying;
use crate::harm::{Harm, Kind};
use crate::life::{Life, config};
use crate::support::{self, DATA_DIR};

const BUDGETS: [u32; 3] = [1, 300, 40_000];

/// Behind base offset, length and leader epoch of a batch.
const EPOCH_END: usize = 16;

/// Every `.log` file's bytes, and what was cut from one or moved aside.
pub type Logs = Vec<(PathBuf, Vec<u8>)>;

pub fn logs(disk: &SimDisk) -> Logs {
    disk.dump().into_iter().filter(|(path, _)| path.to_string_lossy().contains(".log")).collect()
}

/// Every byte of every log is there: under its name or another, whole or as a beginning and what was cut off.
pub fn kept(before: &Logs, after: &Logs) -> Result<(), String> {
    for (path, bytes) in before.iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let is_kept = after.iter().any(|(_, start)| {
            bytes == start
                || bytes.starts_with(start) && after.iter().any(|(_, rest)| bytes[start.len()..] == rest[..])
        });
        if !is_kept {
            return Err(format!("bytes of {} are gone", path.display()));
        }
    }
    Ok(())
}

pub fn after(life: &Life, harms: &[Harm]) -> Result<bool, String> {
    let denied = harms
        .iter()
        .filter(|harm| harm.kind == Kind::Denied)
        .map(|harm| harm.path.clone())
        .collect::<Vec<_>>()
        .into();
    let disk: Arc<dyn Disk> = Arc::new(Denying { disk: life.disk.clone(), denied });
    let before = logs(&life.disk);
    let first = one_start(life, harms, &disk)?;
    kept(&before, &logs(&life.disk))?;
    one_start(life, harms, &disk)?;
    let second = life.disk.dump();
    one_start(life, harms, &disk)?;
    if let Some(changed) = difference(&second, &life.disk.dump()) {
        return Err(format!("a third start changed {}", changed.display()));
    }
    for (path, content) in &life.foreign {
        if life.disk.dump().iter().all(|(other, bytes)| other != path || bytes != content) {
            return Err(format!("{} is not ours and was touched", path.display()));
        }
    }
    Ok(first)
}

fn difference(before: &[(PathBuf, Vec<u8>)], after: &[(PathBuf, Vec<u8>)]) -> Option<PathBuf> {
    let missing = |from: &[(PathBuf, Vec<u8>)], of: &[(PathBuf, Vec<u8>)]| {
        from.iter().find(|entry| !of.contains(entry)).map(|(path, _)| path.clone())
    };
    missing(before, after).or_else(|| missing(after, before))
}

/// As a broker starts. Whether the log opened.
fn one_start(life: &Life, harms: &[Harm], disk: &Arc<dyn Disk>) -> Result<bool, String> {
    let words = |error: logspine_storage::StorageError| format!("the start failed: {error}");
    let dir = LogDir::open(Arc::clone(disk), Path::new(DATA_DIR)).map_err(words)?;
    let recovery_point = LogDir::offset_of(&dir.recovery_points().map_err(words)?, "topic", 0);
    let log_start = LogDir::offset_of(&dir.log_starts().map_err(words)?, "topic", 0);
    dir.high_watermarks().map_err(words)?;
    let clean = dir.take_clean_shutdown().map_err(words)?.is_some();
    let contents = dir.contents().map_err(words)?;
    if contents.partitions.len() != 1 {
        return Err(format!("the partition is not found: {contents:?}"));
    }
    let args = OpenLog { recovery_point, log_start, clean, ..support::args(disk, &config()) };
    match Log::open(args) {
        Ok((log, _)) => check(life, harms, log, recovery_point).map(|()| true),
        Err(error) => refused(harms, &error.to_string()).map(|()| false),
    }
}

/// A log may be refused for its own files or for its topic id, in words that name the file.
fn refused(harms: &[Harm], said: &str) -> Result<(), String> {
    let is_named = harms.iter().any(|harm| {
        let may_refuse = harm.is_log() || harm.name() == "partition.metadata";
        may_refuse && (said.contains(harm.name()) || matches!(harm.kind, Kind::Renamed { .. }))
    });
    if is_named { Ok(()) } else { Err(format!("refused: {said}")) }
}

fn check(life: &Life, harms: &[Harm], log: Log, recovery_point: Offset) -> Result<(), String> {
    let reader = log.reader();
    let served = served(life, &reader)?;
    let lost = Lost::by(life, harms);
    for (base, bytes) in life.batches.range(life.log_start..) {
        if !lost.may_be(*base) && !served.contains(base) {
            let len = bytes.len();
            return Err(format!("the batch of {len} bytes at offset {base} is sound and not served"));
        }
    }
    let floor = life.recovery_point.min(recovery_point.0);
    if log.log_end().0 < floor {
        return Err(format!("the log ends at {}, below {floor}, which was durable", log.log_end()));
    }
    Ok(())
}

/// Base offsets of batches that some read gave; an error if anything else was given.
fn served(life: &Life, reader: &LogReader) -> Result<Vec<i64>, String> {
    let mut served = Vec::new();
    for budget in BUDGETS {
        for base in life.batches.keys() {
            let from = Offset((*base).max(life.log_start));
            let Ok(slice) = reader.read(from, reader.log_end(), budget, true) else { continue };
            let bytes = slice.to_vec().map_err(|error| error.to_string())?;
            for batch in iter_batches(&bytes) {
                let batch = batch.map_err(|error| format!("half a batch from {base}: {error}"))?;
                let whole = [&batch.to_bytes()[..], batch.body()].concat();
                // No checksum covers offset and epoch: behind the recovery point nothing else vouches for them, as in Kafka.
                let is_it = |appended: &Vec<u8>| appended[EPOCH_END..] == whole[EPOCH_END..];
                let is_vouched = life.is_clean || batch.base_offset().0 < life.recovery_point;
                let is_known = match life.batches.get(&batch.base_offset().0) {
                    Some(appended) => is_it(appended),
                    None => !is_vouched && life.batches.values().any(is_it),
                };
                if !is_known {
                    return Err(format!("served at {} what was never appended", batch.base_offset()));
                }
                served.push(batch.base_offset().0);
            }
        }
    }
    Ok(served)
}

/// What may be lost, by base offset of batches: from, and up to.
struct Lost(Vec<(i64, i64)>);

impl Lost {
    fn by(life: &Life, harms: &[Harm]) -> Lost {
        // Without a recovery point nothing vouches for what lies behind a damage: it is moved aside.
        let is_point_harmed = harms.iter().any(|harm| harm.name() == "recovery-point-offset-checkpoint");
        Lost(harms.iter().flat_map(|harm| Lost::by_one(life, harm, is_point_harmed)).collect())
    }

    fn may_be(&self, offset: i64) -> bool {
        self.0.iter().any(|(from, end)| (*from..*end).contains(&offset))
    }

    fn by_one(life: &Life, harm: &Harm, is_point_harmed: bool) -> Option<(i64, i64)> {
        let everything = Some((0, i64::MAX));
        match harm.name() {
            // Plausible numbers are believed: no checksum says otherwise.
            "leader-epoch-checkpoint" | "log-start-offset-checkpoint" if harm.kind == Kind::Flipped => {
                everything
            }
            "recovery-point-offset-checkpoint" if harm.kind == Kind::Flipped => everything,
            name if name.ends_with(".log") => {
                let base = name[..20].parse().unwrap();
                let mut first = Lost::first_harmed(life, base, harm);
                if harm.kind == Kind::Flipped {
                    // Where the one before it ends is known from the next one's offset alone.
                    first = life.batches.range(..first).next_back().map_or(0, |(before, _)| *before);
                }
                if let Kind::Renamed { to } = harm.kind {
                    // A name that is too low ends the segment before it inside of a batch.
                    first = life.batches.range(..first.min(to)).next_back().map_or(0, |(before, _)| *before);
                }
                // A scan ends at a damage; a clean start serves around it, and so only this segment is concerned.
                let is_scanned =
                    !life.is_clean || is_point_harmed || matches!(harm.kind, Kind::Renamed { .. });
                Some((first, if is_scanned { i64::MAX } else { Lost::segment_end(life, base) }))
            }
            _ => None,
        }
    }

    /// The base offset of the batch that holds the first harmed byte of a segment.
    fn first_harmed(life: &Life, base: i64, harm: &Harm) -> i64 {
        let mut position = 0;
        for (offset, bytes) in life.batches.range(base..) {
            position += bytes.len() as u64;
            if position > harm.position {
                return *offset;
            }
        }
        base
    }

    fn segment_end(life: &Life, base: i64) -> i64 {
        life.bases.iter().copied().find(|other| *other > base).unwrap_or(i64::MAX)
    }
}
