//! `GET /status`: one broker's own account of itself, which the operator reads.
//!
//! Field names are part of the interface between broker and operator; a field may be added, none renamed.
//! Before the broker serves, counts are 0 and the recovery counters say how far it is.

use std::path::PathBuf;
use std::sync::Arc;

use logspine_storage::{SetAside, files_set_aside};
use serde::Serialize;

use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::lifecycle::Lifecycle;
use crate::partition::PartitionHandle;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    broker_id: i32,
    cluster_id: String,
    version: &'static str,
    state: &'static str,
    ready: bool,
    /// First 16 hex digits of the SHA-256 of the configuration file; empty without one.
    config_hash: String,
    leaders: usize,
    replicas: usize,
    under_replicated: usize,
    offline: usize,
    under_min_isr: usize,
    disk_used_bytes: u64,
    disk_total_bytes: u64,
    /// `writable`, `full` or `readOnly`; empty before the broker serves.
    disk_state: &'static str,
    /// Partitions that refuse writes, for a while or for good; reads go on.
    refusing_writes: usize,
    started_ms: i64,
    recovery: Recovery,
    /// Batches that do not read back from the disk and are not served.
    damaged_batches: Vec<DamagedBatch>,
    /// Partitions whose log cannot be opened, and why.
    offline_partitions: Vec<OfflinePartition>,
    /// Files that this process could not read and moved out of the way, as far as they are listed.
    files_set_aside: Vec<FileSetAside>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfflinePartition {
    topic: String,
    partition: i32,
    reason: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileSetAside {
    file: String,
    kept: String,
    reason: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DamagedBatch {
    topic: String,
    partition: i32,
    file: String,
    position: u64,
    offset: i64,
    reason: String,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recovery {
    partitions_done: u32,
    partitions_total: u32,
}

impl Status {
    pub fn of(config: &BrokerConfig, lifecycle: &Lifecycle, broker: Option<&Arc<Broker>>) -> Status {
        let (partitions_done, partitions_total) = lifecycle.recovery();
        let mut status = Status {
            broker_id: config.node_id,
            cluster_id: config.cluster_id.clone().unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION"),
            state: lifecycle.state().name(),
            ready: lifecycle.is_ready(),
            config_hash: config.file_hash.clone(),
            started_ms: lifecycle.started_ms(),
            recovery: Recovery { partitions_done, partitions_total },
            ..Status::default()
        };
        if let Some(broker) = broker {
            status.add(broker);
        }
        status
    }

    fn add(&mut self, broker: &Broker) {
        self.cluster_id.clone_from(&broker.identity.cluster_id);
        let partitions = broker.partitions.all();
        let failed = partitions.iter().filter(|partition| !partition.is_healthy()).count();
        self.offline = failed + broker.partitions.offline().len();
        self.replicas = partitions.len() + broker.partitions.offline().len();
        self.leaders = partitions.len() - failed;
        self.refusing_writes = partitions.iter().filter(|partition| !partition.takes_writes()).count();
        self.disk_state = broker.partitions.disk().state().name();
        self.damaged_batches = partitions.iter().flat_map(|partition| damaged_batches(partition)).collect();
        self.offline_partitions = offline_partitions(broker);
        self.files_set_aside = files_set_aside().1.into_iter().map(FileSetAside::of).collect();
        if let Some(space) = broker.partitions.disk().space() {
            self.disk_total_bytes = space.total_bytes;
            self.disk_used_bytes = space.total_bytes.saturating_sub(space.available_bytes);
        }
    }
}

impl FileSetAside {
    fn of(aside: SetAside) -> FileSetAside {
        let text = |path: PathBuf| path.display().to_string();
        FileSetAside { file: text(aside.path), kept: text(aside.kept), reason: aside.reason }
    }
}

fn offline_partitions(broker: &Broker) -> Vec<OfflinePartition> {
    let image = broker.metadata.image();
    let offline = broker.partitions.offline().into_iter().map(|((topic_id, partition), reason)| {
        let topic =
            image.topic_by_id(topic_id).map_or_else(|| topic_id.to_string(), |topic| topic.name.to_string());
        OfflinePartition { topic, partition, reason }
    });
    let mut offline: Vec<_> = offline.collect();
    offline.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    offline
}

fn damaged_batches(partition: &PartitionHandle) -> impl Iterator<Item = DamagedBatch> {
    partition.view().log().damaged_batches().into_iter().map(|damage| DamagedBatch {
        topic: partition.topic.to_string(),
        partition: partition.index,
        file: damage.path.display().to_string(),
        position: damage.position,
        offset: damage.offset.0,
        reason: damage.reason,
    })
}
