//! From a valid Cluster to the objects that make it: pure functions, one file per kind.
//!
//! A builder holds no client and reads no clock; the same input gives the same bytes, which is what makes
//! "write only what differs" possible. `testdata/` holds the manifests of a few clusters.

mod config_map;
mod disruption_budget;
mod service;
mod service_account;
mod stateful_set;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ObjectMeta;

use super::validate::ValidCluster;
use crate::crd::{Listener, ListenerType};
use crate::kube::{apply, labels};

pub use config_map::FILE_NAME;
pub use stateful_set::CONTAINER;

/// Everything that a Cluster consists of, in the order in which it is applied.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// Identity of the pods; without any right.
    pub service_account: ServiceAccount,
    /// The broker's configuration file.
    pub config_map: ConfigMap,
    /// Headless, bootstrap and one per outside listener.
    pub services: Vec<Service>,
    /// What a node drain may take at once.
    pub disruption_budget: PodDisruptionBudget,
    /// The brokers; absent until every advertised port is known.
    pub stateful_set: Option<StatefulSet>,
    /// What a pod must carry to be up to date.
    pub wanted: Wanted,
}

/// What a pod must carry to be up to date. Hashes of what the *user* wrote: an upgrade of the operator
/// that renders something differently restarts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The image.
    pub image: String,
    /// Hash of configuration and listeners.
    pub config_inputs: String,
    /// Hash of the pod settings.
    pub pod_inputs: String,
    /// Hash of the rendered file, as the broker reports it.
    pub config_file: String,
}

/// What is known beside the spec.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Kafka's cluster id.
    pub cluster_id: String,
    /// Ports that Kubernetes has given to outside listeners, by listener.
    pub node_ports: BTreeMap<String, i32>,
    /// Volume claim templates of the StatefulSet that exists: they cannot be changed.
    pub claim_templates: Option<Vec<PersistentVolumeClaim>>,
}

/// Build every object.
pub fn build(cluster: &ValidCluster, known: &Known) -> Manifests {
    let file = config_map::render(cluster, &known.cluster_id);
    let advertised = advertised_listeners(cluster, &known.node_ports);
    let wanted = Wanted {
        image: cluster.image.clone(),
        config_inputs: apply::hash_json(&(&cluster.config, &cluster.listeners, &advertised)),
        pod_inputs: pod_inputs(cluster),
        config_file: apply::hash(file.as_bytes()),
    };
    Manifests {
        service_account: service_account::build(cluster),
        config_map: config_map::build(cluster, file),
        services: service::build(cluster),
        disruption_budget: disruption_budget::build(cluster),
        stateful_set: advertised.map(|advertised| stateful_set::build(cluster, known, &wanted, &advertised)),
        wanted,
    }
}

/// Hash of the settings that only a new pod can take up. Replicas and storage are not among them.
fn pod_inputs(cluster: &ValidCluster) -> String {
    let pool = &cluster.pool;
    apply::hash_json(&(
        &pool.resources,
        &pool.node_selector,
        &pool.tolerations,
        &pool.affinity,
        &pool.topology_spread_constraints,
        &pool.priority_class_name,
        &pool.image_pull_secrets,
        &pool.labels,
        &pool.annotations,
        &pool.termination_grace_period_seconds,
    ))
}

/// Kafka's `advertised.listeners`, with the pod's and the node's address left to the kubelet to expand.
/// `None` while the port of an outside listener is not known.
fn advertised_listeners(cluster: &ValidCluster, node_ports: &BTreeMap<String, i32>) -> Option<String> {
    let one = |listener: &Listener| {
        let name = listener.name.to_uppercase();
        match listener.type_ {
            ListenerType::Internal => Some(format!(
                "{name}://$(POD_NAME).{}.$(POD_NAMESPACE).svc:{}",
                cluster.headless_service(),
                listener.port
            )),
            ListenerType::NodePort => {
                let port = listener.node_port.or_else(|| node_ports.get(&listener.name).copied())?;
                Some(format!("{name}://$(HOST_IP):{port}"))
            }
        }
    };
    Some(cluster.listeners.iter().map(one).collect::<Option<Vec<_>>>()?.join(","))
}

/// Metadata of an object that goes when the Cluster goes.
fn owned(cluster: &ValidCluster, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.namespace.clone()),
        labels: Some(labels::cluster(&cluster.name)),
        owner_references: Some(vec![cluster.owner.clone()]),
        ..ObjectMeta::default()
    }
}
