//! One data directory: who owns it, what was closed cleanly, which partitions it holds, and its checkpoints.
//!
//! `LogDir::open` takes the lock that a second broker would run into. The start reads and removes the clean
//! marker before any log is opened, so that a crash during the start is an unclean shutdown. The shell holds
//! one `LogDir` for each of `log.dirs`. Kafka: `LogManager`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::{Offset, TopicId};

use crate::aside::{self, read_or_move};
use crate::checkpoint::{self, Offsets, Positions};
use crate::clean_shutdown::CleanShutdown;
use crate::disk::{self, Disk, DiskLock, Space};
use crate::error::{StorageError, io_at};
use crate::meta_properties::{MetaProperties, Mistake};
use crate::{names, partition_metadata};

/// An open, locked data directory.
#[derive(Debug)]
pub struct LogDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    _lock: Box<dyn DiskLock>,
}

/// A partition found on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDir {
    /// Topic name.
    pub topic: String,
    /// Partition index.
    pub partition: i32,
    /// From `partition.metadata`; `None` if a crash came before it was written, or it cannot be read.
    pub topic_id: Option<TopicId>,
    /// Where it lies.
    pub path: PathBuf,
}

/// What a data directory holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// Partitions, in the order of their names.
    pub partitions: Vec<PartitionDir>,
    /// Directories of deleted partitions whose bytes are still there; to be freed by `Unlink::dir`.
    pub deleted: Vec<PathBuf>,
    /// Directories on their way to another name, and the topics that they belong to.
    pub moving: Vec<(PathBuf, TopicId)>,
}

impl LogDir {
    /// Creates the directory if needed and locks it.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<LogDir, StorageError> {
        disk::create_dir_all(&*disk, path).map_err(io_at("create", path))?;
        let lock_path = path.join(names::LOCK);
        let lock = disk.lock(&lock_path).map_err(io_at("lock", &lock_path))?;
        let lock = lock.ok_or(StorageError::Locked { path: lock_path })?;
        Ok(LogDir { disk, path: path.to_path_buf(), _lock: lock })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The disk below.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Where a partition directory of a topic waits while its place is made free.
    pub fn moving_path(&self, topic_id: TopicId) -> PathBuf {
        self.path.join(names::moving_dir(topic_id))
    }

    /// The directory of a partition.
    pub fn partition_path(&self, topic: &str, partition: i32) -> PathBuf {
        self.path.join(names::partition_dir(topic, partition))
    }

    /// Whose directory this is; `None` if it was never formatted.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, StorageError> {
        read_meta_properties(&*self.disk, &self.path)
    }

    /// Formats the directory.
    pub fn write_meta_properties(&self, meta: &MetaProperties) -> Result<(), StorageError> {
        let path = self.path.join(names::META_PROPERTIES);
        disk::replace_file(&*self.disk, &path, meta.format().as_bytes()).map_err(io_at("write", &path))
    }

    /// Reads the clean marker and removes it durably: from here on a crash is unclean.
    pub fn take_clean_shutdown(&self) -> Result<Option<CleanShutdown>, StorageError> {
        let path = self.path.join(names::CLEAN_SHUTDOWN);
        let content = read_or_move(&*self.disk, &path)?.0;
        if content.is_some() {
            self.disk.remove_file(&path).map_err(io_at("remove", &path))?;
        }
        // Also without a marker. Recovery relies on the checkpoints that it reads; an earlier process may have given one
        // its name and not synced that, and a cut in the middle of recovery would bring the older one back.
        self.disk.sync_dir(&self.path).map_err(io_at("sync", &self.path))?;
        Ok(content.map(|content| CleanShutdown::parse(&content)))
    }

    /// The last act of a clean shutdown, after every log was closed and the checkpoints were written.
    pub fn write_clean_shutdown(&self, marker: CleanShutdown) -> Result<(), StorageError> {
        let path = self.path.join(names::CLEAN_SHUTDOWN);
        disk::replace_file(&*self.disk, &path, marker.format().as_bytes()).map_err(io_at("write", &path))
    }

    /// Lists the partitions.
    pub fn contents(&self) -> Result<Contents, StorageError> {
        contents(&*self.disk, &self.path)
    }

    /// Below these offsets everything is on stable storage.
    pub fn recovery_points(&self) -> Result<Offsets, StorageError> {
        checkpoint::read(&*self.disk, &self.path.join(names::RECOVERY_POINT_CHECKPOINT))
    }

    /// Writes `Log::recovery_point` of every log; `collect` is called while no truncation is under way.
    pub fn write_recovery_points(&self, collect: impl FnOnce() -> Offsets) -> Result<(), StorageError> {
        checkpoint::write_recovery_points(&*self.disk, &self.path, collect)
    }

    /// Writes what `collect` reads while no log is being created, truncated or deleted. It must take no lock that is
    /// held during one of these: the positions that a `LogReader` publishes need none.
    pub fn write_positions(&self, collect: impl FnOnce() -> Positions) -> Result<(), StorageError> {
        checkpoint::write_positions(&*self.disk, &self.path, collect)
    }

    /// Where logs start, as far as retention or DeleteRecords moved it inside of a segment.
    pub fn log_starts(&self) -> Result<Offsets, StorageError> {
        checkpoint::read(&*self.disk, &self.path.join(names::LOG_START_CHECKPOINT))
    }

    /// Replaces the log starts.
    pub fn write_log_starts(&self, offsets: &Offsets) -> Result<(), StorageError> {
        checkpoint::write(&*self.disk, &self.path.join(names::LOG_START_CHECKPOINT), offsets)
    }

    /// High watermarks as of the last checkpoint.
    pub fn high_watermarks(&self) -> Result<Offsets, StorageError> {
        checkpoint::read(&*self.disk, &self.path.join(names::REPLICATION_CHECKPOINT))
    }

    /// Replaces the high watermarks.
    pub fn write_high_watermarks(&self, offsets: &Offsets) -> Result<(), StorageError> {
        checkpoint::write(&*self.disk, &self.path.join(names::REPLICATION_CHECKPOINT), offsets)
    }

    /// How far logs are compacted.
    pub fn cleaned(&self) -> Result<Offsets, StorageError> {
        checkpoint::read(&*self.disk, &self.path.join(names::CLEANER_CHECKPOINT))
    }

    /// Notes that everything of one log below `offset` is compacted.
    pub fn write_cleaned(&self, topic: &str, partition: i32, offset: Offset) -> Result<(), StorageError> {
        checkpoint::write_cleaned(&*self.disk, &self.path, topic, partition, offset)
    }

    /// Room of the file system.
    pub fn space(&self) -> Result<Space, StorageError> {
        self.disk.space(&self.path).map_err(io_at("measure", &self.path))
    }

    /// An entry of a checkpoint, or 0.
    pub fn offset_of(offsets: &Offsets, topic: &str, partition: i32) -> Offset {
        offsets.get(&(topic.to_owned(), partition)).copied().unwrap_or_default()
    }
}

