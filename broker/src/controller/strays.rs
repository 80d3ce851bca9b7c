//! Partition directories that no topic of the metadata claims, looked for once at start.
//!
//! They come from a crash between a topic's deletion in the metadata and on disk, or from a directory that was
//! copied. They are renamed to `*-stray` and kept: data is deleted by an order, never by a guess. Directories that a
//! deletion did rename (`*-delete`) are freed later. Kafka: `LogManager.isStrayKraftReplica`.

use std::path::PathBuf;

use logspine_cluster::metadata::{CLUSTER_METADATA_TOPIC_NAME, MetadataImage};
use logspine_protocol::types::PartitionIndex;
use logspine_storage::directory::PartitionDir;
use logspine_storage::{LogDir, StorageError};
use tracing::{info, warn};

use super::{StartError, is_new};
use crate::partition::Registry;

/// File systems end a name here.
const NAME_BYTES_MAX: usize = 255;

/// An empty metadata log beside partitions is a lost one: with it every partition would be a stray.
pub fn check_metadata_is_there(image: &MetadataImage, log_dir: &LogDir) -> Result<(), StartError> {
    if !is_new(image) {
        return Ok(());
    }
    let partitions = of_topics(log_dir.contents()?.partitions).count();
    if partitions == 0 {
        return Ok(());
    }
    Err(StartError::MetadataMissing { directory: log_dir.path().display().to_string(), partitions })
}

/// Renames what no topic claims, and frees what a deletion left behind.
pub fn set_aside(image: &MetadataImage, partitions: &Registry) -> Result<(), StorageError> {
    let log_dir = partitions.log_dir();
    let contents = log_dir.contents()?;
    for path in contents.deleted {
        info!(path = %path.display(), "a deleted partition's bytes are freed");
        partitions.free_later(path);
    }
    for dir in of_topics(contents.partitions).filter(|dir| !is_claimed(image, dir)) {
        let kept = rename(log_dir, &dir).map_err(|source| StorageError::Io {
            action: "set aside",
            path: dir.path.clone(),
            source,
        })?;
        warn!(
            path = %dir.path.display(),
            kept = %kept.display(),
            "no topic claims this partition; its directory is set aside, remove it when nobody misses it"
        );
    }
    Ok(())
}

/// `topic-N.<id in hex>-stray`, cut like Kafka's names of deleted directories; no start reads it again.
fn rename(log_dir: &LogDir, dir: &PartitionDir) -> std::io::Result<PathBuf> {
    let id = u128::from_be_bytes(dir.topic_id.unwrap_or_default().0);
    let suffix = format!("-{}.{id:032x}-stray", dir.partition);
    let keep = dir.topic.len().min(NAME_BYTES_MAX - suffix.len());
    let kept = log_dir.path().join(format!("{}{suffix}", &dir.topic[..keep]));
    log_dir.disk().rename(&dir.path, &kept)?;
    log_dir.disk().sync_dir(log_dir.path())?;
    Ok(kept)
}

fn of_topics(partitions: Vec<PartitionDir>) -> impl Iterator<Item = PartitionDir> {
    partitions.into_iter().filter(|dir| dir.topic != CLUSTER_METADATA_TOPIC_NAME)
}

/// A directory without a topic id was being created when the process died: it belongs to the topic of its name.
fn is_claimed(image: &MetadataImage, dir: &PartitionDir) -> bool {
    image.topic_by_name(&dir.topic).is_some_and(|topic| {
        dir.topic_id.is_none_or(|id| id == topic.topic_id)
            && topic.partitions.contains_key(&PartitionIndex(dir.partition))
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use logspine_cluster::metadata::{MetadataRecord, Partition};
    use logspine_protocol::types::TopicId;

    use super::*;

    #[test]
    fn a_directory_is_claimed_by_name_index_and_id() {
        let topic_id = TopicId([7; 16]);
        let mut image = MetadataImage::default();
        image.replay(&MetadataRecord::Topic { name: "orders".to_owned(), topic_id });
        let index = PartitionIndex(0);
        image.replay(&MetadataRecord::Partition { topic_id, index, partition: Partition::default() });
        let dir = |topic: &str, partition, topic_id| PartitionDir {
            topic: topic.to_owned(),
            partition,
            topic_id,
            path: PathBuf::new(),
        };
        assert!(is_claimed(&image, &dir("orders", 0, Some(topic_id))));
        assert!(is_claimed(&image, &dir("orders", 0, None)));
        assert!(
            !is_claimed(&image, &dir("orders", 0, Some(TopicId([8; 16])))),
            "created again under its name"
        );
        assert!(!is_claimed(&image, &dir("orders", 1, Some(topic_id))));
        assert!(!is_claimed(&image, &dir("others", 0, None)));
    }
}
