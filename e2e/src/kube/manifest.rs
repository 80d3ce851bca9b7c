//! The objects that tests apply, built by saying what is odd about them.
//!
//! Used by `tests/kube_*.rs`. Plain JSON on purpose: it is what a user writes, not what our types would accept.

use serde_json::{Value, json};

use crate::kube::operator::broker_image;

/// A Cluster of one broker with a listener inside and one on a node port.
pub fn cluster(namespace: &str, name: &str, node_port: u16) -> Value {
    json!({
        "apiVersion": "logspine.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "image": broker_image(),
            "pools": [{
                "name": "main",
                "replicas": 1,
                "storage": { "size": "1Gi" },
                "resources": { "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "memory": "1Gi" } },
                "terminationGracePeriodSeconds": 20,
            }],
            "listeners": [
                { "name": "internal", "type": "internal", "port": 9092 },
                { "name": "external", "type": "nodePort", "port": 9094, "nodePort": node_port },
            ],
        },
    })
}

/// A Topic of that Cluster.
pub fn topic(namespace: &str, cluster: &str, name: &str, partitions: u32) -> Value {
    json!({
        "apiVersion": "logspine.dev/v1alpha1",
        "kind": "Topic",
        "metadata": { "name": name, "namespace": namespace },
        "spec": { "clusterRef": { "name": cluster }, "partitions": partitions },
    })
}

/// The object with one field of its spec set to another value.
pub fn with(mut object: Value, field: &str, value: Value) -> Value {
    object["spec"][field] = value;
    object
}
