//! What an import took and what it did not: a table for people, JSON for scripts.

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::super::error::plural;
use super::super::metadata::KafkaMetadata;
use super::super::node::KafkaNode;
use super::groups::Groups;
use super::plan::{Plan, PlannedPartition};
use super::take_over::Taken;
use crate::cli::output::table;

pub struct Report {
    cluster_id: String,
    node_id: i32,
    data_dir: PathBuf,
    topics: Vec<TopicReport>,
    pub groups: Groups,
    next_producer_id: i64,
    notes: Vec<String>,
    left_out: Vec<String>,
}

struct TopicReport {
    name: String,
    topic_id: String,
    partitions: Vec<(i32, Taken)>,
}

impl Report {
    pub fn new(node: &KafkaNode, metadata: &KafkaMetadata, plan: &Plan, data_dir: &Path) -> Report {
        Report {
            cluster_id: node.cluster_id.clone(),
            node_id: node.node_id,
            data_dir: data_dir.to_path_buf(),
            topics: Vec::new(),
            groups: Groups::default(),
            next_producer_id: metadata.image.next_producer_id(),
            notes: plan.notes.clone(),
            left_out: plan.left_out.clone(),
        }
    }

    /// Partitions come in the order of the plan.
    pub fn took(&mut self, partition: &PlannedPartition, taken: Taken) {
        let name = partition.name();
        for open in &taken.open_transactions {
            let (id, offset) = (open.producer_id, open.first_offset);
            self.notes.push(if open.is_aborted {
                format!("{name}: the open transaction of producer {id} from offset {offset} on was aborted")
            } else {
                format!(
                    "{name}: a transaction of producer {id} hangs: read_committed stops at offset {offset} for good \
                     (import again with --abort-open-transactions to end it)"
                )
            });
        }
        if taken.cut_bytes > 0 {
            let bytes = taken.cut_bytes;
            self.notes.push(format!("{name}: {bytes} bytes behind the last whole batch were moved aside"));
        }
        if self.topics.last().is_none_or(|topic| *topic.name != *partition.topic) {
            let topic_id = partition.topic_id.to_string();
            let name = partition.topic.to_string();
            self.topics.push(TopicReport { name, topic_id, partitions: Vec::new() });
        }
        if let Some(topic) = self.topics.last_mut() {
            topic.partitions.push((partition.index.0, taken));
        }
    }

    pub fn table(&self) -> String {
        let rows = self.topics.iter().map(TopicReport::row).collect();
        let mut text = table(&["TOPIC", "PARTITIONS", "FROM", "TO", "BYTES"], rows);
        let partitions: usize = self.topics.iter().map(|topic| topic.partitions.len()).sum();
        let bytes =
            self.topics.iter().flat_map(|topic| &topic.partitions).map(|(_, taken)| taken.size_bytes).sum();
        text += &format!(
            "\n\n{}, {}, {}; {} with {}\n",
            plural(self.topics.len(), "topic"),
            plural(partitions, "partition"),
            HumanBytes(bytes),
            plural(self.groups.groups, "consumer group"),
            plural(self.groups.offsets, "committed offset"),
        );
        for (heading, sentences) in [("Note:", &self.notes), ("Not taken:", &self.left_out)] {
            if !sentences.is_empty() {
                text += &format!("\n{heading}\n  {}\n", sentences.join("\n  "));
            }
        }
        let (data_dir, node_id) = (self.data_dir.display(), self.node_id);
        text + &format!("\nStart it: logspine broker --data-dir {data_dir} --override node.id={node_id}")
    }

    pub fn json(&self) -> Value {
        json!({
            "clusterId": self.cluster_id,
            "nodeId": self.node_id,
            "dataDir": self.data_dir,
            "topics": self.topics.iter().map(TopicReport::json).collect::<Vec<_>>(),
            "groups": self.groups.groups,
            "committedOffsets": self.groups.offsets,
            "nextProducerId": self.next_producer_id,
            "notes": self.notes,
            "notTaken": self.left_out,
        })
    }
}

impl TopicReport {
    /// The lowest and the highest offset of its partitions.
    fn row(&self) -> Vec<String> {
        let taken = || self.partitions.iter().map(|(_, taken)| taken);
        let from = taken().map(|taken| taken.log_start.0).min().unwrap_or_default();
        let to = taken().map(|taken| taken.log_end.0).max().unwrap_or_default();
        let bytes: u64 = taken().map(|taken| taken.size_bytes).sum();
        let count = self.partitions.len();
        vec![self.name.clone(), count.to_string(), from.to_string(), to.to_string(), bytes.to_string()]
    }

    fn json(&self) -> Value {
        let partition = |(index, taken): &(i32, Taken)| {
            let open = taken.open_transactions.iter().map(|open| {
                json!({
                    "producerId": open.producer_id.0,
                    "firstOffset": open.first_offset.0,
                    "aborted": open.is_aborted,
                })
            });
            json!({
                "partition": index,
                "firstOffset": taken.log_start.0,
                "endOffset": taken.log_end.0,
                "bytes": taken.size_bytes,
                "bytesMovedAside": taken.cut_bytes,
                "openTransactions": open.collect::<Vec<_>>(),
            })
        };
        json!({
            "name": self.name,
            "id": self.topic_id,
            "partitions": self.partitions.iter().map(partition).collect::<Vec<_>>(),
        })
    }
}
