//! The raw spec becomes a `ValidCluster`, or is refused in words. Pure.
//!
//! After this step nobody reads the raw spec. The CEL rules refuse most of it at the door; what matters
//! for safety is checked again, because the object may be older than the rule, and what CEL cannot see is
//! checked only here.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use crate::brokers::status::ADMIN_PORT;
use crate::crd::{Cluster, ClusterDeletionPolicy, Listener, ListenerType, Pool};

/// A spec that can be acted on.
#[derive(Clone, Debug)]
pub struct ValidCluster {
    /// Name of the Cluster.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// What makes the objects go when the Cluster goes.
    pub owner: OwnerReference,
    /// The brokers' image.
    pub image: String,
    /// The one pool.
    pub pool: Pool,
    /// Listeners in the order in which they were written.
    pub listeners: Vec<Listener>,
    /// Configuration that the user wrote.
    pub config: BTreeMap<String, String>,
    /// What becomes of the volumes.
    pub deletion_policy: ClusterDeletionPolicy,
}

impl ValidCluster {
    /// Name of the StatefulSet.
    pub fn stateful_set(&self) -> String {
        format!("{}-{}", self.name, self.pool.name)
    }

    /// Name of the pod with this ordinal.
    pub fn pod(&self, ordinal: i32) -> String {
        format!("{}-{ordinal}", self.stateful_set())
    }

    /// Name of the volume claim with this ordinal.
    pub fn claim(&self, ordinal: i32) -> String {
        format!("data-{}", self.pod(ordinal))
    }

    /// Name of the Service that gives each pod a DNS name.
    pub fn headless_service(&self) -> String {
        format!("{}-headless", self.name)
    }

    /// Name of the Service to bootstrap from.
    pub fn bootstrap_service(&self) -> String {
        format!("{}-bootstrap", self.name)
    }

    /// Name of the Service of one pod and one listener.
    pub fn listener_service(&self, listener: &Listener) -> String {
        format!("{}-{}", self.pod(0), listener.name)
    }

    /// Name of the ConfigMap.
    pub fn config_map(&self) -> String {
        format!("{}-config", self.name)
    }

    /// Name of the ServiceAccount.
    pub fn service_account(&self) -> String {
        format!("{}-broker", self.name)
    }

    /// The listener for pods of this Kubernetes cluster.
    pub fn internal(&self) -> &Listener {
        self.listeners
            .iter()
            .find(|listener| listener.type_ == ListenerType::Internal)
            .expect("validate has refused a spec without an internal listener")
    }

    /// Where clients inside, the operator among them, bootstrap from.
    pub fn bootstrap(&self) -> String {
        format!("{}.{}.svc:{}", self.bootstrap_service(), self.namespace, self.internal().port)
    }
}

/// Longest names of a Cluster and a pool: the longest Service (cluster-pool-0-listener) has 63 characters then.
const NAME_MAX: usize = 32;
const POOL_NAME_MAX: usize = 12;
/// Keys that the operator writes itself.
const OWNED_KEYS: [&str; 12] = [
    "node.id",
    "broker.id",
    "process.roles",
    "cluster.id",
    "listeners",
    "advertised.listeners",
    "listener.security.protocol.map",
    "inter.broker.listener.name",
    "log.dir",
    "log.dirs",
    "metadata.log.dir",
    "admin.listeners",
];
/// Families of keys that the operator owns or that would weaken security when ignored.
const REFUSED_PREFIXES: [&str; 6] =
    ["controller.", "zookeeper.", "ssl.", "sasl.", "security.", "listener.name."];

