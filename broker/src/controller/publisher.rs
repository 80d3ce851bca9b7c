//! From an image to the partitions of this broker: opens, configures and deletes what changed between two images.
//!
//! New and changed partitions are opened before the image is shown to anybody; deleted ones go after it was. A
//! partition that cannot be opened is offline and hinders no other. Those of a start are opened behind the image, by
//! the threads of `partition/recovery.rs`. Kafka: `BrokerMetadataPublisher`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use logspine_cluster::metadata::configs::{ConfigMap, TopicConfig, broker_number};
use logspine_cluster::metadata::{
    CLUSTER_METADATA_TOPIC_NAME, ConfigResource, MetadataImage, Partition, ResourceType, Topic, TopicsDelta,
    is_internal,
};
use logspine_protocol::types::{BrokerId, Offset, PartitionIndex};
use logspine_replica::LeaderWord;
use logspine_replica::metadata_log::MetadataLogError;

use super::METADATA_PARTITION;
use crate::clock;
use crate::config::BrokerConfig;
use crate::lifecycle::Lifecycle;
use crate::partition::{PartitionSpec, Recovery, Registry, disk_error};

const LAG_TIME_MAX_MS_DEFAULT: i64 = 30_000;

pub struct Publisher {
    broker: BrokerId,
    /// The broker's own configuration file: the weakest layer of a topic's settings.
    file: ConfigMap,
    partitions: Arc<Registry>,
    threads: usize,
}

impl Publisher {
    pub fn new(broker: BrokerId, config: &BrokerConfig, partitions: Arc<Registry>) -> Self {
        let threads = config.log_dir.num_recovery_threads;
        Self { broker, file: config.properties.clone(), partitions, threads }
    }

    /// The metadata log is durable up to here; the next checkpoint says so.
    pub fn note_recovery_point(&self, durable_end: Offset) {
        self.partitions.note_recovery_point(CLUSTER_METADATA_TOPIC_NAME, METADATA_PARTITION, durable_end);
    }

    /// The disk refused a write of the metadata log.
    pub fn disk_failed(&self, error: &MetadataLogError) {
        if let Some(error) = disk_error(error) {
            self.partitions.disk().failed(error);
        }
    }

    /// Everything that lives here is known from now on, opened behind our back, and counted for `/status`. Groups
    /// and transactions first: who comes back asks for them.
    pub fn publish_first(
        &self,
        image: &MetadataImage,
        lifecycle: &Arc<Lifecycle>,
    ) -> std::io::Result<Recovery> {
        let nothing = MetadataImage::default();
        let mut specs = self.specs(&nothing, image, &image.topics_since(&nothing));
        specs.sort_by_key(|spec| !is_internal(&spec.topic));
        lifecycle.recovery_total(u32::try_from(specs.len()).unwrap_or(u32::MAX));
        self.partitions.expect(specs);
        Recovery::start(&self.partitions, lifecycle, self.threads)
    }

    /// What must be true before `after` is shown: its partitions are open, its settings taken.
    pub fn before_image(&self, before: &MetadataImage, after: &MetadataImage, delta: &TopicsDelta) {
        self.open(&self.specs(before, after, delta));
        for topic in self.reconfigured(before, after) {
            let config = Arc::new(after.topic_config(&topic.name, self.broker, &self.file));
            self.partitions.configure_topic(topic.topic_id, &config);
        }
    }

    /// What is left to do once nobody can find the old topics any more.
    pub fn after_image(&self, delta: &TopicsDelta) {
        for topic in &delta.removed {
            self.partitions.delete_topic(topic.topic_id);
        }
    }

    /// The partitions that this broker leads and that are new or changed.
    fn specs(
        &self,
        before: &MetadataImage,
        after: &MetadataImage,
        delta: &TopicsDelta,
    ) -> Vec<PartitionSpec> {
        let layers = after.broker_layers(self.broker, &self.file);
        let lag_time_max_ms = broker_number("replica.lag.time.max.ms", &layers);
        let lag_time_max_ms = lag_time_max_ms.unwrap_or(LAG_TIME_MAX_MS_DEFAULT);
        let mut specs = Vec::new();
        for topic in &delta.changed {
            let known = before.topic_by_id(topic.topic_id);
            let is_known = |index: &PartitionIndex, partition: &Partition| {
                known.and_then(|topic| topic.partitions.get(index)) == Some(partition)
            };
            let mut changed = topic
                .partitions
                .iter()
                .filter(|(index, partition)| partition.leader == self.broker && !is_known(index, partition))
                .peekable();
            if changed.peek().is_some() {
                let config = Arc::new(after.topic_config(&topic.name, self.broker, &self.file));
                specs.extend(changed.map(|(index, partition)| {
                    spec(topic, Arc::clone(&config), (*index, partition), lag_time_max_ms)
                }));
            }
        }
        specs
    }

    /// Opens on up to `threads` threads; one by one when there is but one to open.
    fn open(&self, specs: &[PartitionSpec]) {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(spec) = specs.get(next.fetch_add(1, Ordering::Relaxed)) {
                // The registry logs a failure and remembers the partition as offline.
                let _ = self.partitions.open(clock::steady_ms(), spec.clone());
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.min(specs.len()) {
                scope.spawn(work);
            }
            work();
        });
    }

    /// Topics that stood in both images and whose settings may have changed.
    fn reconfigured<'a>(&self, before: &MetadataImage, after: &'a MetadataImage) -> Vec<&'a Arc<Topic>> {
        let changed = after.configs_since(before);
        let own = ConfigResource::broker(self.broker);
        let is_default =
            |resource: &ConfigResource| *resource == own || *resource == ConfigResource::cluster();
        if changed.iter().any(is_default) {
            return after.topics().collect();
        }
        let of_topics = changed.iter().filter(|resource| resource.kind == ResourceType::Topic);
        let names: BTreeSet<&str> = of_topics.map(|resource| resource.name.as_str()).collect();
        names.into_iter().filter_map(|name| after.topic_by_name(name)).collect()
    }
}

fn spec(
    topic: &Topic,
    config: Arc<TopicConfig>,
    (index, partition): (PartitionIndex, &Partition),
    lag_time_max_ms: i64,
) -> PartitionSpec {
    let leader = LeaderWord {
        leader_epoch: partition.leader_epoch,
        partition_epoch: partition.partition_epoch,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
        min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(1),
        lag_time_max_ms,
    };
    PartitionSpec { topic: Arc::clone(&topic.name), topic_id: topic.topic_id, index: index.0, config, leader }
}
