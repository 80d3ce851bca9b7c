//! Series per partition and per topic, written from the local replicas and the metadata image at scrape.
//!
//! Names are kafka_exporter's and the JMX exporter's. Families are written one after the other, so the list of
//! partitions is walked once per family; nothing is allocated per series. Offsets are those that consumers
//! see: `current` is the high watermark, `oldest` the log start.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Exposition;
use crate::broker::Broker;
use crate::partition::PartitionHandle;

pub fn write(page: &mut Exposition, broker: &Broker) {
    let mut partitions = broker.partitions.all();
    partitions.sort_by(|a, b| (&a.topic, a.index).cmp(&(&b.topic, b.index)));
    offsets(page, &partitions);
    leadership(page, broker, &partitions);
    traffic(page, &partitions);
    cluster(page, broker, &partitions);
}

type Partitions = [Arc<PartitionHandle>];

/// One family with one sample per partition.
fn per_partition(
    page: &mut Exposition,
    partitions: &Partitions,
    (name, help): (&'static str, &str),
    value: impl Fn(&PartitionHandle) -> i64,
) {
    page.family(name, "gauge", help);
    for partition in partitions {
        page.sample(&[("topic", &partition.topic), ("partition", &partition.index)], value(partition));
    }
}

fn offsets(page: &mut Exposition, partitions: &Partitions) {
    let current = ("kafka_topic_partition_current_offset", "The high watermark.");
    per_partition(page, partitions, current, |partition| partition.view().high_watermark().0);
    let oldest = ("kafka_topic_partition_oldest_offset", "The log start offset.");
    per_partition(page, partitions, oldest, |partition| partition.view().log_start_offset().0);
    let size = ("kafka_log_log_size", "Bytes of the partition's segments.");
    per_partition(page, partitions, size, |partition| partition.view().size_bytes() as i64);
    let end = ("kafka_log_log_logendoffset", "The log end offset, flushed or not.");
    per_partition(page, partitions, end, |partition| partition.view().log_end_offset().0);
}

fn leadership(page: &mut Exposition, broker: &Broker, partitions: &Partitions) {
    let node = i64::from(broker.node_id());
    let families: [((&'static str, &str), i64); 7] = [
        (("kafka_topic_partition_leader", "The leader's node id."), node),
        (("kafka_topic_partition_leader_is_preferred", "1 if the first replica leads."), 1),
        (("kafka_topic_partition_replicas", "Replicas."), 1),
        (("kafka_topic_partition_in_sync_replica", "Replicas in sync."), 1),
        (("kafka_topic_partition_under_replicated_partition", "1 if a replica is not in sync."), 0),
        (("kafka_cluster_partition_atminisr", "1 if as few replicas are in sync as allowed."), 1),
        (("kafka_cluster_partition_underminisr", "1 if fewer replicas are in sync than allowed."), 0),
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
    let families: [(&'static str, &str); 3] = [
        ("kafka_server_brokertopicmetrics_bytesin_total", "Bytes of record batches appended, by topic."),
        ("kafka_server_brokertopicmetrics_messagesin_total", "Records appended, by topic."),
        ("kafka_server_brokertopicmetrics_bytesout_total", "Bytes of record batches fetched, by topic."),
    ];
    for (position, (name, help)) in families.into_iter().enumerate() {
        page.family(name, "counter", help);
        for (topic, sums) in &topics {
            page.sample(&[("topic", topic)], sums[position]);
        }
    }
}

/// Figures of the whole broker and cluster.
fn cluster(page: &mut Exposition, broker: &Broker, partitions: &Partitions) {
    let mut topics: BTreeMap<&str, usize> = BTreeMap::new();
    for partition in partitions {
        *topics.entry(&partition.topic).or_default() += 1;
    }
    page.family("kafka_topic_partitions", "gauge", "Partitions of the topic.");
    for (topic, count) in &topics {
        page.sample(&[("topic", topic)], count);
    }
    page.family("kafka_brokers", "gauge", "Brokers in the cluster.");
    page.sample(&[], 1);
    page.family("kafka_broker_info", "gauge", "Each broker and its address.");
    for listener in broker.config.listeners.iter().take(1) {
        let address = format!("{}:{}", listener.advertised_host, listener.advertised_port);
        page.sample(&[("id", &broker.node_id()), ("address", &address)], 1);
    }
    let offline = partitions.iter().filter(|partition| !partition.is_healthy()).count();
    let gauges: [(&'static str, &str, usize); 8] = [
        ("kafka_server_replicamanager_partitioncount", "Replicas on this broker.", partitions.len()),
        ("kafka_server_replicamanager_leadercount", "Partitions led by this broker.", partitions.len()),
        ("kafka_server_replicamanager_underreplicatedpartitions", "Led here, with a replica not in sync.", 0),
        ("kafka_server_replicamanager_underminisrpartitioncount", "Led here, under the minimum in sync.", 0),
        ("kafka_server_replicamanager_offlinereplicacount", "Replicas that refuse writes.", offline),
        ("kafka_controller_kafkacontroller_activecontrollercount", "1 on the active controller.", 1),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions without a leader.", offline),
        ("kafka_log_logmanager_offlinelogdirectorycount", "Failed data directories.", 0),
    ];
    for (name, help, value) in gauges {
        page.family(name, "gauge", help);
        page.sample(&[], value);
    }
}
