//! What the operator says about a Topic.
//!
//! Partition count, replication factor and leaders are as observed, never as wished. `topicId`, `intent`
//! and `managedConfig` are also the operator's memory, recorded before the effect they announce, so that
//! a crash after any call is understood by the next process.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{TOPIC_CONDITIONS, schema};

/// Observed state of a Topic.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = schema::not_reconciled(&TOPIC_CONDITIONS)))]
pub struct TopicStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What holds now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The topic's name in the brokers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
    /// The topic's identity: a topic of the same name with another id is another topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic_id: Option<String>,
    /// What the operator is about to do, recorded before it does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<TopicIntent>,
    /// Partitions, as observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<i32>,
    /// Replication factor, as observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i32>,
    /// Partitions with replicas missing from the in-sync set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under_replicated: Option<i32>,
    /// Partitions without a leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<i32>,
    /// Leaders per broker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["broker"]))]
    pub leaders: Vec<BrokerLeaders>,
    /// Keys whose value in the brokers differs from the spec, with the brokers' value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config_differences: BTreeMap<String, String>,
    /// Keys that the operator has set; one that leaves the spec is reset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub managed_config: Vec<String>,
    /// The older Topic that names the same topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<String>,
}

/// What the operator is about to do.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum TopicIntent {
    /// Create the topic, which did not exist when this was written.
    Create,
}

/// How many partitions one broker leads.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BrokerLeaders {
    /// The broker's id.
    pub broker: i32,
    /// Partitions of this topic that it leads.
    pub leaders: i32,
}
