//! One value that says what was found and done. Pure; `mod.rs` writes it, and only when it differs.
//!
//! Nothing in it changes without a cause in the cluster. Reasons come from the closed vocabulary of
//! operator.md: Ready, Creating, RollingRestart, RolloutBlocked, BrokerUnreachable, DiskNearlyFull,
//! InvalidSpec, VolumeConflict, Paused.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::jiff::Timestamp;

use super::gather::Found;
use super::rollout::Broker;
use super::validate::ValidCluster;
use crate::brokers::{AdminError, BrokerReport};
use crate::crd::{
    BrokerState, BrokerStatus, CLUSTER_CONDITIONS, Cluster, ClusterStatus, ListenerStatus, ListenerType,
    Restart,
};
use crate::kube::conditions::{self, Verdict};

/// Above this share of used disk the volume is nearly full; it stays so until it falls below the second.
const DISK_FULL_PERCENT: u64 = 85;
const DISK_FINE_PERCENT: u64 = 80;

/// What a pass knows at its end.
pub struct Seen<'a> {
    /// The object as it was read.
    pub cluster: &'a Cluster,
    /// Its spec.
    pub valid: &'a ValidCluster,
    /// What was gathered.
    pub found: &'a Found,
    /// The brokers as the rollout saw them.
    pub brokers: &'a [Broker],
    /// Kafka's cluster id.
    pub cluster_id: &'a str,
    /// The restart to record.
    pub restart: Option<Restart>,
    /// Why a restart may not begin.
    pub blocked: Option<String>,
    /// The clock.
    pub now: Timestamp,
}

/// The status of a Cluster whose spec is valid.
pub fn status(seen: &Seen<'_>) -> ClusterStatus {
    let before = seen.cluster.status.clone().unwrap_or_default();
    let desired = seen.valid.pool.replicas;
    let ready = seen.brokers.iter().filter(|broker| broker.ready).count();
    let reports = || seen.found.pods.iter().filter_map(|pod| pod.report.as_ref());
    let answer = seen.found.cluster.as_ref().and_then(|answer| answer.as_ref().ok());
    ClusterStatus {
        observed_generation: seen.cluster.metadata.generation,
        conditions: conditions::merge(
            &CLUSTER_CONDITIONS,
            &before.conditions,
            seen.now,
            seen.cluster.metadata.generation,
            &verdicts(seen, &before),
        ),
        cluster_id: (!seen.cluster_id.is_empty()).then(|| seen.cluster_id.into()),
        ready_brokers: Some(format!("{ready}/{desired}")),
        version: reports()
            .map(|report| report.version.clone())
            .find(|version| !version.is_empty())
            .or(before.version),
        health: health(reports()).or(before.health),
        controller_id: answer.and_then(|cluster| cluster.controller_id).or(before.controller_id),
        brokers: (0..desired).map(|id| broker(seen, id)).collect(),
        listeners: listeners(seen),
        restart: seen.restart.clone(),
    }
}

/// The status of a Cluster that cannot be acted on: what was known stays, the reason is new.
pub fn refused(cluster: &Cluster, reason: &'static str, words: &str, now: Timestamp) -> ClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let verdicts = [
        ("Ready", Verdict::no(reason, words)),
        ("Degraded", Verdict::yes(reason, words)),
        ("Progressing", Verdict::no(reason, words)),
        ("Paused", paused(cluster)),
    ];
    status.observed_generation = cluster.metadata.generation;
    status.conditions = conditions::merge(
        &CLUSTER_CONDITIONS,
        &status.conditions,
        now,
        cluster.metadata.generation,
        &verdicts,
    );
    status
}

/// The status that records a new cluster id, before anything else happens.
pub fn with_identity(cluster: &Cluster, cluster_id: &str, now: Timestamp) -> ClusterStatus {
    let mut status = cluster.status.clone().unwrap_or_default();
    let creating = "the cluster id is recorded, objects come next";
    let verdicts =
        [("Ready", Verdict::no("Creating", creating)), ("Progressing", Verdict::yes("Creating", creating))];
    status.cluster_id = Some(cluster_id.into());
    status.conditions = conditions::merge(
        &CLUSTER_CONDITIONS,
        &status.conditions,
        now,
        cluster.metadata.generation,
        &verdicts,
    );
    status
}

