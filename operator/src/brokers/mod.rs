//! What the operator asks of brokers, as two narrow traits.
//!
//! Planners see only the values below, never a client. The real implementations are `wire.rs` (Kafka's
//! protocol through `logspine_client`) and `status.rs` (the admin HTTP endpoint); fakes exist in tests
//! only. A broker that cannot be asked is an answer of its own (`AdminError::Unreachable`): a probe that
//! fails never means yes.

pub mod connections;
pub mod status;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

/// Why brokers did not do what they were asked.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdminError {
    /// No broker answered, or none could decide yet. Asking again later is right.
    #[error("no broker answers: {message}")]
    Unreachable {
        /// What the last attempt said.
        message: String,
        /// For how long nothing has been heard.
        silent_for: Duration,
    },
    /// A broker refused. Asking again without a change is pointless.
    #[error("{message}")]
    Refused {
        /// Kafka's name of the error.
        code: String,
        /// Kafka's words.
        message: String,
    },
}

/// A topic as brokers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActualTopic {
    /// Its id, as Kafka prints it.
    pub id: String,
    /// Its partitions in order.
    pub partitions: Vec<ActualPartition>,
    /// Its configuration: every key the brokers know.
    pub config: BTreeMap<String, ConfigValue>,
}

/// A partition as brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActualPartition {
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// How many replicas it has.
    pub replicas: i32,
    /// How many of them are in sync.
    pub in_sync: i32,
}

/// One configuration value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// The value in effect.
    pub value: String,
    /// True when it is set on the topic itself and no default.
    pub overridden: bool,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions.
    pub partitions: i32,
    /// How many copies of each; the brokers' default when absent.
    pub replication_factor: Option<i32>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
}

/// Changes of a topic's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Keys to set.
    pub set: BTreeMap<String, String>,
    /// Keys to reset to their default.
    pub reset: BTreeSet<String>,
}

/// A cluster as brokers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActualCluster {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// The active controller, if known.
    pub controller_id: Option<i32>,
    /// Ids of the registered brokers.
    pub brokers: Vec<i32>,
}

/// What is asked through Kafka's protocol.
pub trait BrokerAdmin: Send + Sync {
    /// Describe the cluster.
    fn cluster(&self) -> BoxFuture<'_, Result<ActualCluster, AdminError>>;
    /// Describe a topic and its configuration; `None` when it does not exist.
    fn describe_topic<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<ActualTopic>, AdminError>>;
    /// Create a topic.
    fn create_topic<'a>(&'a self, topic: &'a NewTopic) -> BoxFuture<'a, Result<(), AdminError>>;
    /// Raise the number of partitions to `total`.
    fn add_partitions<'a>(&'a self, name: &'a str, total: i32) -> BoxFuture<'a, Result<(), AdminError>>;
    /// Change a topic's configuration.
    fn alter_config<'a>(
        &'a self,
        name: &'a str,
        change: &'a ConfigChange,
    ) -> BoxFuture<'a, Result<(), AdminError>>;
    /// Delete the topic with this id.
    fn delete_topic<'a>(&'a self, topic_id: &'a str) -> BoxFuture<'a, Result<(), AdminError>>;
}

/// Makes the admin client of a cluster from its bootstrap address.
pub type AdminFactory = Arc<dyn Fn(&str) -> Arc<dyn BrokerAdmin> + Send + Sync>;

/// What a broker's admin endpoint says about itself (`GET /status`).
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BrokerReport {
    /// The broker's id.
    pub broker_id: i32,
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Version of the broker.
    pub version: String,
    /// `starting`, `recovering`, `running` or `stopping`.
    pub state: String,
    /// Whether it serves clients.
    pub ready: bool,
    /// Hash of the configuration file that it runs with.
    pub config_hash: String,
    /// Partitions that it leads.
    pub leaders: i32,
    /// Replicas that it holds.
    pub replicas: i32,
    /// Partitions it leads with replicas missing from the in-sync set.
    pub under_replicated: i32,
    /// Partitions without a leader.
    pub offline: i32,
    /// Partitions with fewer in-sync replicas than their minimum.
    pub under_min_isr: i32,
    /// Bytes used on the data volume.
    pub disk_used_bytes: u64,
    /// Size of the data volume.
    pub disk_total_bytes: u64,
}

/// What is asked through the admin endpoint, which answers during recovery too.
pub trait BrokerProbe: Send + Sync {
    /// The report of the broker whose pod has this address; `None` when it does not answer.
    fn report<'a>(&'a self, pod_ip: &'a str) -> BoxFuture<'a, Option<BrokerReport>>;
}
