//! The StatefulSet of the pool.
//!
//! `OnDelete`: only the operator restarts a broker, after asking the brokers. `Parallel`: after a full
//! outage all brokers must start together. Volumes outlive the set. The startup probe asks whether the
//! process lives, not whether it is ready: a recovery of hours must not be killed. Pods run as a stranger
//! without rights: non-root, read-only root, no capabilities, no token.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
    LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use serde_json::json;

use super::config_map::DATA_MOUNT;
use super::{FILE_NAME, Known, ValidCluster, Wanted, apply, labels, owned};
use crate::brokers::status::ADMIN_PORT;

/// Name of the broker's container.
pub const CONTAINER: &str = "broker";
const CONFIG_MOUNT: &str = "/etc/logspine";
/// The user and group of the image.
const USER: i64 = 65532;

pub(super) fn build(cluster: &ValidCluster, known: &Known, wanted: &Wanted, advertised: &str) -> StatefulSet {
    let claims = claim_templates(cluster, known);
    StatefulSet {
        metadata: owned(cluster, cluster.stateful_set()),
        spec: Some(StatefulSetSpec {
            replicas: Some(cluster.pool.replicas),
            service_name: Some(cluster.headless_service()),
            selector: LabelSelector {
                match_labels: Some(labels::selector(&cluster.name, &cluster.pool.name)),
                ..LabelSelector::default()
            },
            pod_management_policy: Some("Parallel".into()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".into()),
                ..StatefulSetUpdateStrategy::default()
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some("Retain".into()),
                when_scaled: Some("Retain".into()),
            }),
            volume_claim_templates: Some(claims),
            template: template(cluster, wanted, advertised),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    }
}

/// Claim templates cannot be changed. Where those that exist say something else, they are kept.
fn claim_templates(cluster: &ValidCluster, known: &Known) -> Vec<PersistentVolumeClaim> {
    let built = vec![claim_template(cluster, &known.cluster_id)];
    match &known.claim_templates {
        Some(existing) if !apply::contains(&json!(existing), &json!(built)) => existing.clone(),
        _ => built,
    }
}

/// The claim bears the cluster id, so that a recreated Cluster knows whose data a kept volume holds.
fn claim_template(cluster: &ValidCluster, cluster_id: &str) -> PersistentVolumeClaim {
    let size = Quantity(cluster.pool.storage.size.clone());
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some("data".into()),
            labels: Some(labels::pool(&cluster.name, &cluster.pool.name)),
            annotations: Some(BTreeMap::from([(labels::CLUSTER_ID.into(), cluster_id.into())])),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".into()]),
            storage_class_name: cluster.pool.storage.class.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".into(), size)])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}

fn template(cluster: &ValidCluster, wanted: &Wanted, advertised: &str) -> PodTemplateSpec {
    let pool = &cluster.pool;
    let mut pod_labels = pool.labels.clone();
    pod_labels.extend(labels::pool(&cluster.name, &pool.name));
    let mut annotations = pool.annotations.clone();
    annotations.insert(labels::CONFIG_INPUTS.into(), wanted.config_inputs.clone());
    annotations.insert(labels::POD_INPUTS.into(), wanted.pod_inputs.clone());
    annotations.insert(labels::CONFIG_FILE.into(), wanted.config_file.clone());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(pod_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod_spec(cluster, wanted, advertised)),
    }
}

fn pod_spec(cluster: &ValidCluster, wanted: &Wanted, advertised: &str) -> PodSpec {
    let pool = &cluster.pool;
    let secret = |name: &String| LocalObjectReference { name: name.clone() };
    PodSpec {
        service_account_name: Some(cluster.service_account()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(pool.termination_grace_period_seconds),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".into()),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(cluster, wanted, advertised)],
        volumes: Some(vec![Volume {
            name: "config".into(),
            config_map: Some(ConfigMapVolumeSource {
                name: cluster.config_map(),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        node_selector: non_empty_map(&pool.node_selector),
        tolerations: non_empty(&pool.tolerations),
        affinity: pool.affinity.clone(),
        topology_spread_constraints: non_empty(&spread(cluster)),
        priority_class_name: pool.priority_class_name.clone(),
        image_pull_secrets: non_empty(&pool.image_pull_secrets.iter().map(secret).collect::<Vec<_>>()),
        ..PodSpec::default()
    }
}

/// Without a selector a spread constraint would count nothing; the pool's own pods are meant.
fn spread(cluster: &ValidCluster) -> Vec<TopologySpreadConstraint> {
    let own = LabelSelector {
        match_labels: Some(labels::selector(&cluster.name, &cluster.pool.name)),
        ..LabelSelector::default()
    };
    let mut constraints = cluster.pool.topology_spread_constraints.clone();
    for constraint in &mut constraints {
        constraint.label_selector.get_or_insert_with(|| own.clone());
    }
    constraints
}

fn container(cluster: &ValidCluster, wanted: &Wanted, advertised: &str) -> Container {
    let port = |name: &str, port: i32| ContainerPort {
        name: Some(name.into()),
        container_port: port,
        protocol: Some("TCP".into()),
        ..ContainerPort::default()
    };
    let mut ports: Vec<ContainerPort> =
        cluster.listeners.iter().map(|listener| port(&listener.name, listener.port)).collect();
    ports.push(port("admin", ADMIN_PORT));
    let mount = |name: &str, path: &str, read_only: Option<bool>| VolumeMount {
        name: name.into(),
        mount_path: path.into(),
        read_only,
        ..VolumeMount::default()
    };
    let args = [
        "broker",
        "--config",
        &format!("{CONFIG_MOUNT}/{FILE_NAME}"),
        "--log-format",
        "json",
        "--override",
        &format!("advertised.listeners={advertised}"),
    ];
    Container {
        name: CONTAINER.into(),
        image: Some(wanted.image.clone()),
        args: Some(args.map(str::to_owned).into()),
        env: Some(vec![
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("HOST_IP", "status.hostIP"),
        ]),
        ports: Some(ports),
        resources: resources(cluster),
        volume_mounts: Some(vec![mount("data", DATA_MOUNT, None), mount("config", CONFIG_MOUNT, Some(true))]),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), ..Capabilities::default() }),
            ..SecurityContext::default()
        }),
        // The admin endpoint answers before recovery begins; ten minutes cover a node that is starved.
        startup_probe: Some(probe("/livez", 1, 600)),
        // Three minutes of silence: a process that long without an answer is stuck, not busy.
        liveness_probe: Some(probe("/livez", 10, 18)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.into()),
            port: IntOrString::Int(ADMIN_PORT),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: path.into(),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

fn resources(cluster: &ValidCluster) -> Option<ResourceRequirements> {
    let amounts = |map: &BTreeMap<String, IntOrString>| {
        let quantity = |amount: &IntOrString| match amount {
            IntOrString::Int(number) => Quantity(number.to_string()),
            IntOrString::String(text) => Quantity(text.clone()),
        };
        (!map.is_empty()).then(|| map.iter().map(|(name, amount)| (name.clone(), quantity(amount))).collect())
    };
    let wanted = &cluster.pool.resources;
    (!wanted.is_empty()).then(|| ResourceRequirements {
        requests: amounts(&wanted.requests),
        limits: amounts(&wanted.limits),
        ..ResourceRequirements::default()
    })
}

fn non_empty<T: Clone>(list: &[T]) -> Option<Vec<T>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn non_empty_map(map: &BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then(|| map.clone())
}
