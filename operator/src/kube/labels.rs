//! Labels and annotations that the operator puts on what it makes.
//!
//! `selector` must never change for a StatefulSet that exists: its selector is immutable, and pods that do
//! not match are orphans. The rest may grow.

use std::collections::BTreeMap;

/// Name of the Cluster that an object belongs to.
pub const CLUSTER: &str = "logspine.dev/cluster";
/// Name of the pool that a pod or a volume belongs to.
pub const POOL: &str = "logspine.dev/pool";
/// Annotation: Kafka's cluster id, stamped on volumes and read back from those that were kept.
pub const CLUSTER_ID: &str = "logspine.dev/cluster-id";
/// Annotation: hash of what was applied, so that a field taken out again is noticed.
pub const APPLIED_HASH: &str = "logspine.dev/applied-hash";
/// Pod annotation: hash of the configuration that the user wrote.
pub const CONFIG_INPUTS: &str = "logspine.dev/config-inputs";
/// Pod annotation: hash of the pod settings that the user wrote.
pub const POD_INPUTS: &str = "logspine.dev/pod-inputs";
/// Pod annotation: hash of the configuration file's bytes, as the broker reports it.
pub const CONFIG_FILE: &str = "logspine.dev/config-file";
/// Finalizer of a Cluster whose volumes are to be deleted with it.
pub const VOLUMES_FINALIZER: &str = "logspine.dev/volumes";
/// Finalizer of a Topic whose records are to be deleted with it.
pub const TOPIC_FINALIZER: &str = "logspine.dev/topic";

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Value of the managed-by label, and name of the field manager.
pub const OPERATOR: &str = "logspine-operator";

/// Labels of everything that belongs to one Cluster.
pub fn cluster(cluster: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".into(), "logspine".into()),
        ("app.kubernetes.io/instance".into(), cluster.into()),
        (MANAGED_BY.into(), OPERATOR.into()),
        (CLUSTER.into(), cluster.into()),
    ])
}

/// Labels of pods and volumes of one pool.
pub fn pool(cluster_name: &str, pool: &str) -> BTreeMap<String, String> {
    let mut labels = cluster(cluster_name);
    labels.insert("app.kubernetes.io/component".into(), "broker".into());
    labels.insert(POOL.into(), pool.into());
    labels
}

/// What selects the pods of one pool. Immutable.
pub fn selector(cluster: &str, pool: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(CLUSTER.into(), cluster.into()), (POOL.into(), pool.into())])
}

/// Label selector for the objects of one Cluster.
pub fn of_cluster(cluster: &str) -> String {
    format!("{CLUSTER}={cluster}")
}

/// Label selector for everything that the operator makes.
pub fn managed() -> String {
    format!("{MANAGED_BY}={OPERATOR}")
}