fn verdicts(seen: &Seen<'_>, before: &ClusterStatus) -> [(&'static str, Verdict); 6] {
    let available = available(seen, before);
    let degraded = degraded(seen);
    let progressing = progressing(seen, before);
    let ready = match (&seen.restart, &degraded, &available) {
        (_, Verdict { holds: Some(true), reason, message }, _) => Verdict::no(reason, message),
        (Some(restart), _, _) => Verdict::no("RollingRestart", words(restart)),
        (None, _, Verdict { holds: Some(true), .. }) if seen.brokers.iter().all(|broker| broker.ready) => {
            Verdict::yes("Ready", "all brokers serve clients")
        }
        (None, _, Verdict { holds: Some(true), .. }) => {
            Verdict::no("BrokerUnreachable", "a broker is not ready")
        }
        (None, _, other) => Verdict::no(other.reason, &other.message),
    };
    [
        ("Ready", ready),
        ("Available", available),
        ("Progressing", progressing),
        ("Degraded", degraded),
        ("StorageOk", storage(seen, before)),
        ("Paused", paused(seen.cluster)),
    ]
}

/// Whether clients are served, by the brokers' own word.
fn available(seen: &Seen<'_>, before: &ClusterStatus) -> Verdict {
    match &seen.found.cluster {
        Some(Ok(answer)) if answer.cluster_id != seen.cluster_id => Verdict::no(
            "VolumeConflict",
            format!(
                "brokers say they are cluster {}, this Cluster is {}",
                answer.cluster_id, seen.cluster_id
            ),
        ),
        Some(Ok(_)) => Verdict::yes("Available", "brokers answer clients"),
        // A reason that repeats the words of a failed attempt would change with each of them.
        Some(Err(AdminError::Unreachable { .. })) => {
            Verdict::no("BrokerUnreachable", "no broker answers on the bootstrap address")
        }
        Some(Err(AdminError::Refused { message, .. })) => Verdict::no("BrokerUnreachable", message),
        None if was_ever_available(before) => Verdict::no("BrokerUnreachable", describe(seen)),
        None => Verdict::no("Creating", describe(seen)),
    }
}

/// A Cluster that has served clients once is no longer being created.
fn was_ever_available(before: &ClusterStatus) -> bool {
    conditions::find(&before.conditions, "Available")
        .is_some_and(|condition| condition.status == "True" || condition.reason == "BrokerUnreachable")
}

fn describe(seen: &Seen<'_>) -> String {
    if seen.found.stateful_set.is_none() {
        return "objects are being made".into();
    }
    if seen.brokers.is_empty() {
        return "no pod exists yet".into();
    }
    let one = |broker: &Broker| match &broker.stuck {
        Some(words) => format!("broker {} cannot start: {words}", broker.id),
        None => format!("broker {} is {}", broker.id, doing(broker.state)),
    };
    seen.brokers.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn doing(state: BrokerState) -> &'static str {
    match state {
        BrokerState::Missing => "missing",
        BrokerState::Pending => "waiting to be started",
        BrokerState::Failing => "failing",
        BrokerState::Starting => "starting",
        BrokerState::Recovering => "recovering its logs",
        BrokerState::Running => "running",
        BrokerState::Stopping => "stopping",
        BrokerState::Unreachable => "not answering",
    }
}

fn degraded(seen: &Seen<'_>) -> Verdict {
    if let Some(words) =
        seen.restart.as_ref().and_then(|restart| restart.blocked_by.as_ref()).or(seen.blocked.as_ref())
    {
        return Verdict::yes("RolloutBlocked", words);
    }
    if let Some(broker) = seen.brokers.iter().find(|broker| broker.stuck.is_some()) {
        let words = broker.stuck.as_deref().unwrap_or_default();
        return Verdict::yes("BrokerUnreachable", format!("broker {} cannot start: {words}", broker.id));
    }
    Verdict::no("AsExpected", "nothing stands in the way")
}

fn progressing(seen: &Seen<'_>, before: &ClusterStatus) -> Verdict {
    match &seen.restart {
        Some(restart) => Verdict::yes("RollingRestart", words(restart)),
        None if seen.found.cluster.is_none() && !was_ever_available(before) => {
            Verdict::yes("Creating", describe(seen))
        }
        None => Verdict::no("AsExpected", "nothing is under way"),
    }
}

