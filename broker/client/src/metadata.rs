//! What the cluster looks like: its brokers, its topics, who leads which partition.
//!
//! `ClusterView` is a value, replaced as a whole; readers hold an `Arc` of one moment. Topics are learnt when
//! somebody asks for them, kept for `metadata_max_age`, and forgotten by whoever found them wrong. Filled from
//! Metadata responses by `client.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use logspine_protocol::messages::metadata::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use logspine_protocol::types::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};

use crate::error::ClientError;

/// One partition of one topic, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// By name.
    pub topic: String,
    /// From 0.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// The pair of both.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: PartitionIndex(partition) }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition.0)
    }
}

/// A broker and where it listens for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// Its `node.id`.
    pub id: BrokerId,
    /// As the broker advertises it to us.
    pub host: String,
    /// As the broker advertises it to us.
    pub port: u16,
    /// Its `broker.rack`.
    pub rack: Option<String>,
}

impl BrokerEndpoint {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// A topic as the cluster describes it; partitions are in order of their index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Unique among the topics of this moment.
    pub name: String,
    /// Zero where the broker is older than topic ids (Kafka 2.8).
    pub topic_id: TopicId,
    /// In order of index.
    pub partitions: Vec<PartitionDescription>,
    /// Kept by the cluster for itself, such as `__consumer_offsets`.
    pub internal: bool,
}

/// A partition as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// From 0.
    pub index: PartitionIndex,
    /// None while there is no leader.
    pub leader: Option<BrokerId>,
    /// How many leaders it has had; -1 from brokers that do not tell.
    pub leader_epoch: LeaderEpoch,
    /// Who keeps it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Who of them is in sync.
    pub isr: Vec<BrokerId>,
    /// Who of them is not there.
    pub offline: Vec<BrokerId>,
}

impl TopicDescription {
    pub(crate) fn from_response(topic: &MetadataResponseTopic<'_>) -> Self {
        let mut partitions: Vec<_> =
            topic.partitions.iter().map(PartitionDescription::from_response).collect();
        partitions.sort_by_key(|partition| partition.index);
        Self {
            name: topic.name.as_deref().unwrap_or_default().to_owned(),
            topic_id: topic.topic_id,
            partitions,
            internal: topic.is_internal,
        }
    }

    /// The partition with this index.
    pub fn partition(&self, index: PartitionIndex) -> Result<&PartitionDescription, ClientError> {
        self.partitions.iter().find(|partition| partition.index == index).ok_or_else(|| {
            ClientError::NoSuchPartition {
                topic: self.name.clone(),
                partition: index.0,
                partitions: self.partitions.len(),
            }
        })
    }

    /// Who leads the partition with this index.
    pub fn leader(&self, index: PartitionIndex) -> Result<BrokerId, ClientError> {
        let no_leader = || ClientError::NoLeader { topic: self.name.clone(), partition: index.0 };
        self.partition(index)?.leader.ok_or_else(no_leader)
    }
}

impl PartitionDescription {
    fn from_response(partition: &MetadataResponsePartition) -> Self {
        let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
        Self {
            index: PartitionIndex(partition.partition_index),
            leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: brokers(&partition.replica_nodes),
            isr: brokers(&partition.isr_nodes),
            offline: brokers(&partition.offline_replicas),
        }
    }
}

/// The cluster at one moment, as far as it was asked about.
#[derive(Debug, Clone, Default)]
pub struct ClusterView {
    /// None from brokers that do not tell.
    pub cluster_id: Option<String>,
    /// Who answers changes of metadata.
    pub controller: Option<BrokerId>,
    /// All that are not fenced.
    pub brokers: BTreeMap<BrokerId, BrokerEndpoint>,
    topics: BTreeMap<String, KnownTopic>,
}

#[derive(Debug, Clone)]
struct KnownTopic {
    description: Arc<TopicDescription>,
    fetched_at: Instant,
}

/// The latest view, shared by everything that belongs to one client.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    view: RwLock<Arc<ClusterView>>,
    /// Held while a refresh runs, so that many that miss the same topic ask once.
    pub(crate) refreshing: tokio::sync::Mutex<()>,
}

impl Metadata {
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The topic, if it is known and not older than `max_age`.
    pub(crate) fn topic(&self, name: &str, max_age: Duration) -> Option<Arc<TopicDescription>> {
        let view = self.view();
        let known = view.topics.get(name)?;
        (known.fetched_at.elapsed() <= max_age).then(|| known.description.clone())
    }

    /// Forgets a description that proved wrong, unless somebody has replaced it since.
    pub(crate) fn forget(&self, wrong: &Arc<TopicDescription>) {
        self.change(|view| {
            if view.topics.get(&wrong.name).is_some_and(|known| Arc::ptr_eq(&known.description, wrong)) {
                view.topics.remove(&wrong.name);
            }
        });
    }

    pub(crate) fn forget_topic(&self, name: &str) {
        self.change(|view| {
            view.topics.remove(name);
        });
    }

    /// Takes over the brokers of the response and the topics it described without an error.
    pub(crate) fn absorb<'a>(
        &self,
        response: &MetadataResponse<'_>,
        topics: impl Iterator<Item = &'a Arc<TopicDescription>>,
    ) {
        let fetched_at = Instant::now();
        self.change(|view| {
            view.cluster_id = response.cluster_id.as_deref().map(str::to_owned);
            view.controller = (response.controller_id >= 0).then_some(BrokerId(response.controller_id));
            view.brokers = brokers_of(response);
            for description in topics {
                let known = KnownTopic { description: description.clone(), fetched_at };
                view.topics.insert(description.name.clone(), known);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut ClusterView)) {
        let mut guard = self.view.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut guard));
    }
}

fn brokers_of(response: &MetadataResponse<'_>) -> BTreeMap<BrokerId, BrokerEndpoint> {
    let endpoint = |broker: &logspine_protocol::messages::metadata::MetadataResponseBroker<'_>| {
        let id = BrokerId(broker.node_id);
        let port = u16::try_from(broker.port).ok()?;
        let rack = broker.rack.as_deref().map(str::to_owned);
        Some((id, BrokerEndpoint { id, host: broker.host.clone().into_owned(), port, rack }))
    };
    response.brokers.iter().filter_map(endpoint).collect()
}
