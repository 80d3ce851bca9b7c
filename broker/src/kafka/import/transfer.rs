//! Brings the files of one partition directory over: by rename, or by links and copies.
//!
//! A hard link shares its bytes with Kafka's file, so only what neither side ever writes again may be linked: the
//! `.log` of a segment that was sealed and lies wholly below the recovery point. Recovery does not touch those,
//! retention and compaction replace names and not bytes. The rest is small, or still written, and is copied
//! (`copy_file_range`: a reflink where the file system has them). Copies are synced, names too.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use logspine_protocol::types::Offset;
use logspine_storage::names;

use super::super::error::{KafkaError, io_at};
use super::plan::PlannedPartition;

/// How files come over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Sealed segments by hard link where that is possible.
    Link,
    Copy,
    /// The directories themselves, by rename.
    Move,
}

impl Mode {
    /// The word in the mark of an unfinished import.
    pub fn word(self) -> &'static str {
        if self == Mode::Move { "move" } else { "copy" }
    }
}

/// Makes `to` the partition's directory. An import by moving that is run again finds it there.
pub fn transfer(partition: &PlannedPartition, to: &Path, mode: Mode) -> Result<(), KafkaError> {
    match mode {
        Mode::Move => move_dir(&partition.from, to),
        _ => duplicate(&partition.from, to, partition.recovery_point, mode),
    }
}

/// Makes `to` hold the same partition as `from`.
pub fn duplicate(from: &Path, to: &Path, recovery_point: Offset, mode: Mode) -> Result<(), KafkaError> {
    fs::create_dir(to).map_err(io_at("create", to))?;
    let names = file_names(from)?;
    for name in &names {
        let (from, to) = (from.join(name), to.join(name));
        let may_link = mode == Mode::Link && is_sealed(name, &names, recovery_point);
        if !(may_link && fs::hard_link(&from, &to).is_ok()) {
            copy(&from, &to)?;
        }
    }
    sync_dir(to)
}

fn move_dir(from: &Path, to: &Path) -> Result<(), KafkaError> {
    if from == to {
        return Ok(());
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            Err(KafkaError::OtherFileSystem { path: to.to_path_buf(), from: from.to_path_buf() })
        }
        renamed => renamed.map_err(io_at("move", from)),
    }
}

/// The files that make up the partition, sorted; leftovers of deletions and of cleanings stay behind.
fn file_names(dir: &Path) -> Result<Vec<String>, KafkaError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_at("list", dir))? {
        let entry = entry.map_err(io_at("list", dir))?;
        let is_file = entry.file_type().map_err(io_at("look at", dir))?.is_file();
        let name = entry.file_name().into_string().unwrap_or_default();
        let is_leftover = [".deleted", ".cleaned", ".tmp"].iter().any(|suffix| name.ends_with(suffix))
            // What a recovery of ours moved aside.
            || name.contains(".cut-");
        if is_file && !is_leftover && !name.is_empty() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Whether a file is the `.log` of a segment that recovery never looks at: the next one begins below the
/// recovery point.
fn is_sealed(name: &str, names: &[String], recovery_point: Offset) -> bool {
    let log = |name: &str| match names::parse_segment_file(name) {
        Some((base_offset, names::LOG)) => Some(base_offset),
        _ => None,
    };
    let Some(base_offset) = log(name) else { return false };
    let next = names.iter().filter_map(|name| log(name)).find(|other| *other > base_offset);
    next.is_some_and(|next| next < recovery_point)
}

fn copy(from: &Path, to: &Path) -> Result<(), KafkaError> {
    fs::copy(from, to).map_err(io_at("copy", from))?;
    let file = File::open(to).map_err(io_at("open", to))?;
    file.sync_all().map_err(io_at("sync", to))
}

pub fn sync_dir(dir: &Path) -> Result<(), KafkaError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_at("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_recovery_never_writes_is_linked() {
        let names: Vec<String> = [
            "00000000000000000000.index",
            "00000000000000000000.log",
            "00000000000000000010.log",
            "00000000000000000020.log",
            "leader-epoch-checkpoint",
        ]
        .map(str::to_owned)
        .to_vec();
        let linked = |recovery_point| {
            let sealed = names.iter().filter(|name| is_sealed(name, &names, Offset(recovery_point)));
            sealed.map(|name| &name[18..]).collect::<Vec<_>>()
        };
        assert_eq!(linked(0), [""; 0]);
        assert_eq!(linked(10), [""; 0], "a scan begins with the segment that ends at the recovery point");
        assert_eq!(linked(11), ["00.log"]);
        assert_eq!(linked(20), ["00.log"]);
        assert_eq!(linked(25), ["00.log", "10.log"]);
    }
}
