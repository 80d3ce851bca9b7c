//! Series per partition and per topic, written from the local replicas and the metadata image at scrape.
//!
//! Names are kafka_exporter's and the JMX exporter's. Families are written one after the other, so the list of
//! partitions is walked once per family; nothing is allocated per series. Offsets are those that consumers
//! see: `current` is the high watermark, `oldest` the log start.

use std::collections::BTreeMap;
use std::sync::Arc;

use logspine_storage::files_set_aside;

use super::Exposition;
use crate::broker::Broker;
use crate::partition::{DiskState, PartitionHandle};

pub fn write(page: &mut Exposition, broker: &Broker) {
    let mut partitions = broker.partitions.all();
    partitions.sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
    offsets(page, &partitions);
    leadership(page, broker, &partitions);
    traffic(page, &partitions);
    cluster(page, broker, &partitions);
    cold(page, broker, &partitions);
    disk(page, broker, &partitions);
}

fn disk(page: &mut Exposition, broker: &Broker, partitions: &Partitions) {
    let disk = broker.partitions.disk();
    if let Some(space) = disk.space() {
        page.family("logspine_disk_size_bytes");
        page.sample(&[], space.total_bytes);
        page.family("logspine_disk_available_bytes");
        page.sample(&[], space.available_bytes);
    }
    page.family("logspine_disk_state");
    for state in [DiskState::Writable, DiskState::Full, DiskState::ReadOnly] {
        page.sample(&[("state", &state.name())], i32::from(disk.state() == state));
    }
    page.family("logspine_disk_refused_appends_total");
    page.sample(&[], disk.refused_appends());
    page.family("logspine_partitions_slow");
    page.sample(&[], partitions.iter().filter(|partition| partition.is_slow()).count());
    page.family("logspine_partitions_refusing_writes");
    page.sample(&[], partitions.iter().filter(|partition| !partition.takes_writes()).count());
}

type Partitions = [Arc<PartitionHandle>];

/// One family with one sample per partition.
fn per_partition(
    page: &mut Exposition,
    partitions: &Partitions,
    family: &'static str,
    value: impl Fn(&PartitionHandle) -> i64,
) {
    page.family(family);
    for partition in partitions {
        page.sample(&[("topic", &partition.topic), ("partition", &partition.index)], value(partition));
    }
}

fn offsets(page: &mut Exposition, partitions: &Partitions) {
    let current = "kafka_topic_partition_current_offset";
    per_partition(page, partitions, current, |partition| partition.view().high_watermark().0);
    let oldest = "kafka_topic_partition_oldest_offset";
    per_partition(page, partitions, oldest, |partition| partition.view().log_start_offset().0);
    let size = "kafka_log_log_size";
    per_partition(page, partitions, size, |partition| partition.view().size_bytes() as i64);
    let end = "kafka_log_log_logendoffset";
    per_partition(page, partitions, end, |partition| partition.view().log_end_offset().0);
}

fn leadership(page: &mut Exposition, broker: &Broker, partitions: &Partitions) {
    let node = i64::from(broker.node_id());
    let families: [(&'static str, i64); 7] = [
        ("kafka_topic_partition_leader", node),
        ("kafka_topic_partition_leader_is_preferred", 1),
        ("kafka_topic_partition_replicas", 1),
        ("kafka_topic_partition_in_sync_replica", 1),
        ("kafka_topic_partition_under_replicated_partition", 0),
        ("kafka_cluster_partition_atminisr", 1),
        ("kafka_cluster_partition_underminisr", 0),
    ];
    for (family, value) in families {
        per_partition(page, partitions, family, |_| value);
    }
}

/// Bytes and records per topic.
fn traffic(page: &mut Exposition, partitions: &Partitions) {
    let mut topics: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for partition in partitions {
        let sums = topics.entry(&partition.topic).or_default();
        for (sum, counter) in sums.iter_mut().zip(partition.traffic.read()) {
            *sum += counter;
        }
    }
    let families = [
        "kafka_server_brokertopicmetrics_bytesin_total",
        "kafka_server_brokertopicmetrics_messagesin_total",
        "kafka_server_brokertopicmetrics_bytesout_total",
    ];
    for (position, family) in families.into_iter().enumerate() {
        page.family(family);
        for (topic, sums) in &topics {
            page.sample(&[("topic", topic)], sums[position]);
        }
    }
}

/// What was read from the disk, and what did not read back.
fn cold(page: &mut Exposition, broker: &Broker, partitions: &Partitions) {
    page.family("logspine_cold_reads_waiting");
    page.sample(&[], broker.cold_reads.waiting());
    page.family("logspine_replay_cache_bytes");
    page.sample(&[], broker.cold_reads.replayed_bytes());
    page.family("logspine_files_set_aside_total");
    page.sample(&[], files_set_aside().0);
    page.family("logspine_damaged_batch_offset");
    for partition in partitions {
        for damage in partition.view().log().damaged_batches() {
            let file = damage.path.file_name().unwrap_or_default().to_string_lossy();
            page.sample(
                &[
                    ("topic", &partition.topic),
                    ("partition", &partition.index),
                    ("file", &file),
                    ("position", &damage.position),
                ],
                damage.offset.0,
            );
        }
    }
}

/// Figures of the whole broker and cluster.
fn cluster(page: &mut Exposition, broker: &Broker, partitions: &Partitions) {
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    for partition in partitions {
        *topics.entry(&partition.topic).or_default() += 1;
    }
    page.family("kafka_topic_partitions");
    for (topic, count) in &topics {
        page.sample(&[("topic", topic)], count);
    }
    page.family("kafka_brokers");
    page.sample(&[], 1);
    page.family("kafka_broker_info");
    for listener in broker.config.listeners.iter().take(1) {
        let address = format!("{}:{}", listener.advertised_host, listener.advertised_port);
        page.sample(&[("id", &broker.node_id()), ("address", &address)], 1);
    }
    let closed = broker.partitions.offline().len();
    let offline = closed + partitions.iter().filter(|partition| !partition.is_healthy()).count();
    let gauges: [(&'static str, usize); 8] = [
        ("kafka_server_replicamanager_partitioncount", partitions.len()),
        ("kafka_server_replicamanager_leadercount", partitions.len()),
        ("kafka_server_replicamanager_underreplicatedpartitions", 0),
        ("kafka_server_replicamanager_underminisrpartitioncount", 0),
        ("kafka_server_replicamanager_offlinereplicacount", offline),
        ("kafka_controller_kafkacontroller_activecontrollercount", 1),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", offline),
        ("kafka_log_logmanager_offlinelogdirectorycount", 0),
    ];
    for (family, value) in gauges {
        page.family(family);
        page.sample(&[], value);
    }
}
