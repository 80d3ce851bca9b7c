//! `Topic`: a topic of a Cluster in the same namespace.
//!
//! Only the keys that stand in `config` are the operator's: a key with a value is held at that value, a
//! key that is taken out again is reset to its default, a key with `null` and a key that was never there
//! are left alone. What a rule can refuse is refused here; what depends on the brokers is refused by
//! `controllers/topic/plan.rs` with a condition. Rules read a value that may be null through
//! `'%s'.format([..])`, which says `null`: comparing it with null does not type-check. Only `==` and `in` may
//! follow: the API server counts the text as unbounded, and refuses the definition for what `matches` would cost.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TopicStatus, schema};

/// A topic of a Cluster.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "logspine.dev",
    version = "v1alpha1",
    kind = "Topic",
    plural = "topics",
    namespaced,
    cel,
    status = "TopicStatus",
    derive = "PartialEq",
    doc = "A topic of a Logspine Cluster in the same namespace.",
    category = "all",
    category = "logspine",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.clusterRef.name"),
    printcolumn(name = "Partitions", type_ = "integer", json_path = ".status.partitions"),
    printcolumn(name = "RF", type_ = "integer", json_path = ".status.replicationFactor"),
    printcolumn(name = "Under-replicated", type_ = "integer", json_path = ".status.underReplicated"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Topic", type_ = "string", json_path = ".status.topicName", priority = 1),
    printcolumn(name = "Topic id", type_ = "string", json_path = ".status.topicId", priority = 1),
    validation = Rule::new("has(self.spec.topicName) || self.metadata.name.size() <= 249")
        .message("a topic's name has at most 249 characters: set spec.topicName")
)]
#[x_kube(
    validation = Rule::new("has(self.topicName) == has(oldSelf.topicName)")
        .message("topicName cannot be changed: a topic cannot be renamed"),
    validation = Rule::new("!has(oldSelf.replicationFactor) || (has(self.replicationFactor) && self.replicationFactor == oldSelf.replicationFactor)")
        .message("replicationFactor cannot be changed: reassignment is not supported yet"),
    validation = Rule::new("!has(self.replicationFactor) || !has(self.config) || !('min.insync.replicas' in self.config) || '%s'.format([self.config['min.insync.replicas']]) == 'null' || !self.config['min.insync.replicas'].matches('^[0-9]{1,9}$') || int(self.config['min.insync.replicas']) <= self.replicationFactor")
        .message("min.insync.replicas must not exceed replicationFactor: no acks=all produce could succeed")
)]
#[serde(rename_all = "camelCase")]
pub struct TopicSpec {
    /// The Cluster that holds the topic.
    #[x_kube(validation = Rule::new("self == oldSelf").message("clusterRef cannot be changed: create another Topic"))]
    pub cluster_ref: ClusterRef,
    /// The topic's name; the name of this object when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("topicName cannot be changed: a topic cannot be renamed"),
        validation = Rule::new("self != '.' && self != '..'").message("topicName must not be '.' or '..'"),
        validation = Rule::new("!self.startsWith('__')").message("topics that begin with '__' belong to the brokers")
    )]
    pub topic_name: Option<String>,
    /// Number of partitions. It can only grow, and only with allowPartitionIncrease.
    #[schemars(range(min = 1, max = 100000))]
    #[x_kube(validation = Rule::new("self >= oldSelf")
        .message("partitions cannot be decreased: the records of the removed partitions would be lost"))]
    pub partitions: i32,
    /// Copies of each partition; the brokers' default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub replication_factor: Option<i32>,
    /// Topic configuration by Kafka's own keys. `null` means hands off: neither set nor reset. (A
    /// client-side `kubectl apply` drops nulls from objects that exist; use `--server-side`.)
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::nullable_config")]
    #[x_kube(
        validation = Rule::new("self.all(k, k.matches('^[a-z][a-z0-9._-]*$'))")
            .message("config keys consist of a-z, 0-9, '.', '_' and '-'"),
        validation = Rule::new("!('cleanup.policy' in self) || '%s'.format([self['cleanup.policy']]) in ['delete', 'compact', 'delete,compact', 'compact,delete', 'null']")
            .message("cleanup.policy must be delete, compact or both")
    )]
    pub config: BTreeMap<String, Option<String>>,
    /// What becomes of the topic and its records when this object is deleted.
    #[serde(default)]
    pub deletion_policy: TopicDeletionPolicy,
    /// Whether a topic that exists already may be taken over.
    #[serde(default)]
    pub adopt: Adopt,
    /// Allows `partitions` to grow. Keys are then spread differently than before: records of one key no
    /// longer stand in one partition.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_partition_increase: bool,
    /// What to do when the topic was deleted behind the operator's back.
    #[serde(default)]
    pub recreate_policy: RecreatePolicy,
}

/// The Cluster that holds a topic, in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Name of the Cluster.
    #[schemars(length(min = 1, max = 32))]
    pub name: String,
}

/// What becomes of the topic when its object is deleted.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum TopicDeletionPolicy {
    /// The topic and its records stay.
    #[default]
    Retain,
    /// The topic and its records are deleted.
    Delete,
}

/// Whether a topic that exists already may be taken over.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum Adopt {
    /// No: the condition says that it exists.
    Never,
    /// If partitions, replication factor and every configured key already agree.
    #[default]
    IfIdentical,
    /// Yes, and then make it agree.
    Force,
}

/// What to do about a topic that was deleted behind the operator's back.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum RecreatePolicy {
    /// Say `TopicLost`: an empty topic in its place would hide the loss.
    #[default]
    Fail,
    /// Make a new, empty one.
    Recreate,
}
