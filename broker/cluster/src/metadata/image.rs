//! The state that the metadata log adds up to, and the one function that changes it: `replay`.
//!
//! Maps are ordered, so two images that replayed the same records are equal to the byte. The large ones share their
//! trees between images (`rpds`): a clone for publication costs a few counters, and a change copies one path of a
//! tree. Measured in a debug build, the 10,000th topic took 0.06 ms so, and 49 ms with maps copied on first write.
//! No lookups here know the wire.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use logspine_protocol::types::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
use rpds::RedBlackTreeMapSync as SharedMap;

use super::configs::{CleanupPolicy, ConfigMap, Layers, TopicConfig};
use super::record::{LeaderChange, MetadataRecord, PartitionChange};
use super::topic_name::{collision_key, is_internal};

/// Where one listener of a broker is reached. `security_protocol` is Kafka's number (0 = PLAINTEXT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub listener: String,
    pub host: String,
    pub port: u16,
    pub security_protocol: i16,
}

/// A registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: BrokerId,
    /// Grows with every registration in the cluster; guards against a broker's earlier life.
    pub epoch: i64,
    /// Drawn anew by every broker process.
    pub incarnation_id: TopicId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    /// A fenced broker is registered, but gets no partitions and leads none.
    pub fenced: bool,
    pub log_dirs: Vec<TopicId>,
}

impl Broker {
    /// The endpoint of a listener, by its name.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }
}

/// One partition, as the controller decided it. A leader of -1 is no leader.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partition {
    /// In order of preference: the first should lead.
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    /// Raised by every change.
    pub partition_epoch: i32,
    pub removing_replicas: Vec<BrokerId>,
    pub adding_replicas: Vec<BrokerId>,
    /// 1 while a leader that was elected uncleanly has not recovered.
    pub leader_recovery_state: i8,
    /// The directory of each replica; zero where none is assigned.
    pub directories: Vec<TopicId>,
    pub eligible_leader_replicas: Vec<BrokerId>,
    pub last_known_elr: Vec<BrokerId>,
}

/// A topic and its partitions, by index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: Arc<str>,
    pub topic_id: TopicId,
    pub partitions: BTreeMap<PartitionIndex, Partition>,
}

impl Topic {
    pub fn replication_factor(&self) -> usize {
        self.partitions.values().next().map_or(0, |partition| partition.replicas.len())
    }
}

/// What a setting belongs to. The number is Kafka's `ConfigResource.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceType {
    Topic = 2,
    Broker = 4,
}

/// A topic's name, a broker's id in decimal, or the empty name for the default of all brokers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    pub kind: ResourceType,
    pub name: String,
}

impl ConfigResource {
    pub fn topic(name: &str) -> Self {
        Self { kind: ResourceType::Topic, name: name.to_owned() }
    }

    pub fn broker(id: BrokerId) -> Self {
        Self { kind: ResourceType::Broker, name: id.to_string() }
    }

    /// The default of all brokers.
    pub fn cluster() -> Self {
        Self { kind: ResourceType::Broker, name: String::new() }
    }
}

/// The whole cluster, as of some record of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataImage {
    topics: SharedMap<TopicId, Arc<Topic>>,
    names: SharedMap<Arc<str>, TopicId>,
    /// From a name with every '.' as '_' to the topic that bears it.
    collisions: SharedMap<String, TopicId>,
    brokers: Arc<BTreeMap<BrokerId, Broker>>,
    configs: SharedMap<ConfigResource, ConfigMap>,
    features: Arc<BTreeMap<String, i16>>,
    next_producer_id: i64,
    last_broker_epoch: i64,
}

static NO_CONFIGS: ConfigMap = ConfigMap::new();

/// What differs between two images, topic by topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicsDelta {
    /// New, or with any change of a partition.
    pub changed: Vec<Arc<Topic>>,
    pub removed: Vec<Arc<Topic>>,
}

