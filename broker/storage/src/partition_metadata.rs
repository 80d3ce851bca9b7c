//! `partition.metadata`: the topic id that a partition directory belongs to, so that a topic that was deleted
//! and created again under the same name never takes over old bytes. Kafka: `PartitionMetadataFile`.
//!
//! Two lines, `version: 0` and `topic_id: <22 characters>`; written when the directory is created, and made durable
//! by the partition's first flush: until then the partition is empty, and whoever finds it torn makes it anew.

use std::io::IoSlice;
use std::path::Path;

use logspine_protocol::types::TopicId;

use crate::disk::{self, Access, Disk};
use crate::error::{StorageError, io_at};
use crate::names;

/// Characters of a topic id.
const TOPIC_ID_LEN: usize = 22;

/// Compares the file with `topic_id`, or writes it if it is not there.
pub(crate) fn check_or_write(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    if !check(disk, dir, topic_id)? {
        replace(disk, dir, topic_id)?;
        disk.sync_dir(dir).map_err(io_at("sync", dir))?;
    }
    Ok(())
}

/// Compares the file with `topic_id`; false if it is not there.
pub(crate) fn check(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<bool, StorageError> {
    match read(disk, dir)? {
        Some(found) if found != topic_id => {
            let path = dir.join(names::PARTITION_METADATA);
            Err(StorageError::TopicId { path, found, expected: topic_id })
        }
        found => Ok(found.is_some()),
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

/// The topic id of a partition directory; `None` if the file is not there, or if a crash left it unfinished.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<TopicId>, StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    match disk::read_file(disk, &path).map_err(io_at("read", &path))? {
        None => Ok(None),
        Some(content) if is_unfinished(&content) => Ok(None),
        Some(content) => parse(&content).map(Some).ok_or_else(|| StorageError::Foreign {
            path,
            position: 0,
            found: format!("{:?}", String::from_utf8_lossy(&content)),
            advice: "expected `version: 0` and `topic_id: ...`; restore the file, or move the partition directory away",
        }),
    }
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
