//! Reads what a pass decides upon: the Cluster, other Topics of the same name, the topic itself.
//!
//! Cluster and Topics come from the watch caches, so that ten thousand Topics do not ask the API server ten
//! thousand times. Only the brokers are asked. Writes and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};

use super::super::Context;
use super::super::cluster::validate as cluster_validate;
use super::plan::Actual;
use super::validate::ValidTopic;
use crate::brokers::AdminError;
use crate::brokers::connections::Connection;
use crate::crd::{Cluster, Topic};
use crate::kube::conditions;

/// The watch caches that Topics look into.
#[derive(Clone)]
pub struct Caches {
    /// Every Cluster.
    pub clusters: Store<Cluster>,
    /// Every Topic.
    pub topics: Store<Topic>,
}

/// What was found, and the connection to act through.
pub struct Found {
    /// The topic, or why it cannot be seen.
    pub actual: Actual,
    /// The brokers; `None` when there are none to ask.
    pub connection: Option<Arc<Connection>>,
}

/// Read everything.
pub async fn gather(context: &Context, caches: &Caches, topic: &Topic, wanted: &ValidTopic) -> Found {
    let alone = |actual| Found { actual, connection: None };
    // An empty cache says that nothing has been read yet, not that there is no Cluster: a finalizer would be
    // released and a topic left behind.
    if caches.clusters.wait_until_ready().await.is_err() || caches.topics.wait_until_ready().await.is_err() {
        return alone(Actual::Silent { silent_for: Duration::ZERO });
    }
    let namespace = topic.namespace().unwrap_or_default();
    let Some(cluster) = caches.clusters.get(&ObjectRef::new(&wanted.cluster).within(&namespace)) else {
        return alone(Actual::NoCluster);
    };
    if cluster.spec.paused {
        return alone(Actual::Paused);
    }
    let siblings: Vec<Arc<Topic>> = caches.topics.state();
    if let Some(older) = older_sibling(topic, wanted, siblings.iter().map(Arc::as_ref)) {
        return alone(Actual::Conflict(older));
    }
    if let Some(silent_for) = unavailable_for(&cluster, (context.now)()) {
        return alone(Actual::Silent { silent_for });
    }
    let Ok(valid) = cluster_validate::validate(&cluster) else {
        return alone(Actual::Refused(format!("Cluster {} has an invalid spec", wanted.cluster)));
    };
    let connection = context.brokers.get(&cluster.uid().unwrap_or_default(), &valid.bootstrap());
    let answer = connection.ask("describeTopic", connection.admin().describe_topic(&wanted.name)).await;
    let actual = match answer {
        Ok(Some(topic)) => Actual::Present(topic),
        Ok(None) => Actual::Absent,
        Err(AdminError::Unreachable { silent_for, .. }) => Actual::Silent { silent_for },
        Err(AdminError::Refused { message, .. }) => Actual::Refused(message),
    };
    Found { actual, connection: Some(connection) }
}

/// For how long the Cluster has not been available; `None` when it is.
///
/// A Cluster that its own controller cannot reach, or whose brokers say they are another cluster, is not asked
/// by each of its Topics too. Its Topics are woken when it becomes available.
fn unavailable_for(cluster: &Cluster, now: Timestamp) -> Option<Duration> {
    let status = cluster.status.as_ref()?;
    let available = conditions::find(&status.conditions, "Available")?;
    if available.status == "True" {
        return None;
    }
    let seconds = now.as_second().saturating_sub(available.last_transition_time.0.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The Topic that names the same topic and came first, if there is one.
fn older_sibling<'a>(
    topic: &Topic,
    wanted: &ValidTopic,
    all: impl Iterator<Item = &'a Topic>,
) -> Option<String> {
    let age = |topic: &Topic| -> (Option<Timestamp>, String) {
        (topic.metadata.creation_timestamp.as_ref().map(|time| time.0), topic.uid().unwrap_or_default())
    };
    let names_the_same = |other: &&Topic| {
        other.namespace() == topic.namespace()
            && other.spec.cluster_ref.name == wanted.cluster
            && other.uid() != topic.uid()
            && other.spec.topic_name.as_ref().or(other.metadata.name.as_ref()) == Some(&wanted.name)
    };
    all.filter(names_the_same)
        .filter(|other| age(other) < age(topic))
        .min_by_key(|other| age(other))
        .map(ResourceExt::name_any)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::validate::tests::topic as topic_of;
    use super::super::validate::validate;
    use super::*;

    fn born(name: &str, second: u32, spec: serde_json::Value) -> Topic {
        let mut topic = topic_of(spec);
        topic.metadata.name = Some(name.into());
        topic.metadata.uid = Some(format!("uid-{name}"));
        topic.metadata.creation_timestamp =
            serde_json::from_value(json!(format!("2026-01-01T00:00:{second:02}Z"))).unwrap();
        topic
    }

    #[test]
    fn a_cluster_that_is_not_available_is_not_asked() {
        let with = |status: &str| -> Cluster {
            serde_json::from_value(json!({
                "apiVersion": "logspine.dev/v1alpha1", "kind": "Cluster", "metadata": { "name": "events" },
                "spec": { "image": "l:1", "pools": [] },
                "status": { "conditions": [{ "type": "Available", "status": status, "reason": "R", "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z" }] }
            }))
            .unwrap()
        };
        let now: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
        assert_eq!(unavailable_for(&with("True"), now), None);
        assert_eq!(unavailable_for(&with("False"), now), Some(Duration::from_secs(30)));
        assert_eq!(
            unavailable_for(&with("Unknown"), "2025-01-01T00:00:00Z".parse().unwrap()),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn the_oldest_topic_of_a_name_wins() {
        let first = born("first", 1, json!({ "topicName": "orders" }));
        let second = born("orders", 2, json!({}));
        let elsewhere = born("x", 0, json!({ "topicName": "orders", "clusterRef": { "name": "other" } }));
        let all = [second.clone(), first.clone(), elsewhere];
        let older = |topic: &Topic| older_sibling(topic, &validate(topic).unwrap(), all.iter());
        assert_eq!(older(&first), None);
        assert_eq!(older(&second).as_deref(), Some("first"));
    }
}
