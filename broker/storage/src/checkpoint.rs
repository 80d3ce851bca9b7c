//! Kafka's text checkpoints of a data directory: `topic partition offset`, replaced atomically.
//!
//! Line 1 is the version 0, line 2 the number of entries. Everybody who writes a recovery point holds one lock,
//! because two kinds of writers meet there: the periodic one, which raises the points, and a truncation, which
//! lowers one *before* it cuts, so that a crash in between is never taken for a loss. Kafka:
//! `OffsetCheckpointFile`, `CheckpointFile`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use logspine_protocol::types::Offset;
use parking_lot::Mutex;

use crate::aside::{move_aside, read_or_move};
use crate::disk::{self, Disk};
use crate::error::{StorageError, io_at};
use crate::names;

/// Offsets by topic and partition.
pub type Offsets = BTreeMap<(String, i32), Offset>;

/// What the three files of a data directory say; `None` leaves the file as it is. Each position is a lower bound, so
/// the order in which they are written does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions {
    /// Below these nothing is served.
    pub log_starts: Option<Offsets>,
    /// Below these everything is on stable storage.
    pub recovery_points: Option<Offsets>,
    /// Below these everything is committed.
    pub high_watermarks: Option<Offsets>,
}

/// One for the process: data directories are few and these writes rare.
static RECOVERY_POINTS: Mutex<()> = Mutex::new(());

/// Reads a checkpoint; an absent file holds nothing, and so does one that cannot be read, which is set aside. What
/// follows is known from the logs alone: they are scanned in full, start with what is there, and the watermark is
/// found anew.
pub fn read(disk: &dyn Disk, path: &Path) -> Result<Offsets, StorageError> {
    let Some(content) = read_or_move(disk, path)?.0 else { return Ok(Offsets::new()) };
    match parse(&content) {
        Ok(offsets) => Ok(offsets),
        Err((line, found)) => {
            move_aside(disk, path, byte_of_line(&content, line), found)?;
            Ok(Offsets::new())
        }
    }
}

/// Reads a checkpoint of a directory that is another program's, and changes nothing: `None` if it cannot be read. An
/// absent file holds nothing; nor does an empty one, which Kafka makes at its first start.
pub fn peek(disk: &dyn Disk, path: &Path) -> Result<Option<Offsets>, StorageError> {
    match disk::read_file(disk, path).map_err(io_at("read", path))? {
        Some(content) if !content.is_empty() => Ok(parse(&content).ok()),
        _ => Ok(Some(Offsets::new())),
    }
}

/// Replaces a checkpoint.
pub fn write(disk: &dyn Disk, path: &Path, offsets: &Offsets) -> Result<(), StorageError> {
    disk::replace_file(disk, path, format(offsets).as_bytes()).map_err(io_at("replace", path))
}

/// Replaces the recovery points by those that `collect` reads while no truncation is between lowering its point
/// and lowering its log.
pub fn write_recovery_points(
    disk: &dyn Disk,
    data_dir: &Path,
    collect: impl FnOnce() -> Offsets,
) -> Result<(), StorageError> {
    let _one_writer = RECOVERY_POINTS.lock();
    write(disk, &data_dir.join(names::RECOVERY_POINT_CHECKPOINT), &collect())
}

/// Replaces every position by those that `collect` reads; no partition is created, deleted or truncated meanwhile,
/// so that none of another life of its name is written.
pub(crate) fn write_positions(
    disk: &dyn Disk,
    data_dir: &Path,
    collect: impl FnOnce() -> Positions,
) -> Result<(), StorageError> {
    let _one_writer = RECOVERY_POINTS.lock();
    let positions = collect();
    let files = [
        (names::LOG_START_CHECKPOINT, positions.log_starts),
        (names::RECOVERY_POINT_CHECKPOINT, positions.recovery_points),
        (names::REPLICATION_CHECKPOINT, positions.high_watermarks),
    ];
    for (name, offsets) in files {
        if let Some(offsets) = offsets {
            write(disk, &data_dir.join(name), &offsets)?;
        }
    }
    Ok(())
}