/// Whose data directory that is, without locking it; `None` if it was never formatted.
pub fn read_meta_properties(disk: &dyn Disk, path: &Path) -> Result<Option<MetaProperties>, StorageError> {
    let path = path.join(names::META_PROPERTIES);
    let Some(content) = disk::read_file(disk, &path).map_err(io_at("read", &path))? else {
        return Ok(None);
    };
    MetaProperties::parse(&content).map(Some).map_err(|(line, mistake)| {
        let position = checkpoint::byte_of_line(&content, line);
        match mistake {
            Mistake::OtherVersion(version) => StorageError::Foreign {
                path,
                position,
                found: format!("version {version} where 1 is expected"),
                advice: "start the version that wrote this directory, or use another data directory",
            },
            Mistake::Text(reason) => StorageError::Unreadable { path, position, reason },
        }
    })
}

/// The partitions of a data directory, without locking it.
pub fn contents(disk: &dyn Disk, path: &Path) -> Result<Contents, StorageError> {
    let mut contents = Contents::default();
    for entry in disk.list(path).map_err(io_at("list", path))? {
        let path = path.join(&entry.name);
        if entry.is_dir && entry.name.ends_with("-delete") {
            contents.deleted.push(path);
        } else if entry.is_dir && entry.name.ends_with(names::MOVING) {
            contents.moving.extend(topic_id_in(disk, &path).map(|topic_id| (path, topic_id)));
        } else if let Some((topic, partition)) =
            names::parse_partition_dir(&entry.name).filter(|_| entry.is_dir && !is_set_aside(&entry.name))
        {
            let topic_id = topic_id_in(disk, &path);
            contents.partitions.push(PartitionDir { topic: topic.to_owned(), partition, topic_id, path });
        }
    }
    Ok(contents)
}

/// A directory that stood in place of one of our files, and was moved out of the way.
fn is_set_aside(name: &str) -> bool {
    name.split_once(aside::SUFFIX).is_some_and(|(file, _)| names::OF_A_DATA_DIR.contains(&file))
}

/// The topic id of a partition directory. One whose file cannot be read concerns that partition alone: whoever opens
/// it says so.
fn topic_id_in(disk: &dyn Disk, path: &Path) -> Option<TopicId> {
    match partition_metadata::read(disk, path) {
        Ok(partition_metadata::Found::Id(topic_id)) => Some(topic_id),
        Ok(partition_metadata::Found::Absent | partition_metadata::Found::Unreadable) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;

    #[test]
    fn a_data_directory_is_owned_once_and_remembers_itself() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b/data");
        let dir = LogDir::open(Arc::new(RealDisk), &path).unwrap();
        assert!(matches!(LogDir::open(Arc::new(RealDisk), &path), Err(StorageError::Locked { .. })));
        assert_eq!(dir.meta_properties().unwrap(), None);
        let meta = MetaProperties { cluster_id: "c".to_owned(), node_id: 1, directory_id: TopicId([3; 16]) };
        dir.write_meta_properties(&meta).unwrap();
        assert_eq!(dir.meta_properties().unwrap(), Some(meta));
        assert!(dir.space().unwrap().total_bytes > 0);
    }

    #[test]
    fn the_clean_marker_is_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let dir = LogDir::open(Arc::new(RealDisk), root.path()).unwrap();
        assert_eq!(dir.take_clean_shutdown().unwrap(), None);
        dir.write_clean_shutdown(CleanShutdown { broker_epoch: 4 }).unwrap();
        assert_eq!(dir.take_clean_shutdown().unwrap(), Some(CleanShutdown { broker_epoch: 4 }));
        assert_eq!(dir.take_clean_shutdown().unwrap(), None);
    }

    #[test]
    fn a_checkpoint_that_cannot_be_read_is_set_aside_and_holds_nothing() {
        let root = tempfile::tempdir().unwrap();
        let dir = LogDir::open(Arc::new(RealDisk), root.path()).unwrap();
        for name in
            [names::RECOVERY_POINT_CHECKPOINT, names::LOG_START_CHECKPOINT, names::REPLICATION_CHECKPOINT]
        {
            std::fs::write(root.path().join(name), "1\n0\n").unwrap();
        }
        for read in [LogDir::recovery_points, LogDir::log_starts, LogDir::high_watermarks] {
            assert_eq!(read(&dir).unwrap(), Offsets::new());
        }
        let kept = root.path().join("recovery-point-offset-checkpoint.unreadable-0");
        assert_eq!(std::fs::read(kept).unwrap(), b"1\n0\n");
    }
}
