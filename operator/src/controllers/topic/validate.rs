//! The raw spec becomes a `ValidTopic`, or is refused in words. Pure.
//!
//! After this step nobody reads the raw spec. CEL refuses most of it at the door; this is for objects that
//! are older than a rule, and for rules that need the metadata.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::crd::{Adopt, RecreatePolicy, Topic, TopicDeletionPolicy};

/// A spec that can be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidTopic {
    /// The topic's name in the brokers.
    pub name: String,
    /// The Cluster that holds it, in the same namespace.
    pub cluster: String,
    /// Partitions wanted.
    pub partitions: i32,
    /// Copies wanted; the brokers' default when absent.
    pub replication_factor: Option<i32>,
    /// Keys to hold at a value.
    pub config: BTreeMap<String, String>,
    /// Keys to leave alone, although they were set once.
    pub hands_off: Vec<String>,
    /// What becomes of the topic when the object is deleted.
    pub deletion_policy: TopicDeletionPolicy,
    /// Whether an existing topic may be taken over.
    pub adopt: Adopt,
    /// Whether partitions may be added.
    pub allow_partition_increase: bool,
    /// What to do when the topic was deleted elsewhere.
    pub recreate_policy: RecreatePolicy,
}

/// Refuse or accept a Topic.
pub fn validate(topic: &Topic) -> Result<ValidTopic, String> {
    let spec = &topic.spec;
    let name = spec.topic_name.clone().unwrap_or_else(|| topic.name_any());
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.len() > 249 || name == "." || name == ".." || !name.bytes().all(legal) {
        return Err(format!("{name:?} is no topic name: 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-'"));
    }
    if name.starts_with("__") {
        return Err(format!("{name}: topics that begin with '__' belong to the brokers"));
    }
    if spec.partitions < 1 {
        return Err(format!("spec.partitions is {}; at least 1 is needed", spec.partitions));
    }
    let (held, off): (Vec<_>, Vec<_>) = spec.config.iter().partition(|(_, value)| value.is_some());
    Ok(ValidTopic {
        name,
        cluster: spec.cluster_ref.name.clone(),
        partitions: spec.partitions,
        replication_factor: spec.replication_factor,
        config: held.into_iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect(),
        hands_off: off.into_iter().map(|(key, _)| key.clone()).collect(),
        deletion_policy: spec.deletion_policy,
        adopt: spec.adopt,
        allow_partition_increase: spec.allow_partition_increase,
        recreate_policy: spec.recreate_policy,
    })
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A Topic as the API server would return it.
    pub fn topic(spec: serde_json::Value) -> Topic {
        let mut whole = json!({ "clusterRef": { "name": "events" }, "partitions": 3 });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "logspine.dev/v1alpha1",
            "kind": "Topic",
            "metadata": { "name": "orders", "namespace": "shop", "uid": "t-1", "generation": 1 },
            "spec": whole
        }))
        .unwrap()
    }

    #[test]
    fn the_name_of_the_object_is_the_name_of_the_topic_unless_another_is_given() {
        assert_eq!(validate(&topic(json!({}))).unwrap().name, "orders");
        assert_eq!(validate(&topic(json!({ "topicName": "Orders_1" }))).unwrap().name, "Orders_1");
    }

    #[test]
    fn null_means_hands_off() {
        let valid =
            validate(&topic(json!({ "config": { "retention.ms": "1", "segment.bytes": null } }))).unwrap();
        assert_eq!(valid.config.keys().collect::<Vec<_>>(), ["retention.ms"]);
        assert_eq!(valid.hands_off, ["segment.bytes"]);
    }

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        for name in ["", ".", "..", "a b", "__consumer_offsets", &"a".repeat(250), "ä"] {
            validate(&topic(json!({ "topicName": name }))).unwrap_err();
        }
    }
}