/// Refuse or accept a Cluster.
pub fn validate(cluster: &Cluster) -> Result<ValidCluster, String> {
    let spec = &cluster.spec;
    let [pool] = spec.pools.as_slice() else {
        return Err(format!("spec.pools has {} entries; exactly one is supported", spec.pools.len()));
    };
    if pool.replicas != 1 {
        return Err(format!("spec.pools[0].replicas is {}; brokers do not replicate yet", pool.replicas));
    }
    listeners(&spec.listeners)?;
    for (key, value) in &spec.config {
        config_entry(key, value)?;
    }
    let name = cluster.name_any();
    if name.len() > NAME_MAX || pool.name.len() > POOL_NAME_MAX || name.contains('.') {
        return Err(format!(
            "the name {name} or {} is too long (at most {NAME_MAX} and {POOL_NAME_MAX}) or contains a dot",
            pool.name
        ));
    }
    Ok(ValidCluster {
        name,
        namespace: cluster.namespace().unwrap_or_default(),
        owner: cluster.controller_owner_ref(&()).ok_or("the object has no uid")?,
        image: spec.image.clone(),
        pool: pool.clone(),
        listeners: spec.listeners.clone(),
        config: spec.config.clone(),
        deletion_policy: spec.deletion_policy,
    })
}

fn listeners(listeners: &[Listener]) -> Result<(), String> {
    let internal = listeners.iter().filter(|listener| listener.type_ == ListenerType::Internal).count();
    if internal != 1 {
        return Err(format!("{internal} listeners are of type internal; exactly one must be"));
    }
    for (index, listener) in listeners.iter().enumerate() {
        if listener.port == ADMIN_PORT {
            return Err(format!("listener {} uses the admin port {ADMIN_PORT}", listener.name));
        }
        let twin = listeners
            .iter()
            .take(index)
            .find(|other| other.port == listener.port || other.name == listener.name);
        if let Some(twin) = twin {
            return Err(format!("listeners {} and {} share a name or a port", twin.name, listener.name));
        }
    }
    Ok(())
}

fn config_entry(key: &str, value: &str) -> Result<(), String> {
    let well_formed = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte));
    if !well_formed {
        return Err(format!("spec.config: {key:?} is no config key"));
    }
    if value.contains(['\n', '\r', '\\']) {
        return Err(format!("spec.config.{key}: the value contains a line break or a backslash"));
    }
    let refused = OWNED_KEYS.contains(&key)
        || key == "authorizer.class.name"
        || REFUSED_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    if refused {
        return Err(format!("spec.config.{key} belongs to the operator or is not supported"));
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A Cluster as the API server would return it.
    pub fn cluster(spec: serde_json::Value) -> Cluster {
        let mut whole = json!({ "image": "logspine:0.1.0", "pools": [{ "name": "main", "storage": { "size": "10Gi" } }] });
        for (key, value) in spec.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(json!({
            "apiVersion": "logspine.dev/v1alpha1",
            "kind": "Cluster",
            "metadata": { "name": "events", "namespace": "shop", "uid": "u-1", "generation": 1 },
            "spec": whole
        }))
        .unwrap()
    }

    #[test]
    fn names_follow_from_the_cluster_and_the_pool() {
        let valid = validate(&cluster(json!({}))).unwrap();
        assert_eq!(valid.pod(0), "events-main-0");
        assert_eq!(valid.claim(0), "data-events-main-0");
        assert_eq!(valid.bootstrap(), "events-bootstrap.shop.svc:9092");
        assert_eq!((valid.owner.kind.as_str(), valid.owner.controller), ("Cluster", Some(true)));
    }

    #[test]
    fn what_would_be_unsafe_is_refused_even_when_the_api_server_let_it_pass() {
        let cases = [
            (json!({ "pools": [] }), "0 entries"),
            (
                json!({ "pools": [{ "name": "a", "replicas": 3, "storage": { "size": "1Gi" } }] }),
                "replicas is 3",
            ),
            (json!({ "config": { "log.dirs": "/" } }), "belongs to the operator"),
            (json!({ "config": { "a": "1\nlog.dirs=/" } }), "line break"),
            (json!({ "config": { "a b": "1" } }), "no config key"),
            (json!({ "config": { "ssl.x": "1" } }), "not supported"),
            (json!({ "listeners": [] }), "0 listeners"),
            (json!({ "listeners": [{ "name": "a", "type": "internal", "port": 9644 }] }), "admin port"),
            (
                json!({ "listeners": [
                    { "name": "a", "type": "internal", "port": 9092 },
                    { "name": "b", "type": "nodePort", "port": 9092 }
                ] }),
                "share a name or a port",
            ),
        ];
        for (spec, words) in cases {
            let refusal = validate(&cluster(spec)).unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
