//! What an import will take, decided before anything is written: every partition of every topic that lives here.
//!
//! Refuses what would be a loss: partitions that only other nodes have, partitions whose directory was not named,
//! records of formats that are not served. Pure but for the few bytes that tell a segment's format.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_cluster::metadata::{Partition, Topic};
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use logspine_storage::{LogConfig, LogDir, OpenLog, names};

use super::super::error::{KafkaError, io_at, plural};
use super::super::metadata::KafkaMetadata;
use super::super::node::KafkaNode;

/// Where the format of a segment's first record stands.
const MAGIC_POSITION: u64 = 16;
/// Partitions named in a refusal.
const EXAMPLES_MAX: usize = 3;

/// One partition and where it comes from.
#[derive(Debug, Clone)]
pub struct PlannedPartition {
    pub topic: Arc<str>,
    pub topic_id: TopicId,
    pub index: PartitionIndex,
    /// Kafka's directory; with an import by moving that is run again, perhaps moved already.
    pub from: PathBuf,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
    pub recovery_point: Offset,
    pub log_start: Offset,
    /// Kafka closed the log.
    pub is_clean: bool,
    pub bytes: u64,
}

impl PlannedPartition {
    pub fn name(&self) -> String {
        names::partition_dir(&self.topic, self.index.0)
    }

    /// What opens its log where it was brought to.
    pub fn open(&self, log_dir: &LogDir, now_ms: i64) -> OpenLog {
        OpenLog {
            disk: log_dir.disk().clone(),
            dir: log_dir.partition_path(&self.topic, self.index.0),
            topic: self.topic.to_string(),
            topic_id: self.topic_id,
            partition: self.index,
            config: LogConfig::default(),
            recovery_point: self.recovery_point,
            log_start: self.log_start,
            clean: self.is_clean,
            now_ms,
        }
    }
}

/// Everything that will be taken, and what there is to say about it.
#[derive(Debug, Default)]
pub struct Plan {
    pub node: BrokerId,
    /// Topics in the order of their names, partitions in theirs.
    pub partitions: Vec<PlannedPartition>,
    /// What a person should know about what is taken.
    pub notes: Vec<String>,
    /// What is not taken.
    pub left_out: Vec<String>,
}

impl Plan {
    /// `moved` are the partition directories that an earlier run has moved into the target.
    pub fn of(
        node: &KafkaNode,
        metadata: &KafkaMetadata,
        excluded: &[String],
        moved: &BTreeMap<String, PathBuf>,
    ) -> Result<Plan, KafkaError> {
        check_directories(node, metadata)?;
        if let Some(topic) = excluded.iter().find(|topic| metadata.image.topic_by_name(topic).is_none()) {
            return Err(KafkaError::NoSuchTopic { topic: topic.clone() });
        }
        let mut plan = Plan { node: BrokerId(node.node_id), ..Plan::default() };
        let mut found = node.partitions();
        for topic in metadata.image.topics() {
            let is_excluded = excluded.iter().any(|name| **name == *topic.name);
            if is_excluded {
                plan.left_out.push(format!("topic {}: left out as asked", topic.name));
                found.retain(|(topic_id, _), _| *topic_id != topic.topic_id);
                continue;
            }
            check_replicas(topic, plan.node)?;
            for (index, partition) in &topic.partitions {
                let key = (topic.topic_id, index.0);
                let planned = match found.remove(&key) {
                    Some((dir, at)) => {
                        let offset = |offsets| LogDir::offset_of(offsets, &topic.name, index.0);
                        PlannedPartition {
                            recovery_point: offset(&dir.recovery_points),
                            log_start: offset(&dir.log_starts),
                            is_clean: dir.is_clean,
                            bytes: check_segments(&at.path, &topic.name)?,
                            ..planned(topic, *index, partition, at.path.clone())
                        }
                    }
                    None => plan_moved(node, topic, *index, partition, moved)?,
                };
                plan.partitions.push(planned);
            }
            plan.note_replicas(topic);
        }
        plan.left_out.extend(metadata.left_out());
        plan.left_out.extend(metadata.configs(plan.node).1);
        let unclaimed = found.values().map(|(_, dir)| &dir.path);
        let unclaimed = unclaimed.chain(node.dirs.iter().flat_map(|dir| &dir.others));
        plan.left_out.extend(unclaimed.map(|dir| format!("{}: no topic claims it", dir.display())));
        plan.note_node(node, metadata);
        Ok(plan)
    }

    fn note_replicas(&mut self, topic: &Topic) {
        let node = self.node;
        let behind = topic.partitions.values().filter(|partition| {
            partition.replicas.len() > 1
                && !partition.isr.contains(&node)
                && !partition.eligible_leader_replicas.contains(&node)
        });
        let behind = behind.count();
        if behind > 0 {
            self.notes.push(format!(
                "topic {}: {} was not in sync here when this node stopped, and may lack the newest records",
                topic.name,
                plural(behind, "partition")
            ));
        }
        if topic.replication_factor() > 1 {
            self.notes.push(format!(
                "topic {}: one replica of {} is taken",
                topic.name,
                topic.replication_factor()
            ));
        }
    }

