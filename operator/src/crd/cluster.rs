//! `Cluster`: brokers, their volumes, their listeners and their configuration.
//!
//! Refusals are CEL rules in the schema, so that the API server says no in words and no admission webhook
//! stands in its way. Each rule has a test in `tests.rs`. `controllers/cluster/validate.rs` checks again
//! what matters for safety, because an object may be older than the rule.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ClusterStatus, Pool, schema};

/// A Kafka-compatible cluster of Logspine brokers.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "logspine.dev",
    version = "v1alpha1",
    kind = "Cluster",
    plural = "clusters",
    namespaced,
    cel,
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A Kafka-compatible cluster of Logspine brokers.",
    category = "all",
    category = "logspine",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Brokers", type_ = "string", json_path = ".status.readyBrokers"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Controller", type_ = "integer", json_path = ".status.controllerId", priority = 1),
    printcolumn(name = "Storage", type_ = "string", json_path = ".spec.pools[0].storage.size", priority = 1),
    validation = Rule::new("self.metadata.name.size() <= 32 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("the name must be at most 32 characters of a-z, 0-9 and '-', begin with a letter and end with a letter or digit: pods and services are named after it")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSpec {
    /// The broker's image. Changing it restarts the brokers, one by one, by the operator's decision.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Groups of brokers. Exactly one for now.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.size() == 1")
            .message("exactly one pool is supported: brokers do not replicate yet"),
        validation = Rule::new("oldSelf.all(old, self.exists(new, new.name == old.name))")
            .message("a pool cannot be removed or renamed: its volumes hold the only copy of the data")
    )]
    pub pools: Vec<Pool>,
    /// Where clients connect.
    #[serde(default = "default_listeners")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(
        merge_strategy = ListMerge::Map(vec!["name".into()]),
        validation = Rule::new("self.exists_one(l, l.type == 'internal')")
            .message("exactly one listener must be of type internal"),
        validation = Rule::new("self.all(a, self.exists_one(b, b.port == a.port))")
            .message("each listener needs a port of its own")
    )]
    pub listeners: Vec<Listener>,
    /// Broker configuration by Kafka's own keys. Changing it restarts the brokers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::config")]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-z][a-z0-9._-]*$'))")
            .message("config keys consist of a-z, 0-9, '.', '_' and '-'"),
        validation = Rule::new("self.all(k, !self[k].matches('[\\\\\\\\\\\\n\\\\r]'))")
            .message("config values must not contain a line break or a backslash"),
        validation = Rule::new("self.all(k, !(k in ['node.id', 'broker.id', 'process.roles', 'cluster.id', 'listeners', 'advertised.listeners', 'listener.security.protocol.map', 'inter.broker.listener.name', 'log.dir', 'log.dirs', 'metadata.log.dir', 'admin.listeners']))")
            .message("node.id, broker.id, process.roles, cluster.id, listeners, advertised.listeners, listener.security.protocol.map, inter.broker.listener.name, log.dir, log.dirs, metadata.log.dir and admin.listeners belong to the operator"),
        validation = Rule::new("self.all(k, !k.startsWith('controller.') && !k.startsWith('zookeeper.'))")
            .message("controller.* and zookeeper.* belong to the operator"),
        validation = Rule::new("self.all(k, !k.startsWith('ssl.') && !k.startsWith('sasl.') && !k.startsWith('security.') && !k.startsWith('listener.name.') && k != 'authorizer.class.name')")
            .message("ssl.*, sasl.*, security.*, listener.name.* and authorizer.class.name are not supported yet, and ignoring them would weaken security")
    )]
    pub config: BTreeMap<String, String>,
    /// What becomes of the volumes when the Cluster is deleted.
    #[serde(default)]
    pub deletion_policy: ClusterDeletionPolicy,
    /// True stops all writing; reading and status go on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// One address on which brokers accept clients.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[x_kube(
    validation = Rule::new("self.type == 'nodePort' || !has(self.nodePort)")
        .message("nodePort may be set only on a listener of type nodePort")
)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Name of the listener; brokers know it in upper case.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    pub name: String,
    /// `internal`: pods of this Kubernetes cluster. `nodePort`: clients outside, by a port of the node.
    #[serde(rename = "type")]
    pub type_: ListenerType,
    /// Port of the container.
    #[schemars(range(min = 1024, max = 65535))]
    #[x_kube(validation = Rule::new("self != 9644").message("port 9644 is the brokers' admin port"))]
    pub port: i32,
    /// The node's port; Kubernetes chooses one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub node_port: Option<i32>,
}

/// How a listener is reached.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ListenerType {
    /// By the pods' DNS names.
    Internal,
    /// By a port of the node.
    NodePort,
}

/// What becomes of the volumes when the Cluster is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ClusterDeletionPolicy {
    /// They stay, and a Cluster of the same name takes them up again.
    #[default]
    Retain,
    /// They are deleted with the Cluster.
    DeleteVolumes,
}

fn default_listeners() -> Vec<Listener> {
    vec![Listener { name: "internal".into(), type_: ListenerType::Internal, port: 9092, node_port: None }]
}
