//! What the operator says about a Cluster.
//!
//! Nothing in here changes without a cause in the cluster: no time stamps of passes, no counters, no disk
//! percentages. A converged cluster therefore causes no writes. `clusterId` and `restart` are also the
//! operator's memory: they are recorded before the effect they announce (`controllers/cluster/status.rs`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CLUSTER_CONDITIONS, schema};

/// Observed state of a Cluster.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::not_reconciled(&CLUSTER_CONDITIONS)))]
pub struct ClusterStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Kafka's cluster id: made once, then stamped on the volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Ready brokers of wanted brokers, such as `1/1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_brokers: Option<String>,
    /// Version of the brokers, as they report it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `ok`, or how many partitions are offline or under their minimum of in-sync replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Id of the active controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller_id: Option<i32>,
    /// One entry per broker, from the broker's own answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub brokers: Vec<BrokerStatus>,
    /// Where clients connect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub listeners: Vec<ListenerStatus>,
    /// The restart that is under way, recorded before the pod is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// One broker.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerStatus {
    /// The broker's id.
    pub id: i32,
    /// Its pod.
    pub pod: String,
    /// Its volume claim.
    pub pvc: String,
    /// What it is doing.
    pub state: BrokerState,
    /// Version that it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Hash of the configuration file that it runs with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// Partitions that it leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaders: Option<i32>,
    /// Replicas that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Partitions it leads with replicas missing from the in-sync set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_replicated: Option<i32>,
    /// Partitions without a leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<i32>,
    /// Partitions with fewer in-sync replicas than min.insync.replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_min_isr: Option<i32>,
    /// Why it must be restarted, when it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_needed: Option<String>,
}

/// What a broker is doing.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum BrokerState {
    /// There is no pod.
    Missing,
    /// The pod is not running yet.
    Pending,
    /// The container cannot start or keeps failing.
    Failing,
    /// The process is up and not yet recovering.
    Starting,
    /// The logs are being recovered.
    Recovering,
    /// It serves clients.
    Running,
    /// It is shutting down.
    Stopping,
    /// The container runs and the broker does not answer.
    Unreachable,
}

/// Where clients of one listener connect.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Name of the listener.
    pub name: String,
    /// `host:port` to bootstrap from; `<node>` stands for the address of any node.
    pub bootstrap: String,
}

/// A restart that is under way.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// The broker's id.
    pub broker: i32,
    /// Its pod.
    pub pod: String,
    /// The pod that goes; a pod with another uid is already the replacement.
    pub pod_uid: String,
    /// Why.
    pub reason: String,
    /// Why it does not go on, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}