    fn note_node(&mut self, node: &KafkaNode, metadata: &KafkaMetadata) {
        if !node.is_clean() {
            self.notes.push("Kafka was not stopped cleanly: logs were recovered as after a crash".to_owned());
        }
        for path in node.dirs.iter().flat_map(|dir| &dir.unreadable) {
            self.notes.push(format!(
                "{} cannot be read: logs are read whole, and records that DeleteRecords hid are back",
                path.display()
            ));
        }
        let torn_bytes = metadata.log_end.torn_bytes;
        if torn_bytes > 0 {
            self.notes.push(format!(
                "metadata: {torn_bytes} bytes behind the last whole batch were written when Kafka died, and are left"
            ));
        }
        if metadata.controllers.len() > 1 {
            self.notes.push(format!(
                "the metadata of {} controllers is taken as this node has it",
                metadata.controllers.len()
            ));
        }
    }
}

/// Every log directory of the node was named.
fn check_directories(node: &KafkaNode, metadata: &KafkaMetadata) -> Result<(), KafkaError> {
    let node_id = node.node_id;
    let registered = metadata.brokers.get(&BrokerId(node_id)).ok_or(KafkaError::NoBroker { node_id })?;
    let named = |id: &TopicId| node.dirs.iter().any(|dir| dir.meta.directory_id == *id);
    match registered.iter().find(|id| !named(id)) {
        Some(id) => Err(KafkaError::DirectoryNotNamed { node_id, directory_id: id.to_string() }),
        None => Ok(()),
    }
}

/// A topic with partitions that only other nodes have would come over with holes.
fn check_replicas(topic: &Topic, node: BrokerId) -> Result<(), KafkaError> {
    let elsewhere = topic.partitions.iter().filter(|(_, partition)| !partition.replicas.contains(&node));
    let elsewhere: Vec<String> =
        elsewhere.map(|(index, _)| names::partition_dir(&topic.name, index.0)).collect();
    if elsewhere.is_empty() {
        return Ok(());
    }
    let examples = elsewhere.iter().take(EXAMPLES_MAX).cloned().collect::<Vec<_>>().join(", ");
    let topic = topic.name.to_string();
    Err(KafkaError::NotHere { topic, count: elsewhere.len(), examples, node_id: node.0 })
}

fn planned(topic: &Topic, index: PartitionIndex, partition: &Partition, from: PathBuf) -> PlannedPartition {
    PlannedPartition {
        topic: Arc::clone(&topic.name),
        topic_id: topic.topic_id,
        index,
        from,
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        recovery_point: Offset(0),
        log_start: Offset(0),
        is_clean: false,
        bytes: 0,
    }
}

/// A partition that Kafka's directories lack: moved by an earlier run, or not named. The checkpoints that know it
/// are Kafka's still.
fn plan_moved(
    node: &KafkaNode,
    topic: &Topic,
    index: PartitionIndex,
    partition: &Partition,
    moved: &BTreeMap<String, PathBuf>,
) -> Result<PlannedPartition, KafkaError> {
    let missing = || KafkaError::Missing { topic: topic.name.to_string(), partition: index.0 };
    let at = moved.get(&names::partition_dir(&topic.name, index.0)).ok_or_else(missing)?;
    let key = (topic.name.to_string(), index.0);
    let known = |offsets: &logspine_storage::checkpoint::Offsets| offsets.get(&key).copied();
    let first = |of: fn(&super::super::node::KafkaLogDir) -> &logspine_storage::checkpoint::Offsets| {
        node.dirs.iter().find_map(|dir| known(of(dir))).unwrap_or_default()
    };
    Ok(PlannedPartition {
        recovery_point: first(|dir| &dir.recovery_points),
        log_start: first(|dir| &dir.log_starts),
        bytes: check_segments(at, &topic.name)?,
        ..planned(topic, index, partition, at.clone())
    })
}

/// The bytes of a partition's segments, whose first records must be of format 2. Formats only ever rise in a log, so
/// the first record of a segment speaks for it unless it was upgraded in the middle; then what came before was
/// older, and some segment begins with that.
fn check_segments(dir: &Path, topic: &str) -> Result<u64, KafkaError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).map_err(io_at("list", dir))? {
        let path = entry.map_err(io_at("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !matches!(names::parse_segment_file(name), Some((_, names::LOG))) {
            continue;
        }
        let file = File::open(&path).map_err(io_at("open", &path))?;
        let len_bytes = file.metadata().map_err(io_at("measure", &path))?.len();
        bytes += len_bytes;
        let mut magic = [2];
        if len_bytes > MAGIC_POSITION {
            file.read_exact_at(&mut magic, MAGIC_POSITION).map_err(io_at("read", &path))?;
        }
        let magic = i8::from_be_bytes(magic);
        if matches!(magic, 0 | 1) && starts_with_a_message(&file, len_bytes).map_err(io_at("read", &path))? {
            return Err(KafkaError::OldFormat { path, magic, topic: topic.to_owned() });
        }
    }
    Ok(bytes)
}

/// Zeros that were allocated ahead look like format 0 and are none: a message has a length.
fn starts_with_a_message(file: &File, len_bytes: u64) -> std::io::Result<bool> {
    let mut length = [0; 4];
    file.read_exact_at(&mut length, 8)?;
    Ok((14..=len_bytes.saturating_sub(12)).contains(&u64::from(u32::from_be_bytes(length))))
}
