//! Writes what build and rollout decided, in a stated order. Decides nothing; each call can be repeated.
//!
//! Order: what pods refer to before the pods (account, configuration, Services), the disruption budget
//! before the StatefulSet. Then what is no longer wanted goes: Services of listeners that were taken out.
//! Volumes and StatefulSets are never orphans; they leave by `deletion.rs` only.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::{Api, ResourceExt};

use super::super::{Context, PassError};
use super::build::Manifests;
use super::deletion::Step;
use super::gather::Found;
use super::validate::ValidCluster;
use crate::crd::Restart;
use crate::kube::apply::apply;

/// Bring the objects about. True when something was written.
pub async fn objects(
    context: &Context,
    cluster: &ValidCluster,
    wanted: &Manifests,
    found: &Found,
) -> Result<bool, PassError> {
    let client = &context.client;
    let mut changed = apply(client, found.service_account.as_ref(), &wanted.service_account).await?;
    changed |= apply(client, found.config_map.as_ref(), &wanted.config_map).await?;
    for service in &wanted.services {
        changed |= apply(client, found.services.get(&service.name_any()), service).await?;
    }
    changed |= apply(client, found.disruption_budget.as_ref(), &wanted.disruption_budget).await?;
    if let Some(set) = &wanted.stateful_set {
        changed |= apply(client, found.stateful_set.as_ref(), set).await?;
    }
    changed |= remove_orphans(context, cluster, wanted, found).await?;
    Ok(changed)
}

/// Delete Services that we made for listeners that are no longer in the spec.
async fn remove_orphans(
    context: &Context,
    cluster: &ValidCluster,
    wanted: &Manifests,
    found: &Found,
) -> Result<bool, PassError> {
    let ours =
        |service: &&Service| service.owner_references().iter().any(|owner| owner.uid == cluster.owner.uid);
    let is_wanted =
        |service: &Service| wanted.services.iter().any(|wanted| wanted.name_any() == service.name_any());
    let mut changed = false;
    for orphan in found.services.values().filter(ours).filter(|service| !is_wanted(service)) {
        let api: Api<Service> = Api::namespaced(context.client.clone(), &cluster.namespace);
        let params = by_uid(orphan.uid().as_deref().unwrap_or_default());
        gone(api.delete(&orphan.name_any(), &params).await.map(drop), "deleting a service")?;
        tracing::info!(
            cluster = cluster.name,
            service = orphan.name_any(),
            "deleted a service no longer wanted"
        );
        changed = true;
    }
    Ok(changed)
}

/// Delete the pod of a restart. A pod with another uid is the replacement and is left alone.
pub async fn restart(context: &Context, namespace: &str, restart: &Restart) -> Result<(), PassError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    gone(api.delete(&restart.pod, &by_uid(&restart.pod_uid)).await.map(drop), "deleting a pod")
}

/// Take one step of a deletion. True when something was written.
pub async fn delete(context: &Context, namespace: &str, step: &Step) -> Result<bool, PassError> {
    match step {
        Step::DeleteSet(name, uid) => {
            let api: Api<StatefulSet> = Api::namespaced(context.client.clone(), namespace);
            let params =
                DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..by_uid(uid) };
            gone(api.delete(name, &params).await.map(drop), "deleting the StatefulSet")?;
            Ok(true)
        }
        Step::DeleteClaims(claims) => {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
            for (name, uid) in claims {
                gone(api.delete(name, &by_uid(uid)).await.map(drop), "deleting a volume claim")?;
                tracing::info!(namespace, claim = name, "deleted a volume claim, as deletionPolicy orders");
            }
            Ok(true)
        }
        Step::WaitForPods(_) | Step::WaitForClaims(_) | Step::Release => Ok(false),
    }
}

fn by_uid(uid: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.into()), resource_version: None }),
        ..DeleteParams::default()
    }
}

/// What is gone already, or has been replaced, needs no deletion.
fn gone(result: Result<(), kube::Error>, doing: &'static str) -> Result<(), PassError> {
    match result {
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        result => result.map_err(PassError::api(doing)),
    }
}
