//! Reads everything that a pass decides upon: the API server, then the brokers. Writes and decides nothing.
//!
//! Objects are read by name, not by label, so that an object of the same name that belongs to somebody
//! else is seen and never taken over. Volumes are found by label: those of a deleted Cluster of the same
//! name are the ones to take up again.

use std::collections::BTreeMap;

use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::fmt::Debug;

use super::super::{Context, PassError};
use super::validate::ValidCluster;
use crate::brokers::{ActualCluster, AdminError, BrokerReport};
use crate::crd::ListenerType;
use crate::kube::labels;

/// What was found.
pub struct Found {
    /// The ServiceAccount.
    pub service_account: Option<ServiceAccount>,
    /// The ConfigMap.
    pub config_map: Option<ConfigMap>,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// The PodDisruptionBudget.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// The StatefulSet.
    pub stateful_set: Option<StatefulSet>,
    /// Pods of the Cluster with what each broker says about itself.
    pub pods: Vec<FoundPod>,
    /// Volume claims of the Cluster, and of an earlier one of the same name.
    pub claims: Vec<PersistentVolumeClaim>,
    /// What brokers say through Kafka's protocol; `None` when no pod is ready, so that none was asked.
    pub cluster: Option<Result<ActualCluster, AdminError>>,
}

/// A pod and its broker's report.
pub struct FoundPod {
    /// The pod.
    pub pod: Pod,
    /// What its broker says; `None` when it does not answer.
    pub report: Option<BrokerReport>,
}

/// Read everything.
pub async fn gather(context: &Context, cluster: &ValidCluster, uid: &str) -> Result<Found, PassError> {
    let namespace = cluster.namespace.as_str();
    let pods = pods(context, namespace, &cluster.name).await?;
    Ok(Found {
        service_account: get(context, namespace, &cluster.service_account()).await?,
        config_map: get(context, namespace, &cluster.config_map()).await?,
        services: services(context, cluster).await?,
        disruption_budget: get(context, namespace, &cluster.stateful_set()).await?,
        stateful_set: get(context, namespace, &cluster.stateful_set()).await?,
        claims: claims(context, namespace, &cluster.name).await?,
        cluster: ask_cluster(context, cluster, uid, &pods).await,
        pods,
    })
}

async fn get<K>(context: &Context, namespace: &str, name: &str) -> Result<Option<K>, PassError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    api.get_opt(name).await.map_err(PassError::api("reading an object of the Cluster"))
}

async fn services(context: &Context, cluster: &ValidCluster) -> Result<BTreeMap<String, Service>, PassError> {
    let outside = cluster.listeners.iter().filter(|listener| listener.type_ == ListenerType::NodePort);
    let mut names = vec![cluster.headless_service(), cluster.bootstrap_service()];
    names.extend(outside.map(|listener| cluster.listener_service(listener)));
    // Services of listeners that were taken out of the spec are ours by label only.
    let api: Api<Service> = Api::namespaced(context.client.clone(), &cluster.namespace);
    let ours = api
        .list(&ListParams::default().labels(&labels::of_cluster(&cluster.name)))
        .await
        .map_err(PassError::api("listing services"))?;
    let mut found: BTreeMap<String, Service> =
        ours.items.into_iter().map(|service| (service.name_any(), service)).collect();
    for name in names {
        if !found.contains_key(&name)
            && let Some(service) = get::<Service>(context, &cluster.namespace, &name).await?
        {
            found.insert(name, service);
        }
    }
    Ok(found)
}

/// Volume claims of a Cluster of this name.
pub async fn claims(
    context: &Context,
    namespace: &str,
    cluster: &str,
) -> Result<Vec<PersistentVolumeClaim>, PassError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let list = api
        .list(&ListParams::default().labels(&labels::of_cluster(cluster)))
        .await
        .map_err(PassError::api("listing volume claims"))?;
    Ok(list.items)
}

async fn pods(context: &Context, namespace: &str, cluster: &str) -> Result<Vec<FoundPod>, PassError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let list = api
        .list(&ListParams::default().labels(&labels::of_cluster(cluster)))
        .await
        .map_err(PassError::api("listing pods"))?;
    let ask = |pod: Pod| async move {
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let report = match &address {
            Some(address) => context.probe.report(address).await,
            None => None,
        };
        FoundPod { pod, report }
    };
    Ok(join_all(list.items.into_iter().map(ask)).await)
}

/// Kafka's protocol is asked only when a broker says it is ready: the bootstrap Service has no address before.
async fn ask_cluster(
    context: &Context,
    cluster: &ValidCluster,
    uid: &str,
    pods: &[FoundPod],
) -> Option<Result<ActualCluster, AdminError>> {
    if !pods.iter().any(|pod| pod.report.as_ref().is_some_and(|report| report.ready)) {
        return None;
    }
    let connection = context.brokers.get(uid, &cluster.bootstrap());
    Some(connection.ask("describeCluster", connection.admin().cluster()).await)
}

/// How many pods of a Cluster exist, in whatever state.
pub async fn pod_count(context: &Context, namespace: &str, cluster: &str) -> Result<usize, PassError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let list = api
        .list_metadata(&ListParams::default().labels(&labels::of_cluster(cluster)))
        .await
        .map_err(PassError::api("listing pods"))?;
    Ok(list.items.len())
}
