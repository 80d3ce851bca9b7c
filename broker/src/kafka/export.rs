//! `logspine export-kafka`: gives partitions back to a stopped Apache Kafka node that has the same topics.
//!
//! A partition's directory is made beside Kafka's under a name that Kafka would remove, and the two are exchanged in
//! one step; so a crash leaves each partition old or new. Then the checkpoints follow, and at last one batch goes
//! behind Kafka's metadata log: clients have seen our leader epochs and producer ids, and must not meet lower ones.
//! Run again after a crash it does what is left. Both brokers must have stopped cleanly.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use logspine_cluster::metadata::{CLUSTER_METADATA_TOPIC_NAME, MetadataRecord, Partition, Topic};
use logspine_protocol::types::{BrokerId, Offset, PartitionIndex, TopicId};
use logspine_storage::checkpoint::{self, Offsets};
use logspine_storage::{LogDir, RealDisk, names};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use super::error::{KafkaError, io_at, plural};
use super::import::transfer::{self, Mode};
use super::metadata::KafkaMetadata;
use super::metadata_log::{self, Tail};
use super::node::{KafkaLogDir, KafkaNode};
use crate::cli::output::{OutputArgs, table};
use crate::clock;

const EXAMPLES: &str = "\
Examples:
  logspine export-kafka /var/lib/kafka --data-dir /var/lib/logspine

Both brokers must have stopped cleanly. Partitions that Kafka has under the same topic id are replaced by ours, and
its metadata log gets one batch with our leader epochs and producer ids. Topics that Kafka does not know are named
and left. Other replicas of these partitions must be emptied, so that they are fetched anew.
Exit codes: 0 done, 1 refused.";

/// `logspine export-kafka`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportKafkaCommand {
    /// The log directories of the Kafka node (log.dirs), and metadata.log.dir if that is another
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Our data directory
    #[arg(long, value_name = "OURS", default_value = "./data")]
    data_dir: PathBuf,
    /// Copy sealed segments, too, instead of linking them
    #[arg(long)]
    copy: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// One partition that both sides have.
struct Given<'n> {
    topic: Arc<Topic>,
    index: PartitionIndex,
    dir: &'n KafkaLogDir,
    log_start: Offset,
    log_end: Offset,
}