fn words(restart: &Restart) -> String {
    format!("broker {} restarts: {}", restart.broker, restart.reason)
}

/// With a gap between full and fine, so that the condition does not flap.
fn storage(seen: &Seen<'_>, before: &ClusterStatus) -> Verdict {
    let was_full = conditions::find(&before.conditions, "StorageOk")
        .is_some_and(|condition| condition.status == "False");
    let limit = if was_full { DISK_FINE_PERCENT } else { DISK_FULL_PERCENT };
    let reports = || {
        seen.found
            .pods
            .iter()
            .filter_map(|pod| pod.report.as_ref())
            .filter(|report| report.disk_total_bytes > 0)
    };
    let percent = |report: &BrokerReport| {
        u128::from(report.disk_used_bytes) * 100 / u128::from(report.disk_total_bytes.max(1))
    };
    match reports().find(|report| percent(report) >= u128::from(limit)) {
        Some(report) => Verdict::no(
            "DiskNearlyFull",
            format!("the volume of broker {} is over {limit} % full", report.broker_id),
        ),
        None if reports().next().is_some() => Verdict::yes("AsExpected", "volumes have space"),
        None => match conditions::find(&before.conditions, "StorageOk")
            .map(|condition| condition.status.as_str())
        {
            Some("True") => Verdict::yes("AsExpected", "volumes have space"),
            Some("False") => {
                Verdict::no("DiskNearlyFull", "the volume was nearly full when the broker last answered")
            }
            _ => Verdict::unknown("BrokerUnreachable", "no broker has reported yet"),
        },
    }
}

fn paused(cluster: &Cluster) -> Verdict {
    if cluster.spec.paused {
        Verdict::yes("Paused", "spec.paused is true: nothing is written until it is false")
    } else {
        Verdict::no("Active", "changes are carried out")
    }
}

fn health<'a>(reports: impl Iterator<Item = &'a BrokerReport>) -> Option<String> {
    let mut reports = reports.peekable();
    reports.peek()?;
    let (offline, under) = reports
        .fold((0, 0), |(offline, under), report| (offline.max(report.offline), under + report.under_min_isr));
    Some(match (offline, under) {
        (0, 0) => "ok".into(),
        (offline, 0) => format!("{offline} offline"),
        (0, under) => format!("{under} under min ISR"),
        (offline, under) => format!("{offline} offline, {under} under min ISR"),
    })
}

fn broker(seen: &Seen<'_>, id: i32) -> BrokerStatus {
    let pod = seen.valid.pod(id);
    let found = seen.brokers.iter().find(|broker| broker.pod == pod);
    let report = seen
        .found
        .pods
        .iter()
        .find(|found| found.pod.metadata.name.as_deref() == Some(&pod))
        .and_then(|found| found.report.as_ref());
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    BrokerStatus {
        id,
        pvc: seen.valid.claim(id),
        state: found.map_or(BrokerState::Missing, |broker| broker.state),
        version: report.and_then(|report| text(&report.version)),
        config_hash: report.and_then(|report| text(&report.config_hash)),
        leaders: report.map(|report| report.leaders),
        replicas: report.map(|report| report.replicas),
        under_replicated: report.map(|report| report.under_replicated),
        offline: report.map(|report| report.offline),
        under_min_isr: report.map(|report| report.under_min_isr),
        restart_needed: found.and_then(|broker| broker.restart_needed.clone()),
        pod,
    }
}

fn listeners(seen: &Seen<'_>) -> Vec<ListenerStatus> {
    let one = |listener: &crate::crd::Listener| {
        let bootstrap = match listener.type_ {
            ListenerType::Internal => seen.valid.bootstrap(),
            ListenerType::NodePort => {
                let service = seen.found.services.get(&seen.valid.listener_service(listener));
                format!("<node>:{}", listener.node_port.or_else(|| service.and_then(node_port))?)
            }
        };
        Some(ListenerStatus { name: listener.name.clone(), bootstrap })
    };
    let mut listeners: Vec<ListenerStatus> = seen.valid.listeners.iter().filter_map(one).collect();
    listeners.sort_by(|left, right| left.name.cmp(&right.name));
    listeners
}

/// The port of the nodes that Kubernetes has given to a Service.
pub fn node_port(service: &Service) -> Option<i32> {
    service.spec.as_ref()?.ports.as_ref()?.first()?.node_port
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
