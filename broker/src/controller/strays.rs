//! Partition directories that no topic of the metadata claims, looked for once at start.
//!
//! They come from a crash between a topic's deletion in the metadata and on disk. They are renamed to `*-stray` and
//! kept: data is deleted by an order, never by a guess. Directories that a deletion did rename (`*-delete`) are freed
//! later. One that bears the id of a topic that lives is no stray, whatever its name is: `misplaced.rs` says where it
//! belongs, or which partitions must wait for somebody who knows. Kafka: `LogManager.isStrayKraftReplica`.

use std::path::{Path, PathBuf};

use logspine_cluster::metadata::{CLUSTER_METADATA_TOPIC_NAME, MetadataImage};
use logspine_protocol::types::{BrokerId, PartitionIndex};
use logspine_storage::directory::{Contents, PartitionDir};
use logspine_storage::{LogDir, StorageError};
use tracing::{error, info, warn};

use super::misplaced::{self, Rename, Survey};
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

/// Renames what no topic claims, frees what a deletion left behind, and puts right what lies under a wrong name.
pub fn set_aside(image: &MetadataImage, broker: BrokerId, partitions: &Registry) -> Result<(), StorageError> {
    let log_dir = partitions.log_dir();
    let mut contents = log_dir.contents()?;
    for path in std::mem::take(&mut contents.deleted) {
        info!(path = %path.display(), "a deleted partition's bytes are freed");
        partitions.free_later(path);
    }
    let (claimed, strays) = contents.partitions.into_iter().partition(|dir| is_claimed(image, dir));
    contents.partitions = claimed;
    rename_strays(log_dir, strays)?;
    put_right(image, broker, partitions, contents)
}

/// One rename at a time, each durable before the next is thought of: at most two for each directory.
fn put_right(
    image: &MetadataImage,
    broker: BrokerId,
    partitions: &Registry,
    mut contents: Contents,
) -> Result<(), StorageError> {
    let log_dir = partitions.log_dir();
    for _ in 0..=2 * contents.partitions.len() {
        let survey = Survey::of(image, broker, log_dir, &contents);
        let Some(Rename { from, to }) = survey.next() else {
            for (path, topic) in survey.left() {
                error!(
                    path = %path.display(),
                    "the directory bears the id of topic {topic} and another name; it is left as it is"
                );
            }
            partitions.withhold(survey.withheld());
            return Ok(());
        };
        warn!(from = %from.display(), to = %to.display(), "directories changed places; their topic ids tell");
        rename(log_dir, &from, &to)?;
        contents = log_dir.contents()?;
    }
    Ok(())
}

fn rename(log_dir: &LogDir, from: &Path, to: &Path) -> Result<(), StorageError> {
    let renamed = log_dir.disk().rename(from, to).and_then(|()| log_dir.disk().sync_dir(log_dir.path()));
    renamed.map_err(|source| StorageError::Io { action: "rename", path: from.to_path_buf(), source })
}

fn rename_strays(log_dir: &LogDir, strays: Vec<PartitionDir>) -> Result<(), StorageError> {
    for dir in of_topics(strays) {
        let kept = stray_path(log_dir, &dir);
        rename(log_dir, &dir.path, &kept)?;
        warn!(
            path = %dir.path.display(),
            kept = %kept.display(),
            "no topic claims this partition; its directory is set aside, remove it when nobody misses it"
        );
    }
    Ok(())
}

/// `topic-N.<id in hex>-stray`, cut like Kafka's names of deleted directories; no start reads it again.
fn stray_path(log_dir: &LogDir, dir: &PartitionDir) -> PathBuf {
    let id = u128::from_be_bytes(dir.topic_id.unwrap_or_default().0);
    let suffix = format!("-{}.{id:032x}-stray", dir.partition);
    let keep = dir.topic.len().min(NAME_BYTES_MAX - suffix.len());
    log_dir.path().join(format!("{}{suffix}", &dir.topic[..keep]))
}

fn of_topics(partitions: Vec<PartitionDir>) -> impl Iterator<Item = PartitionDir> {
    partitions.into_iter().filter(|dir| dir.topic != CLUSTER_METADATA_TOPIC_NAME)
}

/// By its id; a directory without one was being created when the process died, and belongs to the topic of its name.
fn is_claimed(image: &MetadataImage, dir: &PartitionDir) -> bool {
    if dir.topic_id.is_some() {
        return misplaced::owner(image, dir).is_some();
    }
    let topic = image.topic_by_name(&dir.topic);
    topic.is_some_and(|topic| topic.partitions.contains_key(&PartitionIndex(dir.partition)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use logspine_cluster::metadata::{MetadataRecord, Partition};
    use logspine_protocol::types::TopicId;

    use super::*;

    #[test]
    fn a_directory_is_claimed_by_its_id_and_without_one_by_its_name() {
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
        assert!(is_claimed(&image, &dir("others", 1, Some(topic_id))), "it may be the only copy");
        assert!(!is_claimed(&image, &dir("orders", 1, None)));
        assert!(!is_claimed(&image, &dir("others", 0, None)));
    }
}
