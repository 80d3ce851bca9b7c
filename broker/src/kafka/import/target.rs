//! The data directory that an import fills: marked as unfinished until everything in it is durable.
//!
//! The mark is the first file that is written and the last that goes; no broker starts beside it. It names how files
//! come over, because an import by moving must go on where it stopped, and any other begins anew. The order of the
//! end: metadata log, checkpoints, identity, clean marker, and then the mark goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_cluster::metadata::{Broker, CLUSTER_METADATA_TOPIC_NAME, MetadataRecord, Partition};
use logspine_cluster::quorum::QuorumConfig;
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{BrokerId, Offset, TopicId};
use logspine_replica::raft_log::{OpenRaftLog, RaftLog};
use logspine_storage::checkpoint::Offsets;
use logspine_storage::{CleanShutdown, Disk, LogDir, MetaProperties, RealDisk, disk, names};

use super::super::error::{KafkaError, io_at};
use super::super::metadata::KafkaMetadata;
use super::super::node::KafkaNode;
use super::plan::{Plan, PlannedPartition};
use super::take_over::Taken;
use super::transfer::{self, Mode};
use crate::identity;

/// The mark of an unfinished import; holds the word of its mode.
pub const UNFINISHED: &str = "import-kafka.unfinished";
/// Records of one batch of the metadata log.
const BATCH_RECORDS: usize = 1000;

/// The directory, locked and marked.
pub struct Target {
    log_dir: LogDir,
    /// What an earlier run moved here already.
    moved: BTreeMap<String, PathBuf>,
    recovery_points: Offsets,
    log_starts: Offsets,
}

/// The target must be no part of what is read.
pub fn check_apart(data_dir: &Path, node: &KafkaNode) -> Result<(), KafkaError> {
    let path = super::absolute(data_dir)?;
    match node.dirs.iter().find(|dir| path.starts_with(&dir.path) || dir.path.starts_with(&path)) {
        Some(dir) => Err(KafkaError::TargetInside { path, other: dir.path.clone() }),
        None => Ok(()),
    }
}

impl Target {
    /// Locks a directory that is empty, or that an unfinished import left. Changes nothing in it yet.
    pub fn open(data_dir: &Path, mode: Mode) -> Result<Target, KafkaError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let log_dir = LogDir::open(disk.clone(), data_dir)?;
        let mark = data_dir.join(UNFINISHED);
        let mut moved = BTreeMap::new();
        match disk::read_file(&*disk, &mark).map_err(io_at("read", &mark))? {
            None => check_empty(data_dir)?,
            Some(word) if word != mode.word().as_bytes() => {
                let (begun, again) = match mode {
                    Mode::Move => ("copied", "without --move"),
                    _ => ("moved", "with --move"),
                };
                return Err(KafkaError::OtherMode { path: data_dir.to_path_buf(), begun, again });
            }
            Some(_) if mode == Mode::Move => {
                let found = log_dir.contents()?.partitions.into_iter();
                moved =
                    found.map(|dir| (names::partition_dir(&dir.topic, dir.partition), dir.path)).collect();
                moved.remove(&names::partition_dir(CLUSTER_METADATA_TOPIC_NAME, 0));
            }
            Some(_) => {}
        }
        Ok(Target { log_dir, moved, recovery_points: Offsets::new(), log_starts: Offsets::new() })
    }

    /// Begins: the directory is an unfinished import from here on. Of an earlier one only moved partitions stay.
    pub fn begin(&self, mode: Mode) -> Result<(), KafkaError> {
        let mark = self.path().join(UNFINISHED);
        let marked = disk::replace_file(&**self.log_dir.disk(), &mark, mode.word().as_bytes());
        marked.map_err(io_at("write", &mark))?;
        clear(self.path(), |name| self.moved.contains_key(name))
    }

    pub fn path(&self) -> &Path {
        self.log_dir.path()
    }

    pub fn log_dir(&self) -> &LogDir {
        &self.log_dir
    }

    /// By name, what is here from an earlier run.
    pub fn partition_dirs(&self) -> &BTreeMap<String, PathBuf> {
        &self.moved
    }

    /// Brings one partition's files here.
    pub fn take(&self, partition: &PlannedPartition, mode: Mode) -> Result<(), KafkaError> {
        transfer::transfer(partition, &self.path().join(partition.name()), mode)
    }

    /// What the checkpoints shall say of it.
    pub fn note(&mut self, partition: &PlannedPartition, taken: &Taken) {
        let key = (partition.topic.to_string(), partition.index.0);
        self.log_starts.insert(key.clone(), taken.log_start);
        self.recovery_points.insert(key, taken.log_end);
    }

    /// Writes everything but the partitions, and takes the mark away.
    pub fn finish(
        mut self,
        node: &KafkaNode,
        metadata: &KafkaMetadata,
        plan: &Plan,
    ) -> Result<(), KafkaError> {
        let path = self.path().to_path_buf();
        transfer::sync_dir(&path)?;
        let directory_id = identity::random_id().map_err(io_at("draw a random id for", &path))?;
        let (broker, records) = records(metadata, plan, directory_id);
        let metadata_end = self.write_metadata(plan.node, &records)?;
        let high_watermarks = self.recovery_points.clone();
        self.recovery_points.insert((CLUSTER_METADATA_TOPIC_NAME.to_owned(), 0), metadata_end);
        self.log_dir.write_log_starts(&self.log_starts)?;
        self.log_dir.write_high_watermarks(&high_watermarks)?;
        let recovery_points = std::mem::take(&mut self.recovery_points);
        self.log_dir.write_recovery_points(|| recovery_points)?;
        self.log_dir.write_meta_properties(&MetaProperties {
            cluster_id: node.cluster_id.clone(),
            node_id: node.node_id,
            directory_id,
        })?;
        self.log_dir.write_clean_shutdown(CleanShutdown { broker_epoch: broker.epoch })?;
        let mark = path.join(UNFINISHED);
        std::fs::remove_file(&mark).map_err(io_at("remove", &mark))?;
        transfer::sync_dir(&path)
    }

    /// A new metadata log of one voter; returns its end.
    fn write_metadata(&self, node: BrokerId, records: &[MetadataRecord]) -> Result<Offset, KafkaError> {
        let mut log = RaftLog::open(OpenRaftLog {
            disk: self.log_dir.disk().clone(),
            data_dir: self.path().to_path_buf(),
            recovery_point: Offset(0),
            quorum: QuorumConfig::single(node.0),
            now_ms: 0,
        })?;
        log.advance()?;
        for records in records.chunks(BATCH_RECORDS) {
            let mut batch = BatchBuilder::new(Codec::None);
            for record in records {
                batch.append(0, None, Some(&record.encode()), &[]);
            }
            log.propose(batch.build())?;
            log.advance()?;
        }
        let end_offset = log.log_end_offset();
        log.close()?;
        Ok(end_offset)
    }
}

