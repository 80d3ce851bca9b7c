//! The Cluster controller: gather, validate, build, apply, status, and rollout in between.
//!
//! `reconcile` shows the whole pass on one screen. A pass that makes a decision worth remembering (the
//! cluster id, a restart) only records it; a later pass reads it back and acts. Everything may stop after
//! any call.

mod apply;
pub mod build;
mod deletion;
mod gather;
mod identity;
mod rollout;
mod status;
pub mod validate;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};

use self::build::{Known, Manifests};
use self::gather::Found;
use self::identity::Identity;
use self::rollout::{Broker, Decision};
use self::validate::ValidCluster;
use super::{Context, Pass, PassError, run_pass};
use crate::crd::{Cluster, ClusterDeletionPolicy, ClusterStatus, Restart};
use crate::kube::apply::ApplyError;
use crate::kube::events::Notice;
use crate::kube::{finalizer, labels, status as kube_status};

/// When nothing happens, brokers are asked this often.
const RESYNC: Duration = Duration::from_secs(30);
/// When something is under way.
const SOON: Duration = Duration::from_secs(2);
/// When the pass only recorded its intent.
const NOW: Duration = Duration::from_millis(50);

/// One pass, with its deadline.
pub async fn reconcile(cluster: Arc<Cluster>, context: Arc<Context>) -> Result<Action, PassError> {
    run_pass(&context, cluster.as_ref(), pass(&context, &cluster)).await
}

async fn pass(context: &Context, cluster: &Cluster) -> Result<Pass, PassError> {
    if cluster.metadata.deletion_timestamp.is_some() {
        return delete(context, cluster).await;
    }
    let valid = match validate::validate(cluster) {
        Ok(valid) => valid,
        Err(words) => return refuse(context, cluster, "InvalidSpec", &words).await,
    };
    if !cluster.spec.paused && keep_finalizer(context, cluster, &valid).await? {
        return Ok(Pass { changed: true, again: NOW });
    }
    let found = gather::gather(context, &valid, &cluster.uid().unwrap_or_default()).await?;
    let recorded = cluster.status.as_ref().and_then(|status| status.cluster_id.as_deref());
    let cluster_id = match identity::decide(recorded, &found.claims, random()) {
        Identity::Known(id) => id,
        Identity::Record(_) if cluster.spec.paused => String::new(),
        Identity::Record(id) => {
            write(context, cluster, &status::with_identity(cluster, &id, (context.now)())).await?;
            return Ok(Pass { changed: true, again: NOW });
        }
        Identity::Conflict(words) => return refuse(context, cluster, "VolumeConflict", &words).await,
    };
    let manifests = build::build(&valid, &known(&valid, &found, &cluster_id));
    let changed = match cluster.spec.paused {
        true => false,
        false => match apply::objects(context, &valid, &manifests, &found).await {
            Err(PassError::Apply(error @ ApplyError::Foreign { .. })) => {
                return refuse(context, cluster, "InvalidSpec", &error.to_string()).await;
            }
            Err(PassError::Apply(ApplyError::Leaving { .. })) => {
                return Ok(Pass { changed: false, again: SOON });
            }
            result => result?,
        },
    };
    let brokers = brokers(&valid, &found, &manifests);
    let rolled = roll(context, cluster, &found, &brokers, changed).await?;
    let status = status::status(&status::Seen {
        cluster,
        valid: &valid,
        found: &found,
        brokers: &brokers,
        cluster_id: &cluster_id,
        restart: rolled.restart,
        blocked: rolled.blocked,
        now: (context.now)(),
    });
    let pass = finish(context, cluster, status, changed).await?;
    // Last of all: a process that dies right after an event must have got further than the one before it.
    if let Some(notice) = rolled.notice {
        context.events.publish(&cluster.object_ref(&()), &notice).await;
    }
    Ok(pass)
}

/// Write the status and say when to look again.
async fn finish(
    context: &Context,
    cluster: &Cluster,
    status: ClusterStatus,
    changed: bool,
) -> Result<Pass, PassError> {
    let before = cluster.status.clone().unwrap_or_default();
    let calm = status.restart.is_none() && crate::kube::conditions::is_true(&status.conditions, "Ready");
    let recorded = status.restart != before.restart;
    let wrote = write(context, cluster, &status).await?;
    let again = match (recorded, calm) {
        (true, _) => NOW,
        (false, true) => RESYNC,
        (false, false) => SOON,
    };
    Ok(Pass { changed: changed || wrote, again })
}

/// What came of the rollout's decision.
#[derive(Default)]
struct Rolled {
    /// The restart to record.
    restart: Option<Restart>,
    /// Why a restart may not begin.
    blocked: Option<String>,
    /// What to tell.
    notice: Option<Notice>,
}

