//! A pool: brokers that share one pod template and one kind of volume.
//!
//! Deliberately not a PodTemplate: an embedded one weighs more than `kubectl apply` can store, and most
//! of its fields would let a user break what the operator promises. Each field here ends up in the
//! StatefulSet (`controllers/cluster/build/stateful_set.rs`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Brokers of one kind.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Name of the pool; part of the names of its pods and volumes.
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Number of brokers. More than one is refused until brokers replicate.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    #[x_kube(validation = Rule::new("self == 1")
        .message("replicas must be 1: brokers do not replicate yet, so a second broker would not protect any data"))]
    pub replicas: i32,
    /// The volume of each broker.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("storage cannot be changed after creation: growing volumes is not supported yet"))]
    pub storage: Storage,
    /// CPU and memory of the broker's container.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// Labels that a node must bear to be given a broker.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the brokers tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact_list::<Toleration>")]
    pub tolerations: Vec<Toleration>,
    /// Rules about nodes and neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::compact::<Affinity>")]
    pub affinity: Option<Affinity>,
    /// How brokers spread over zones and nodes. Without a labelSelector the pool's own pods are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::compact_list::<TopologySpreadConstraint>")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
    /// Names of the Secrets that hold registry credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,
    /// Labels of the pods, beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    #[x_kube(validation = Rule::new(
        "self.all(k, !k.startsWith('logspine.dev/') && !k.startsWith('app.kubernetes.io/'))")
        .message("labels under logspine.dev/ and app.kubernetes.io/ belong to the operator"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods, beside the operator's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    #[x_kube(validation = Rule::new("self.all(k, !k.startsWith('logspine.dev/'))")
        .message("annotations under logspine.dev/ belong to the operator"))]
    pub annotations: BTreeMap<String, String>,
    /// How long a broker may take to stop before Kubernetes kills it.
    #[serde(default = "default_grace")]
    #[schemars(range(min = 1, max = 3600))]
    pub termination_grace_period_seconds: i64,
}

/// The volume of one broker.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of the volume, such as `100Gi`.
    #[schemars(schema_with = "schema::quantity")]
    pub size: String,
    /// StorageClass of the volume; the cluster's default class when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
}

/// CPU and memory, as in a Pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What the scheduler reserves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::amounts")]
    pub requests: BTreeMap<String, IntOrString>,
    /// What the container may not exceed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::amounts")]
    pub limits: BTreeMap<String, IntOrString>,
}

impl Resources {
    /// True when neither requests nor limits are given.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.limits.is_empty()
    }
}

fn one() -> i32 {
    1
}

fn default_grace() -> i64 {
    60
}