/// Our metadata log's beginning: this node, its topics with itself as their only replica, the settings that count.
fn records(metadata: &KafkaMetadata, plan: &Plan, directory_id: TopicId) -> (Broker, Vec<MetadataRecord>) {
    let known = metadata.image.broker(plan.node);
    // The next start registers anew, with the next epoch.
    let broker = Broker {
        id: plan.node,
        epoch: metadata.image.last_broker_epoch().max(1),
        incarnation_id: known.map_or(TopicId::ZERO, |broker| broker.incarnation_id),
        endpoints: Vec::new(),
        rack: None,
        fenced: true,
        log_dirs: vec![directory_id],
    };
    let mut records = vec![MetadataRecord::RegisterBroker(broker.clone())];
    let mut topic_id = TopicId::ZERO;
    for planned in &plan.partitions {
        if planned.topic_id != topic_id {
            topic_id = planned.topic_id;
            records.push(MetadataRecord::Topic { name: planned.topic.to_string(), topic_id });
        }
        let partition = Partition {
            replicas: vec![plan.node],
            isr: vec![plan.node],
            leader: plan.node,
            leader_epoch: planned.leader_epoch,
            partition_epoch: planned.partition_epoch,
            directories: vec![directory_id],
            ..Partition::default()
        };
        records.push(MetadataRecord::Partition { topic_id, index: planned.index, partition });
    }
    let taken = |topic: &str| plan.partitions.iter().any(|planned| *planned.topic == *topic);
    let configs = metadata.configs(plan.node).0.into_iter();
    records.extend(configs.filter(|record| match record {
        MetadataRecord::Config { resource, .. } => {
            resource.kind != logspine_cluster::metadata::ResourceType::Topic || taken(&resource.name)
        }
        _ => true,
    }));
    // Ids that Kafka gave away are never given away again.
    if metadata.image.next_producer_id() > 0 {
        let (broker_id, broker_epoch) = (plan.node, broker.epoch);
        let next_producer_id = metadata.image.next_producer_id();
        records.push(MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id });
    }
    (broker, records)
}

fn check_empty(path: &Path) -> Result<(), KafkaError> {
    for entry in std::fs::read_dir(path).map_err(io_at("list", path))? {
        let name = entry.map_err(io_at("list", path))?.file_name();
        if name != names::LOCK && name != "lost+found" {
            return Err(KafkaError::TargetNotEmpty { path: path.to_path_buf() });
        }
    }
    Ok(())
}

/// Removes what an unfinished import left: the directory was empty when it began.
fn clear(path: &Path, keep: impl Fn(&str) -> bool) -> Result<(), KafkaError> {
    for entry in std::fs::read_dir(path).map_err(io_at("list", path))? {
        let entry = entry.map_err(io_at("list", path))?;
        let name = entry.file_name();
        let is_kept = [names::LOCK, UNFINISHED, "lost+found"].iter().any(|kept| name == *kept);
        if is_kept || name.to_str().is_some_and(&keep) {
            continue;
        }
        let is_dir = entry.file_type().map_err(io_at("look at", path))?.is_dir();
        let at = entry.path();
        let removed = if is_dir { std::fs::remove_dir_all(&at) } else { std::fs::remove_file(&at) };
        removed.map_err(io_at("remove", &at))?;
    }
    Ok(())
}