/// Lowers the durable recovery point of one log to `offset` if it is above, and so where its compacted part ends.
pub(crate) fn lower_recovery_point(
    disk: &dyn Disk,
    data_dir: &Path,
    topic: &str,
    partition: i32,
    offset: Offset,
) -> Result<(), StorageError> {
    let _one_writer = RECOVERY_POINTS.lock();
    for name in [names::RECOVERY_POINT_CHECKPOINT, names::CLEANER_CHECKPOINT] {
        let path = data_dir.join(name);
        let mut offsets = read(disk, &path)?;
        match offsets.get_mut(&(topic.to_owned(), partition)) {
            Some(point) if *point > offset => {
                *point = offset;
                write(disk, &path, &offsets)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Notes that everything of a log below `offset` is compacted.
pub(crate) fn write_cleaned(
    disk: &dyn Disk,
    data_dir: &Path,
    topic: &str,
    partition: i32,
    offset: Offset,
) -> Result<(), StorageError> {
    let _one_writer = RECOVERY_POINTS.lock();
    let path = data_dir.join(names::CLEANER_CHECKPOINT);
    let mut offsets = read(disk, &path)?;
    offsets.insert((topic.to_owned(), partition), offset);
    write(disk, &path, &offsets)
}

/// Removes every trace of a partition: a new one of the same name must not inherit its points.
pub(crate) fn forget(
    disk: &dyn Disk,
    data_dir: &Path,
    topic: &str,
    partition: i32,
) -> Result<(), StorageError> {
    let _one_writer = RECOVERY_POINTS.lock();
    for name in [
        names::RECOVERY_POINT_CHECKPOINT,
        names::LOG_START_CHECKPOINT,
        names::REPLICATION_CHECKPOINT,
        names::CLEANER_CHECKPOINT,
    ] {
        let path = data_dir.join(name);
        if !may_name(disk, &path, topic, partition)? {
            continue;
        }
        let mut offsets = read(disk, &path)?;
        if offsets.remove(&(topic.to_owned(), partition)).is_some() {
            write(disk, &path, &offsets)?;
        }
    }
    Ok(())
}

/// Whether a checkpoint may hold the log: a glance at the text, because thousands of logs are created at once and
/// hardly any has a name that was there before.
fn may_name(disk: &dyn Disk, path: &Path, topic: &str, partition: i32) -> Result<bool, StorageError> {
    let Some(content) = read_or_move(disk, path)?.0 else { return Ok(false) };
    let entry = format!("\n{topic} {partition} ");
    Ok(std::str::from_utf8(&content).map_or(true, |text| text.contains(&entry)))
}

fn format(offsets: &Offsets) -> String {
    let mut text = format!("0\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

/// Where a line, counted from 0, starts.
pub(crate) fn byte_of_line(content: &[u8], line: u64) -> u64 {
    content.split_inclusive(|byte| *byte == b'\n').take(line as usize).map(|line| line.len() as u64).sum()
}

/// The line of the first mistake, from 0, and what stands there.
pub(crate) type Malformed = (u64, String);

/// Splits a checkpoint of version 0 into its entries; shared with the leader epochs.
pub(crate) fn entries(content: &[u8]) -> Result<Vec<(u64, &str)>, Malformed> {
    let text = std::str::from_utf8(content).map_err(|_| (0, "it is not text".to_owned()))?;
    if !text.is_empty() && !text.ends_with('\n') {
        // Cut inside of a number, it would be a smaller number.
        return Err((text.lines().count() as u64 - 1, "the last line is not whole".to_owned()));
    }
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        Some(version) => return Err((0, format!("version {version:?} where 0 is expected"))),
        None => return Err((0, "it is empty".to_owned())),
    }
    let count = lines.next().and_then(|count| count.parse::<usize>().ok());
    let entries: Vec<_> = (2..).zip(lines).collect();
    match count {
        Some(count) if count == entries.len() => Ok(entries),
        _ => Err((1, format!("a count that does not match {} entries", entries.len()))),
    }
}

fn parse(content: &[u8]) -> Result<Offsets, Malformed> {
    let mut offsets = Offsets::new();
    for (line, entry) in entries(content)? {
        let mut fields = entry.split_whitespace();
        let parsed = (|| {
            let key = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
            let offset = Offset(fields.next()?.parse().ok()?);
            fields.next().is_none().then_some((key, offset))
        })();
        let (key, offset) =
            parsed.ok_or_else(|| (line, format!("{entry:?} is not `topic partition offset`")))?;
        offsets.insert(key, offset);
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kafkas_to_the_byte() {
        let offsets =
            Offsets::from([(("b".to_owned(), 0), Offset(7)), (("a".to_owned(), 12), Offset(1 << 40))]);
        assert_eq!(format(&offsets), "0\n2\na 12 1099511627776\nb 0 7\n");
        assert_eq!(parse(format(&offsets).as_bytes()), Ok(offsets));
        assert_eq!(parse(b"0\n0\n"), Ok(Offsets::new()));
    }

    #[test]
    fn a_look_at_anothers_checkpoint_changes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("recovery-point-offset-checkpoint");
        let look = || peek(&crate::RealDisk, &path).unwrap();
        assert_eq!(look(), Some(Offsets::new()));
        for (content, found) in [
            ("", Some(Offsets::new())),
            ("0\n1\na 0 7\n", Some(Offsets::from([(("a".to_owned(), 0), Offset(7))]))),
            ("0\n2\na 0 7\n", None),
        ] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(look(), found);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_newer_or_broken_file_names_its_line() {
        assert_eq!(parse(b"1\n0\n").unwrap_err().0, 0);
        assert_eq!(parse(b"").unwrap_err().0, 0);
        assert_eq!(parse(b"0\n2\na 0 1\n").unwrap_err().0, 1);
        assert_eq!(parse(b"0\n1\na 0\n").unwrap_err().0, 2);
        assert_eq!(parse(b"0\n1\na 0 1 2\n").unwrap_err().0, 2);
        assert_eq!(parse(b"0\n1\na 0 12").unwrap_err().0, 2);
        assert_eq!(parse(&[0xff, 0xfe]).unwrap_err().0, 0);
    }
}