/// Which offset of a partition a checkpoint holds.
type Position = fn(&Given<'_>) -> Offset;

impl ExportKafkaCommand {
    /// Exports and prints what was given.
    pub fn run(self) -> ExitCode {
        let printed = self.export().map(|report| self.output.print(|| report.table(), || report.json()));
        match printed {
            Ok(Ok(())) => ExitCode::SUCCESS,
            Ok(Err(failure)) => failure.report(),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn export(&self) -> Result<Report, KafkaError> {
        let node = KafkaNode::open(&self.dirs)?;
        if let Some(dir) = node.dirs.iter().find(|dir| !dir.is_clean) {
            return Err(KafkaError::NotClean { path: dir.path.clone() });
        }
        let theirs = KafkaMetadata::read(&node.metadata_dir, Tail::Whole)?;
        let source = LogDir::open(Arc::new(RealDisk), &self.data_dir)?;
        if !self.data_dir.join(names::CLEAN_SHUTDOWN).exists() {
            return Err(KafkaError::NotClean { path: self.data_dir.clone() });
        }
        let ours = KafkaMetadata::read(&source.partition_path(CLUSTER_METADATA_TOPIC_NAME, 0), Tail::Whole)?;
        let (given, left_out) = plan(&node, &theirs, &ours, &source)?;
        let mode = if self.copy { Mode::Copy } else { Mode::Link };
        for partition in &given {
            replace(&source, partition, mode)?;
        }
        for dir in &node.dirs {
            write_checkpoints(dir, &given)?;
        }
        let records = metadata_records(&node, &theirs, &ours, &given);
        if !records.is_empty() {
            let now_ms = clock::wall_ms();
            metadata_log::append(&node.metadata_dir, theirs.log_end, now_ms, &records)?;
        }
        Ok(Report::new(&given, left_out))
    }
}

/// What both have, by topic id; and a sentence for what only one of them has.
fn plan<'n>(
    node: &'n KafkaNode,
    theirs: &KafkaMetadata,
    ours: &KafkaMetadata,
    source: &LogDir,
) -> Result<(Vec<Given<'n>>, Vec<String>), KafkaError> {
    let (log_starts, log_ends) = (source.log_starts()?, source.recovery_points()?);
    let found = node.partitions();
    let (mut given, mut left_out) = (Vec::new(), Vec::new());
    for topic in ours.image.topics() {
        let known = theirs.image.topic_by_id(topic.topic_id).is_some();
        if !known {
            let reason = match theirs.image.topic_by_name(&topic.name) {
                Some(_) => "Kafka's topic of this name has another id",
                None => "Kafka has no such topic",
            };
            left_out.push(format!("topic {}: {reason}", topic.name));
            continue;
        }
        for index in topic.partitions.keys() {
            match found.get(&(topic.topic_id, index.0)) {
                Some((dir, _)) => given.push(Given {
                    topic: Arc::clone(topic),
                    index: *index,
                    dir,
                    log_start: LogDir::offset_of(&log_starts, &topic.name, index.0),
                    log_end: LogDir::offset_of(&log_ends, &topic.name, index.0),
                }),
                None => left_out.push(format!("{}-{}: Kafka has no directory of it", topic.name, index.0)),
            }
        }
    }
    let is_unknown = |topic: &&Arc<Topic>| ours.image.topic_by_id(topic.topic_id).is_none();
    let kept = theirs.image.topics().filter(is_unknown);
    left_out.extend(kept.map(|topic| format!("topic {}: only Kafka has it, it stays as it is", topic.name)));
    Ok((given, left_out))
}

/// Exchanges Kafka's directory of a partition for a duplicate of ours.
fn replace(source: &LogDir, partition: &Given<'_>, mode: Mode) -> Result<(), KafkaError> {
    let (name, index) = (&partition.topic.name, partition.index.0);
    // Kafka removes a directory of this name at its start, whatever a crash left in it.
    let beside = partition.dir.path.join(names::deleted_partition_dir(name, index, partition.topic.topic_id));
    if beside.exists() {
        std::fs::remove_dir_all(&beside).map_err(io_at("remove", &beside))?;
    }
    transfer::duplicate(&source.partition_path(name, index), &beside, partition.log_end, mode)?;
    let place = partition.dir.path.join(names::partition_dir(name, index));
    renameat_with(CWD, &beside, CWD, &place, RenameFlags::EXCHANGE)
        .map_err(|errno| io_at("exchange", &place)(errno.into()))?;
    transfer::sync_dir(&partition.dir.path)?;
    std::fs::remove_dir_all(&beside).map_err(io_at("remove", &beside))
}

/// The checkpoints of one of Kafka's directories: what was given, beside what stays.
fn write_checkpoints(dir: &KafkaLogDir, given: &[Given<'_>]) -> Result<(), KafkaError> {
    let (starts, ends): (Position, Position) =
        (|partition| partition.log_start, |partition| partition.log_end);
    let files = [
        (names::LOG_START_CHECKPOINT, starts),
        (names::RECOVERY_POINT_CHECKPOINT, ends),
        (names::REPLICATION_CHECKPOINT, ends),
    ];
    for (name, offset) in files {
        let path = dir.path.join(name);
        let mut offsets: Offsets = checkpoint::read(&RealDisk, &path)?;
        for partition in given.iter().filter(|partition| std::ptr::eq(partition.dir, dir)) {
            offsets.insert((partition.topic.name.to_string(), partition.index.0), offset(partition));
        }
        checkpoint::write(&RealDisk, &path, &offsets)?;
    }
    Ok(())
}

/// What Kafka's controller must know before it elects the next leaders: their epochs go on above ours.
fn metadata_records(
    node: &KafkaNode,
    theirs: &KafkaMetadata,
    ours: &KafkaMetadata,
    given: &[Given<'_>],
) -> Vec<Vec<u8>> {
    let at = |metadata: &KafkaMetadata, partition: &Given<'_>| -> Option<Partition> {
        let topic = metadata.image.topic_by_id(partition.topic.topic_id)?;
        topic.partitions.get(&partition.index).cloned()
    };
    let mut records = Vec::new();
    for partition in given {
        let (Some(known), Some(our)) = (at(theirs, partition), at(ours, partition)) else { continue };
        if our.leader_epoch > known.leader_epoch {
            let (leader_epoch, partition_epoch) = (our.leader_epoch, known.partition_epoch + 1);
            let raised = Partition { leader_epoch, partition_epoch, ..known };
            let (topic_id, index) = (partition.topic.topic_id, partition.index);
            records.push(MetadataRecord::Partition { topic_id, index, partition: raised }.encode());
        }
    }
    let next_producer_id = ours.image.next_producer_id();
    if next_producer_id > theirs.image.next_producer_id() {
        let broker_id = BrokerId(node.node_id);
        let broker_epoch = theirs.image.broker(broker_id).map_or(-1, |broker| broker.epoch);
        records.push(MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id }.encode());
    }
    records
}

/// What was given, topic by topic, and what was not.
struct Report {
    /// By name: id, partitions, lowest and highest offset.
    topics: BTreeMap<String, (TopicId, usize, Offset, Offset)>,
    left_out: Vec<String>,
}

impl Report {
    fn new(given: &[Given<'_>], left_out: Vec<String>) -> Report {
        let mut topics = BTreeMap::new();
        for partition in given {
            let begin = (partition.topic.topic_id, 0, Offset(i64::MAX), Offset(0));
            let (_, count, from, to) = topics.entry(partition.topic.name.to_string()).or_insert(begin);
            *count += 1;
            *from = partition.log_start.min(*from);
            *to = partition.log_end.max(*to);
        }
        Report { topics, left_out }
    }

    fn table(&self) -> String {
        let rows = self.topics.iter().map(|(name, (_, count, from, to))| {
            vec![name.clone(), count.to_string(), from.to_string(), to.to_string()]
        });
        let mut text = table(&["TOPIC", "PARTITIONS", "FROM", "TO"], rows.collect());
        text += &format!("\n\n{} given back to Kafka\n", plural(self.topics.len(), "topic"));
        if !self.left_out.is_empty() {
            text += &format!("\nNot given:\n  {}\n", self.left_out.join("\n  "));
        }
        text
    }

    fn json(&self) -> Value {
        let topics = self.topics.iter().map(|(name, (topic_id, count, from, to))| {
            json!({
                "name": name,
                "id": topic_id.to_string(),
                "partitions": count,
                "firstOffset": from.0,
                "endOffset": to.0,
            })
        });
        json!({ "topics": topics.collect::<Vec<_>>(), "notGiven": self.left_out })
    }
}