impl MetadataImage {
    /// In order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.names.values().filter_map(|id| self.topics.get(id))
    }

    pub fn topic_count(&self) -> usize {
        self.topics.size()
    }

    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.names.get(name).and_then(|id| self.topics.get(id))
    }

    pub fn topic_by_id(&self, topic_id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&topic_id)
    }

    /// A topic whose name would be the same metric as `name`, this very name included.
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.collisions.get(&collision_key(name)).and_then(|id| self.topics.get(id))
    }

    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    /// The settings of one resource; empty when it has none.
    pub fn configs(&self, resource: &ConfigResource) -> &ConfigMap {
        self.configs.get(resource).unwrap_or(&NO_CONFIGS)
    }

    /// Every resource that has settings.
    pub fn configured(&self) -> impl Iterator<Item = (&ConfigResource, &ConfigMap)> {
        self.configs.iter()
    }

    /// Finalized feature levels, by name.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    pub fn next_producer_id(&self) -> i64 {
        self.next_producer_id
    }

    pub fn last_broker_epoch(&self) -> i64 {
        self.last_broker_epoch
    }

    /// The layers in which the settings of a topic are looked up on one broker.
    pub fn topic_layers<'a>(&'a self, topic: &str, broker: BrokerId, file: &'a ConfigMap) -> Layers<'a> {
        Layers { topic: self.configs(&ConfigResource::topic(topic)), ..self.broker_layers(broker, file) }
    }

    /// The layers in which a broker's own settings are looked up.
    pub fn broker_layers<'a>(&'a self, broker: BrokerId, file: &'a ConfigMap) -> Layers<'a> {
        Layers {
            topic: &NO_CONFIGS,
            broker: self.configs(&ConfigResource::broker(broker)),
            cluster: self.configs(&ConfigResource::cluster()),
            file,
        }
    }

    /// A topic's settings as one broker sees them. The broker's own topics hold state, not history: whatever a
    /// setting or a default says, nothing is removed from them by age or size.
    pub fn topic_config(&self, topic: &str, broker: BrokerId, file: &ConfigMap) -> TopicConfig {
        let mut config = TopicConfig::resolve(&self.topic_layers(topic, broker, file));
        if is_internal(topic) {
            config.cleanup_policy = CleanupPolicy { delete: false, compact: true };
        }
        config
    }

    /// Which topics differ from an earlier image: one walk over both, comparing pointers before contents.
    pub fn topics_since(&self, before: &MetadataImage) -> TopicsDelta {
        let mut delta = TopicsDelta::default();
        let (mut old, mut new) = (before.topics.iter().peekable(), self.topics.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return delta,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((old_id, _)), Some((new_id, _))) => old_id.cmp(new_id),
            };
            let old_topic = if order.is_le() { old.next() } else { None };
            let new_topic = if order.is_ge() { new.next() } else { None };
            match (old_topic, new_topic) {
                (Some((_, old)), Some((_, new))) if Arc::ptr_eq(old, new) || old == new => {}
                (_, Some((_, new))) => delta.changed.push(Arc::clone(new)),
                (Some((_, old)), None) => delta.removed.push(Arc::clone(old)),
                (None, None) => {}
            }
        }
    }

    /// Resources whose settings differ from an earlier image, those that lost them all included.
    pub fn configs_since(&self, before: &MetadataImage) -> Vec<ConfigResource> {
        let changed = self.configs.iter().filter(|(resource, set)| before.configs(resource) != *set);
        let emptied = before.configs.keys().filter(|resource| !self.configs.contains_key(*resource));
        changed.map(|(resource, _)| resource).chain(emptied).cloned().collect()
    }

    /// Applies one committed record. Total: a record about something that is gone changes nothing.
    pub fn replay(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::NoOp => {}
            MetadataRecord::FeatureLevel { name, level: 0 } => {
                Arc::make_mut(&mut self.features).remove(name);
            }
            MetadataRecord::FeatureLevel { name, level } => {
                Arc::make_mut(&mut self.features).insert(name.clone(), *level);
            }
            MetadataRecord::RegisterBroker(broker) => {
                self.last_broker_epoch = self.last_broker_epoch.max(broker.epoch);
                Arc::make_mut(&mut self.brokers).insert(broker.id, broker.clone());
            }
            MetadataRecord::Topic { name, topic_id } => self.replay_topic(name, *topic_id),
            MetadataRecord::RemoveTopic { topic_id } => self.replay_remove_topic(*topic_id),
            MetadataRecord::Partition { topic_id, index, partition } => {
                if let Some(topic) = self.topic_mut(*topic_id) {
                    topic.partitions.insert(*index, partition.clone());
                }
            }
            MetadataRecord::PartitionChange(change) => self.replay_partition_change(change),
            MetadataRecord::Config { resource, name, value } => {
                self.replay_config(resource, name, value.as_deref());
            }
            MetadataRecord::ProducerIds { next_producer_id, .. } => self.next_producer_id = *next_producer_id,
        }
    }

    fn topic_mut(&mut self, topic_id: TopicId) -> Option<&mut Topic> {
        self.topics.get_mut(&topic_id).map(Arc::make_mut)
    }

    fn replay_topic(&mut self, name: &str, topic_id: TopicId) {
        let name: Arc<str> = name.into();
        self.names.insert_mut(name.clone(), topic_id);
        self.collisions.insert_mut(collision_key(&name), topic_id);
        let topic = Topic { name, topic_id, partitions: BTreeMap::new() };
        self.topics.insert_mut(topic_id, Arc::new(topic));
    }

    fn replay_remove_topic(&mut self, topic_id: TopicId) {
        let Some(topic) = self.topics.get(&topic_id).cloned() else { return };
        self.topics.remove_mut(&topic_id);
        self.names.remove_mut(&topic.name);
        self.collisions.remove_mut(&collision_key(&topic.name));
        self.configs.remove_mut(&ConfigResource::topic(&topic.name));
    }

    fn replay_partition_change(&mut self, change: &PartitionChange) {
        let partition =
            self.topic_mut(change.topic_id).and_then(|topic| topic.partitions.get_mut(&change.index));
        let Some(partition) = partition else { return };
        partition.partition_epoch += 1;
        if let LeaderChange::To(leader) = change.leader {
            partition.leader = leader;
            partition.leader_epoch = LeaderEpoch(partition.leader_epoch.0 + 1);
        }
        replace(&mut partition.isr, &change.isr);
        replace(&mut partition.replicas, &change.replicas);
        replace(&mut partition.removing_replicas, &change.removing_replicas);
        replace(&mut partition.adding_replicas, &change.adding_replicas);
        replace(&mut partition.leader_recovery_state, &change.leader_recovery_state);
        replace(&mut partition.directories, &change.directories);
        replace(&mut partition.eligible_leader_replicas, &change.eligible_leader_replicas);
        replace(&mut partition.last_known_elr, &change.last_known_elr);
    }

    fn replay_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) {
        let mut set = self.configs(resource).clone();
        match value {
            Some(value) => drop(set.insert(name.to_owned(), value.to_owned())),
            None => drop(set.remove(name)),
        }
        if set.is_empty() {
            self.configs.remove_mut(resource);
        } else {
            self.configs.insert_mut(resource.clone(), set);
        }
    }

    /// The records that rebuild this image from nothing: the content of a snapshot.
    pub fn records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        let features = self.features.iter();
        records.extend(
            features.map(|(name, level)| MetadataRecord::FeatureLevel { name: name.clone(), level: *level }),
        );
        records.extend(self.brokers.values().cloned().map(MetadataRecord::RegisterBroker));
        for topic in self.topics() {
            let topic_id = topic.topic_id;
            records.push(MetadataRecord::Topic { name: topic.name.to_string(), topic_id });
            records.extend(topic.partitions.iter().map(|(index, partition)| MetadataRecord::Partition {
                topic_id,
                index: *index,
                partition: partition.clone(),
            }));
        }
        for (resource, set) in self.configs.iter() {
            records.extend(set.iter().map(|(name, value)| MetadataRecord::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
        if self.next_producer_id > 0 {
            let (broker_id, broker_epoch) = (BrokerId(-1), -1);
            let next_producer_id = self.next_producer_id;
            records.push(MetadataRecord::ProducerIds { broker_id, broker_epoch, next_producer_id });
        }
        records
    }
}

fn replace<T: Clone>(field: &mut T, change: &Option<T>) {
    if let Some(new) = change {
        *field = new.clone();
    }
}
