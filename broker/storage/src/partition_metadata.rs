//! `partition.metadata`: the topic id that a partition directory belongs to, so that a topic that was deleted
//! and created again under the same name never takes over old bytes. Kafka: `PartitionMetadataFile`.
//!
//! Two lines, `version: 0` and `topic_id: <22 characters>`; written once, when the directory is created.

use std::path::Path;

use logspine_protocol::types::TopicId;

use crate::disk::{self, Disk};
use crate::error::{StorageError, io_at};
use crate::names;

/// Compares the file with `topic_id`, or writes it if it is not there.
pub(crate) fn check_or_write(disk: &dyn Disk, dir: &Path, topic_id: TopicId) -> Result<(), StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    match read(disk, dir)? {
        Some(found) if found == topic_id => Ok(()),
        Some(found) => Err(StorageError::TopicId { path, found, expected: topic_id }),
        None => disk::replace_file(disk, &path, format(topic_id).as_bytes()).map_err(io_at("write", &path)),
    }
}

/// The topic id of a partition directory; `None` if the file is not there (or a crash left it empty).
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<TopicId>, StorageError> {
    let path = dir.join(names::PARTITION_METADATA);
    match disk::read_file(disk, &path).map_err(io_at("read", &path))? {
        None => Ok(None),
        Some(content) if content.is_empty() => Ok(None),
        Some(content) => parse(&content).map(Some).ok_or_else(|| StorageError::Foreign {
            path,
            position: 0,
            found: format!("{:?}", String::from_utf8_lossy(&content)),
            advice: "expected `version: 0` and `topic_id: ...`; restore the file, or move the partition directory away",
        }),
    }
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
    fn the_text_is_kafkas() {
        assert_eq!(format(TopicId::METADATA), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(parse(format(TopicId::METADATA).as_bytes()), Some(TopicId::METADATA));
        assert_eq!(parse(b"version: 1\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ"), None);
        assert_eq!(parse(b"version: 0\n"), None);
    }
}
