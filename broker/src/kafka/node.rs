//! The log directories of one stopped Kafka node: whose they are, that nobody runs on them, what they hold.
//!
//! Nothing is written here, a lock file included: where `.lock` exists it is locked shared, which a running broker
//! forbids and which keeps one from starting meanwhile. Kafka: `LogManager`, `MetaPropertiesEnsemble`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::TopicId;
use logspine_storage::checkpoint::{self, Offsets};
use logspine_storage::directory::PartitionDir;
use logspine_storage::{Disk, MetaProperties, RealDisk, directory, names};

use super::error::{KafkaError, io_at};
use super::metadata_log::Tail;

const METADATA_DIR: &str = "__cluster_metadata-0";

/// One of `log.dirs`.
pub struct KafkaLogDir {
    pub path: PathBuf,
    pub meta: MetaProperties,
    /// Kafka closed every log.
    pub is_clean: bool,
    pub recovery_points: Offsets,
    pub log_starts: Offsets,
    /// Partition directories of topics, in the order of their names.
    pub partitions: Vec<PartitionDir>,
    /// Directories that are no partition in service: deleted, stray, on their way between disks.
    pub others: Vec<PathBuf>,
    /// Checkpoints that cannot be read; Kafka does without them, too.
    pub unreadable: Vec<PathBuf>,
    /// `None` where there is no lock file, so that nobody holds it.
    _lock: Option<File>,
}

/// All log directories of a node.
pub struct KafkaNode {
    pub node_id: i32,
    pub cluster_id: String,
    pub dirs: Vec<KafkaLogDir>,
    /// Where `__cluster_metadata-0` is.
    pub metadata_dir: PathBuf,
}

impl KafkaNode {
    /// Opens and locks the directories; refuses those of different nodes.
    pub fn open(paths: &[PathBuf]) -> Result<KafkaNode, KafkaError> {
        let mut dirs: Vec<KafkaLogDir> = Vec::new();
        for path in paths {
            let path = path.canonicalize().map_err(io_at("find", path))?;
            if dirs.iter().any(|dir| dir.path == path) {
                return Err(KafkaError::Twice { path });
            }
            dirs.push(KafkaLogDir::open(path)?);
        }
        let first = dirs.first().ok_or(KafkaError::NoMetadata)?;
        let (node_id, cluster_id) = (first.meta.node_id, first.meta.cluster_id.clone());
        let is_same = |dir: &&KafkaLogDir| dir.meta.node_id == node_id && dir.meta.cluster_id == cluster_id;
        if let Some(other) = dirs.iter().find(|dir| !is_same(dir)) {
            let path = first.path.clone();
            return Err(KafkaError::OtherNode { path, node_id, cluster_id, other: other.path.clone() });
        }
        let metadata = dirs.iter().map(|dir| dir.path.join(METADATA_DIR)).find(|dir| dir.is_dir());
        let metadata_dir = metadata.ok_or(KafkaError::NoMetadata)?;
        Ok(KafkaNode { node_id, cluster_id, dirs, metadata_dir })
    }

    /// Whether every log was closed cleanly.
    pub fn is_clean(&self) -> bool {
        self.dirs.iter().all(|dir| dir.is_clean)
    }

    /// What may stand behind the metadata log's last whole batch.
    pub fn metadata_tail(&self) -> Tail {
        let holder = self.dirs.iter().find(|dir| self.metadata_dir.starts_with(&dir.path));
        if holder.is_some_and(|dir| dir.is_clean) { Tail::Whole } else { Tail::MayBeTorn }
    }

    /// Where each partition lies, by topic id and index. A directory without id is known by no topic.
    pub fn partitions(&self) -> BTreeMap<(TopicId, i32), (&KafkaLogDir, &PartitionDir)> {
        let all = self.dirs.iter().flat_map(|dir| dir.partitions.iter().map(move |found| (dir, found)));
        all.filter_map(|(dir, found)| Some(((found.topic_id?, found.partition), (dir, found)))).collect()
    }
}

impl KafkaLogDir {
    fn open(path: PathBuf) -> Result<KafkaLogDir, KafkaError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let lock = lock(&path.join(names::LOCK))?;
        let meta = directory::read_meta_properties(&*disk, &path)?;
        let meta = meta.ok_or_else(|| KafkaError::NotALogDir { path: path.clone() })?;
        let directory::Contents { mut partitions, deleted, .. } = directory::contents(&*disk, &path)?;
        partitions.retain(|dir| dir.path.file_name().is_none_or(|name| name != METADATA_DIR));
        let mut others = deleted;
        for entry in disk.list(&path).map_err(io_at("list", &path))? {
            if entry.is_dir && (entry.name.ends_with("-stray") || entry.name.ends_with("-future")) {
                others.push(path.join(entry.name));
            }
        }
        let mut unreadable = Vec::new();
        let mut offsets = |name| -> Result<Offsets, KafkaError> {
            let path = path.join(name);
            let found = checkpoint::peek(&*disk, &path)?;
            Ok(found.unwrap_or_else(|| {
                unreadable.push(path);
                Offsets::new()
            }))
        };
        let recovery_points = offsets(names::RECOVERY_POINT_CHECKPOINT)?;
        let log_starts = offsets(names::LOG_START_CHECKPOINT)?;
        Ok(KafkaLogDir {
            meta,
            is_clean: path.join(names::CLEAN_SHUTDOWN).exists(),
            recovery_points,
            log_starts,
            partitions,
            others,
            unreadable,
            path,
            _lock: lock,
        })
    }
}

/// Kafka locks by `fcntl`; so must whoever wants to notice.
fn lock(path: &Path) -> Result<Option<File>, KafkaError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_at("open", path))?,
    };
    match rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::AGAIN) => {
            Err(KafkaError::Running { path: path.to_path_buf() })
        }
        Err(errno) => Err(io_at("lock", path)(errno.into())),
    }
}