/// Act on the rollout's decision.
async fn roll(
    context: &Context,
    cluster: &Cluster,
    found: &Found,
    brokers: &[Broker],
    just_applied: bool,
) -> Result<Rolled, PassError> {
    let current = cluster.status.as_ref().and_then(|status| status.restart.clone());
    // The StatefulSet's controller must have seen the new template, or it would bring back the old pod.
    if cluster.spec.paused || just_applied || !template_seen(found) {
        return Ok(Rolled { restart: current, ..Rolled::default() });
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let tell = |reason, restart: &Restart| {
        let note = format!("broker {} ({}): {}", restart.broker, restart.pod, restart.reason);
        Some(Notice::normal(reason, note).about_pod(&namespace, &restart.pod, &restart.pod_uid))
    };
    Ok(match rollout::decide(current.as_ref(), brokers) {
        Decision::Nothing | Decision::Cancel => Rolled::default(),
        Decision::Blocked(words) => Rolled { blocked: Some(words), ..Rolled::default() },
        Decision::Wait(restart) | Decision::Begin(restart) => {
            Rolled { restart: Some(restart), ..Rolled::default() }
        }
        Decision::Delete(restart) => {
            apply::restart(context, &namespace, &restart).await?;
            let notice = tell("BrokerRestarting", &restart);
            Rolled { restart: Some(restart), notice, ..Rolled::default() }
        }
        Decision::Finish(restart) => {
            Rolled { notice: tell("BrokerRestarted", &restart), ..Rolled::default() }
        }
    })
}

fn template_seen(found: &Found) -> bool {
    found.stateful_set.as_ref().is_some_and(|set| {
        set.status.as_ref().and_then(|status| status.observed_generation) >= set.metadata.generation
    })
}

fn brokers(valid: &ValidCluster, found: &Found, manifests: &Manifests) -> Vec<Broker> {
    let wanted = (0..valid.pool.replicas).map(|ordinal| valid.pod(ordinal));
    wanted
        .filter_map(|name| found.pods.iter().find(|found| found.pod.name_any() == name))
        .map(|found| rollout::broker(&found.pod, found.report.as_ref(), &manifests.wanted))
        .collect()
}

fn known(valid: &ValidCluster, found: &Found, cluster_id: &str) -> Known {
    let node_ports = valid
        .listeners
        .iter()
        .filter_map(|listener| {
            let service = found.services.get(&valid.listener_service(listener))?;
            Some((listener.name.clone(), status::node_port(service)?))
        })
        .collect();
    let claim_templates =
        found.stateful_set.as_ref().and_then(|set| set.spec.as_ref()?.volume_claim_templates.clone()).map(
            |claims| {
                claims.into_iter().map(|claim| PersistentVolumeClaim { status: None, ..claim }).collect()
            },
        );
    Known { cluster_id: cluster_id.into(), node_ports, claim_templates }
}

/// Only a policy that deletes takes a finalizer: what keeps its data can then never hang a namespace.
async fn keep_finalizer(
    context: &Context,
    cluster: &Cluster,
    valid: &ValidCluster,
) -> Result<bool, PassError> {
    let wanted = valid.deletion_policy == ClusterDeletionPolicy::DeleteVolumes;
    finalizer::set(&context.client, cluster, labels::VOLUMES_FINALIZER, wanted)
        .await
        .map_err(PassError::api("setting the finalizer"))
}

async fn delete(context: &Context, cluster: &Cluster) -> Result<Pass, PassError> {
    if !finalizer::present(cluster, labels::VOLUMES_FINALIZER) {
        return Ok(Pass { changed: false, again: RESYNC });
    }
    if cluster.spec.paused {
        return refuse(context, cluster, "Paused", "deletion waits: spec.paused is true").await;
    }
    if cluster.spec.deletion_policy == ClusterDeletionPolicy::Retain {
        return release(context, cluster).await;
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let (set, pods, claims) = match validate::validate(cluster) {
        Ok(valid) => {
            let sets = Api::namespaced(context.client.clone(), &namespace);
            let set: Option<StatefulSet> = sets
                .get_opt(&valid.stateful_set())
                .await
                .map_err(PassError::api("reading the StatefulSet"))?;
            let set =
                set.filter(|set| set.owner_references().iter().any(|owner| owner.uid == valid.owner.uid));
            let pods = gather::pod_count(context, &namespace, &valid.name).await?;
            (set, pods, gather::claims(context, &namespace, &valid.name).await?)
        }
        Err(words) => return refuse(context, cluster, "InvalidSpec", &words).await,
    };
    let cluster_id = cluster.status.as_ref().and_then(|status| status.cluster_id.as_deref());
    let step = deletion::decide(cluster.spec.deletion_policy, cluster_id, set.as_ref(), pods, &claims);
    if step == deletion::Step::Release {
        return release(context, cluster).await;
    }
    let changed = apply::delete(context, &namespace, &step).await?;
    Ok(Pass { changed, again: SOON })
}

async fn release(context: &Context, cluster: &Cluster) -> Result<Pass, PassError> {
    let changed = finalizer::set(&context.client, cluster, labels::VOLUMES_FINALIZER, false)
        .await
        .map_err(PassError::api("removing the finalizer"))?;
    Ok(Pass { changed, again: RESYNC })
}

/// Say in words why nothing is done, and look again when the spec changes or at the next resync.
async fn refuse(
    context: &Context,
    cluster: &Cluster,
    reason: &'static str,
    words: &str,
) -> Result<Pass, PassError> {
    let status = status::refused(cluster, reason, words, (context.now)());
    let changed = write(context, cluster, &status).await?;
    if changed {
        context.events.publish(&cluster.object_ref(&()), &Notice::warning("RefusedChange", words)).await;
    }
    Ok(Pass { changed, again: RESYNC })
}

async fn write(context: &Context, cluster: &Cluster, status: &ClusterStatus) -> Result<bool, PassError> {
    kube_status::write(&context.client, cluster, cluster.status.as_ref(), status)
        .await
        .map_err(PassError::api("writing the status of a Cluster"))
}

/// 16 random bytes for a cluster id.
fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}
