//! Who frees deleted bytes, seen from below: a disk that notes the thread of every unlink and truncation, and that
//! tries the partition's lock meanwhile.

use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use logspine_cluster::metadata::configs::{ConfigMap, Layers, TopicConfig};
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset, TopicId};
use logspine_replica::{LeaderAppend, LeaderWord};
use logspine_storage::disk::{Access, DiskLock, Entry, Space};
use logspine_storage::{Disk, DiskFile, LogDir, RealDisk, Unlink};
use parking_lot::Mutex;

use super::super::{Checkpoints, Committer, Housekeeping, PartitionHandle, PartitionSpec, Registry};
use crate::config::{CleanerConfig, LogDirConfig};
use crate::metrics::Metrics;

const DEADLINE: Duration = Duration::from_secs(20);

/// One unlink: on which thread, and whether the partition answered meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Freed {
    thread: String,
    lock_was_free: bool,
}

/// The real disk; whoever removes is noted.
#[derive(Debug)]
struct Watched {
    partition: OnceLock<Weak<dyn Answers>>,
    freed: Mutex<mpsc::Sender<Freed>>,
}

trait Answers: std::fmt::Debug + Send + Sync {
    fn answer(&self);
}

impl std::fmt::Debug for PartitionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

impl Answers for PartitionHandle {
    fn answer(&self) {
        let _ = self.with(|_| ());
    }
}

impl Watched {
    /// Whether another thread gets the partition's lock while this one is in the disk.
    fn lock_is_free(&self) -> bool {
        let Some(partition) = self.partition.get().and_then(Weak::upgrade) else { return true };
        let (told, answered) = mpsc::channel();
        std::thread::spawn(move || {
            partition.answer();
            let _ = told.send(());
        });
        answered.recv_timeout(Duration::from_secs(2)).is_ok()
    }
}

impl Disk for Watched {
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path, access)
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if path.extension().is_some_and(|extension| extension == "deleted") {
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            let _ = self.freed.lock().send(Freed { thread, lock_was_free: self.lock_is_free() });
        }
        RealDisk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        RealDisk.list(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        RealDisk.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        RealDisk.space(path)
    }
}

/// An open partition that loses segments by size as soon as it has two.
fn partition(dir: &Path) -> (Arc<Registry>, Arc<PartitionHandle>, Arc<Watched>, mpsc::Receiver<Freed>) {
    let (sender, freed) = mpsc::channel();
    let disk = Arc::new(Watched { partition: OnceLock::new(), freed: Mutex::new(sender) });
    let log_dir = Arc::new(LogDir::open(disk.clone(), dir).unwrap());
    let committer = Committer::start(Arc::new(Metrics::new())).unwrap();
    let registry =
        Registry::new(log_dir, committer.committer(), Checkpoints::default(), BrokerId(0), 86_400_000);
    // Runs as long as the test.
    std::mem::forget(committer);
    let none = ConfigMap::default();
    let config = TopicConfig {
        segment_bytes: 1 << 20,
        retention_bytes: 0,
        file_delete_delay_ms: 0,
        ..TopicConfig::resolve(&Layers { topic: &none, broker: &none, cluster: &none, file: &none })
    };
    let leader = LeaderWord {
        leader_epoch: LeaderEpoch(0),
        partition_epoch: 0,
        replicas: vec![BrokerId(0)],
        isr: vec![BrokerId(0)],
        min_insync_replicas: 1,
        lag_time_max_ms: 30_000,
    };
    let spec = PartitionSpec {
        topic: "t".into(),
        topic_id: TopicId([1; 16]),
        index: 0,
        config: config.into(),
        leader,
    };
    let handle = registry.open(0, spec).unwrap();
    let answers: Arc<dyn Answers> = handle.clone();
    disk.partition.set(Arc::downgrade(&answers)).unwrap();
    (Arc::new(registry), handle, disk, freed)
}

fn append(handle: &Arc<PartitionHandle>) -> Offset {
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1_000, Some(b"k"), Some(&vec![7; 700_000]), &[]);
    let append = LeaderAppend { require_min_isr: false, now_ms: 1_000 };
    handle.append(&builder.build(), append).unwrap().end_offset
}

/// What must hold of every unlink.
fn judge(freed: &Freed) -> Result<(), String> {
    if freed.thread != "housekeeping" || !freed.lock_was_free {
        return Err(format!("{freed:?}"));
    }
    Ok(())
}

#[test]
fn segments_are_freed_by_housekeeping_alone_and_never_under_a_partitions_lock() {
    let dir = tempfile::tempdir().unwrap();
    let (registry, handle, disk, freed) = partition(dir.path());
    // The judge is shown two mistakes first: another thread, and the lock held.
    let as_disk: Arc<dyn Disk> = disk.clone();
    let stray = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("0.log.deleted"), b"x").unwrap();
        Unlink::dir(&as_disk, path)
    };
    stray("a-delete").run().unwrap();
    assert!(judge(&freed.recv_timeout(DEADLINE).unwrap()).is_err());
    let inside = stray("b-delete");
    std::thread::scope(|scope| {
        let work = || handle.with(|_| inside.run().unwrap()).unwrap();
        std::thread::Builder::new().name("housekeeping".to_owned()).spawn_scoped(scope, work).unwrap();
    });
    assert!(judge(&freed.recv_timeout(DEADLINE).unwrap()).is_err());

    let end = (0..4).fold(Offset(0), |_, _| append(&handle));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    runtime.block_on(handle.wait_committed(end, deadline)).unwrap();
    let config = LogDirConfig {
        reserve_bytes: 0,
        retention_check_interval_ms: 5,
        flush_offset_checkpoint_interval_ms: 60_000,
        high_watermark_checkpoint_interval_ms: 5,
        num_recovery_threads: 1,
        producer_id_expiration_ms: 86_400_000,
        cleaner: CleanerConfig {
            threads: 0,
            dedupe_buffer_bytes: 0,
            load_factor: 0.9,
            io_max_bytes_per_second: f64::MAX,
            backoff_ms: 0,
        },
    };
    let housekeeping = Housekeeping::start(registry, &config).unwrap();
    // Three segments, of which each has a log, two indexes and, but for the first, a snapshot.
    for _ in 0..11 {
        judge(&freed.recv_timeout(DEADLINE).unwrap()).unwrap();
    }
    housekeeping.stop();
}
