//! `partition.metadata`: the topic id that a partition directory belongs to, so that a topic that was deleted
//! and created again under the same name never takes over old bytes. Kafka: `PartitionMetadataFile`.
//!
//! Two lines, `version: 0` and `topic_id: <22 characters>`; written when the directory is created, and made durable
//! by the partition's first flush: until then the partition is empty, and whoever finds it torn makes it anew.

use std::io::IoSlice;
use std::path::Path;

use logspine_protocol::types::TopicId;

use crate::aside::{SetAside, is_the_files, move_aside, read_or_move};
use crate::disk::{self, Access, Disk};
use crate::error::{StorageError, io_at};
use crate::names;

/// Characters of a topic id.
const TOPIC_ID_LEN: usize = 22;

/// Compares the file with `topic_id`, or writes it if it is not there. A file that cannot be read is set aside and
/// written anew: the directory's name and the metadata, which asked for it, agree about whose it is.
pub(crate) fn check_or_write(
    disk: &dyn Disk,
    dir: &Path,
    topic_id: TopicId,
) -> Result<Option<SetAside>, StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    let (_, unread) = read_or_move(disk, &path)?;
    let set_aside = match check(disk, dir, topic_id)? {
        Found::Id(_) => return Ok(None),
        Found::Absent => unread,
        Found::Unreadable => Some(move_aside(disk, &path, 0, "it holds no topic id")?),
    };
    replace(disk, dir, topic_id)?;
    disk.sync_dir(dir).map_err(io_at("sync", dir))?;
    Ok(set_aside)
}

/// Compares the file with `topic_id`: it holds that one or none.
pub(crate) fn check(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<Found, StorageError> {
    match read(disk, dir)? {
        Found::Id(found) if found != topic_id => {
            let path = dir.join(names::PARTITION_METADATA);
            Err(StorageError::TopicId { path, found, expected: topic_id })
        }
        found => Ok(found),
    }
}

/// Writes the file for everybody to see; `replace` makes it durable.
pub(crate) fn write(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    let file = disk.open(&path, Access::Write).map_err(io_at("open", &path))?;
    file.truncate(0).map_err(io_at("truncate", &path))?;
    file.write_at(&[IoSlice::new(format(topic_id).as_bytes())], 0).map_err(io_at("write", &path))
}

/// Writes the file anew and syncs it; the directory is the caller's to sync.
pub(crate) fn replace(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    disk::rename_new_content(disk, &path, format(topic_id).as_bytes()).map_err(io_at("write", &path))
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is no file, or a crash left it unfinished.
    Absent,
    Unreadable,
    Id(TopicId),
}

/// Reads the topic id of a partition directory.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Found, StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    let content = match disk::read_file(disk, &path) {
        Ok(content) => content.unwrap_or_default(),
        Err(error) if is_the_files(&error) => return Ok(Found::Unreadable),
        Err(error) => return Err(io_at("read", &path)(error)),
    };
    if is_unfinished(&content) {
        return Ok(Found::Absent);
    }
    Ok(parse(&content).map_or(Found::Unreadable, Found::Id))
}

/// Whether this may be what a power cut left of an unsynced write: the beginning of the text, then perhaps zeros.
fn is_unfinished(content: &[u8]) -> bool {
    let written = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
    let (whole, given) = (format(TopicId::ZERO), &content[..written]);
    let words = whole.len() - TOPIC_ID_LEN;
    let known = given.len().min(words);
    given.len() < whole.len() && given[..known] == whole.as_bytes()[..known]
}

fn format(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

fn parse(content: &[u8]) -> Option<TopicId> {
    let mut lines = std::str::from_utf8(content).ok()?.lines();
    let version = lines.next()?.strip_prefix("version:")?.trim();
    let id = lines.next()?.strip_prefix("topic_id:")?.trim();
    (version == "0" && lines.next().is_none()).then(|| id.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_file_is_no_file_and_a_foreign_one_is_an_error() {
        let text = format(TopicId::METADATA);
        for len in 0..text.len() {
            assert!(is_unfinished(&text.as_bytes()[..len]), "{len} bytes");
        }
        assert!(is_unfinished(&[0; 512]));
        assert!(is_unfinished(b"version: 0\ntop\0\0\0"));
        assert!(!is_unfinished(text.as_bytes()));
        assert!(!is_unfinished(b"version: 1\n"));
        assert!(!is_unfinished(b"something else"));
    }

    #[test]
    fn the_text_is_kafkas() {
        assert_eq!(format(TopicId::METADATA), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(parse(format(TopicId::METADATA).as_bytes()), Some(TopicId::METADATA));
        assert_eq!(parse(b"version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ"), None);
        assert_eq!(parse(b"version: 0\n"), None);
    }
}
