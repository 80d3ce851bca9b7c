//! Why a directory of Kafka's is not taken: one sentence that names the place and says what to do.

use std::io;
use std::path::{Path, PathBuf};

use logspine_replica::raft_log::RaftLogError;
use logspine_storage::{AppendError, StorageError};
use thiserror::Error;

/// Each of them leaves Kafka's directories as they are.
#[derive(Debug, Error)]
pub enum KafkaError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Metadata(#[from] RaftLogError),
    #[error("a marker cannot be appended to {partition}: {source}")]
    Marker { partition: String, source: AppendError },
    #[error("{} is locked: a Kafka broker runs on it; stop that one first", path.display())]
    Running { path: PathBuf },
    #[error(
        "{} has no meta.properties, so it is no log directory of Kafka; name the directories of log.dirs",
        path.display()
    )]
    NotALogDir { path: PathBuf },
    #[error(
        "{} belongs to node {node_id} of cluster {cluster_id}, and {} to another; import the directories of one node",
        path.display(), other.display()
    )]
    OtherNode { path: PathBuf, node_id: i32, cluster_id: String, other: PathBuf },
    #[error("the directory {} is named twice", path.display())]
    Twice { path: PathBuf },
    #[error(
        "none of the directories holds __cluster_metadata-0; name the directory of metadata.log.dir as well \
         (clusters with ZooKeeper keep their topics elsewhere: migrate them to KRaft first)"
    )]
    NoMetadata,
    #[error(
        "the metadata log does not read to its end: {} at byte {position}: {reason}; start Kafka once more, stop it \
         cleanly, and try again",
        path.display()
    )]
    MetadataDamaged { path: PathBuf, position: u64, reason: String },
    #[error("the metadata log lacks the records {from} to {to}; restore the missing files of {}", dir.display())]
    MetadataGap { dir: PathBuf, from: i64, to: i64 },
    #[error(
        "the metadata log holds a record at offset {offset} that this version cannot read ({reason}); it reads what \
         Apache Kafka up to 4.3.1 writes"
    )]
    MetadataForeign { offset: i64, reason: String },
    #[error("metadata.version is {level}, and this version reads up to {max} (Apache Kafka 4.3)")]
    MetadataVersion { level: i16, max: i16 },
    #[error(
        "node {node_id} is not registered as a broker; import the directories of a node with the broker role"
    )]
    NoBroker { node_id: i32 },
    #[error(
        "node {node_id} has a log directory {directory_id} that was not named; name every directory of its log.dirs"
    )]
    DirectoryNotNamed { node_id: i32, directory_id: String },
    #[error(
        "{} of topic {topic} live on other nodes only ({examples}): move them to node {node_id} first \
         (kafka-reassign-partitions), or leave the topic out with --exclude-topic {topic}",
        plural(*count, "partition")
    )]
    NotHere { topic: String, count: usize, examples: String, node_id: i32 },
    #[error(
        "{topic}-{partition} belongs to this node and no directory holds it; name every directory of log.dirs, or \
         leave the topic out with --exclude-topic {topic}"
    )]
    Missing { topic: String, partition: i32 },
    #[error("there is no topic {topic} to leave out")]
    NoSuchTopic { topic: String },
    #[error(
        "{} holds records of message format {magic}, which Kafka wrote before 0.11; let a Kafka broker write the \
         topic anew, or leave it out with --exclude-topic {topic}",
        path.display()
    )]
    OldFormat { path: PathBuf, magic: i8, topic: String },
    #[error(
        "{partition} is damaged: {reason}; restore it, or leave the topic out with --exclude-topic {topic}"
    )]
    Damaged { partition: String, topic: String, reason: String },
    #[error("{} was not stopped cleanly; start its broker once more and stop it with SIGTERM", path.display())]
    NotClean { path: PathBuf },
    #[error(
        "Kafka's metadata log has no room for one more batch behind {}: {reason}; nothing but leader epochs is missing",
        path.display()
    )]
    MetadataAppend { path: PathBuf, reason: io::Error },
    #[error("{} is not empty; name a directory that is empty or does not exist", path.display())]
    TargetNotEmpty { path: PathBuf },
    #[error("{} lies within {}; name a data directory of its own", path.display(), other.display())]
    TargetInside { path: PathBuf, other: PathBuf },
    #[error(
        "{} holds an import that {begun} partitions and did not finish; run it again {again}",
        path.display()
    )]
    OtherMode { path: PathBuf, begun: &'static str, again: &'static str },
    #[error(
        "{} lies on another file system than {}, so nothing can be moved there; leave --move out to copy",
        path.display(), from.display()
    )]
    OtherFileSystem { path: PathBuf, from: PathBuf },
}

/// For `map_err`: what was tried and where.
pub(super) fn io_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KafkaError {
    let path = path.to_path_buf();
    move |source| KafkaError::Io { action, path, source }
}

/// `1 partition`, `2 partitions`
pub(super) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
