//! What a Cluster says about itself in the situations that matter.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::gather::FoundPod;
use super::super::validate::tests::cluster as cluster_of;
use super::super::validate::validate;
use super::*;
use crate::brokers::ActualCluster;

fn nothing() -> Found {
    Found {
        service_account: None,
        config_map: None,
        services: BTreeMap::new(),
        disruption_budget: None,
        stateful_set: None,
        pods: Vec::new(),
        claims: Vec::new(),
        cluster: None,
    }
}

fn serving(report: BrokerReport) -> Found {
    let pod = serde_json::from_value(json!({ "metadata": { "name": "events-main-0" } })).unwrap();
    Found {
        stateful_set: Some(Default::default()),
        pods: vec![FoundPod { pod, report: Some(report) }],
        cluster: Some(Ok(ActualCluster {
            cluster_id: "id".into(),
            controller_id: Some(0),
            brokers: vec![0],
        })),
        ..nothing()
    }
}

fn running() -> Broker {
    Broker {
        id: 0,
        pod: "events-main-0".into(),
        uid: "u".into(),
        terminating: false,
        ready: true,
        state: BrokerState::Running,
        stuck: None,
        restart_needed: None,
    }
}

fn report() -> BrokerReport {
    BrokerReport {
        version: "0.1.0".into(),
        disk_total_bytes: 100,
        disk_used_bytes: 10,
        leaders: 3,
        ..BrokerReport::default()
    }
}

fn judge(cluster: &Cluster, found: &Found, brokers: &[Broker], restart: Option<Restart>) -> ClusterStatus {
    let valid = validate(cluster).unwrap();
    status(&Seen {
        cluster,
        valid: &valid,
        found,
        brokers,
        cluster_id: "id",
        restart,
        blocked: None,
        now: Timestamp::from_second(100).unwrap(),
    })
}

fn reason<'a>(status: &'a ClusterStatus, type_: &str) -> (&'a str, &'a str) {
    let condition = conditions::find(&status.conditions, type_).unwrap();
    (&condition.status, &condition.reason)
}

#[test]
fn a_serving_cluster_is_ready_and_its_status_is_stable() {
    let mut cluster = cluster_of(json!({}));
    let status = judge(&cluster, &serving(report()), &[running()], None);
    assert_eq!(reason(&status, "Ready"), ("True", "Ready"));
    assert_eq!(reason(&status, "Degraded").0, "False");
    assert_eq!(status.ready_brokers.as_deref(), Some("1/1"));
    assert_eq!(status.health.as_deref(), Some("ok"));
    assert_eq!(status.brokers[0].leaders, Some(3));
    assert_eq!(status.listeners[0].bootstrap, "events-bootstrap.shop.svc:9092");
    cluster.status = Some(status.clone());
    assert_eq!(
        judge(&cluster, &serving(report()), &[running()], None),
        status,
        "nothing new, nothing to write"
    );
}

#[test]
fn creating_becomes_unreachable_only_after_it_has_served() {
    let mut cluster = cluster_of(json!({}));
    let first = judge(&cluster, &nothing(), &[], None);
    assert_eq!(reason(&first, "Ready"), ("False", "Creating"));
    assert_eq!(reason(&first, "Progressing"), ("True", "Creating"));
    cluster.status = Some(judge(&cluster, &serving(report()), &[running()], None));
    let lost = judge(&cluster, &nothing(), &[], None);
    assert_eq!(reason(&lost, "Ready"), ("False", "BrokerUnreachable"));
    cluster.status = Some(lost);
    let still = judge(&cluster, &nothing(), &[], None);
    assert_eq!(reason(&still, "Available"), ("False", "BrokerUnreachable"));
}

#[test]
fn a_restart_and_what_blocks_it_are_said() {
    let cluster = cluster_of(json!({}));
    let restart = Restart {
        broker: 0,
        pod: "events-main-0".into(),
        pod_uid: "u".into(),
        reason: "image changes".into(),
        blocked_by: None,
    };
    let rolling = judge(&cluster, &serving(report()), &[running()], Some(restart.clone()));
    assert_eq!(reason(&rolling, "Ready"), ("False", "RollingRestart"));
    let blocked = Restart { blocked_by: Some("the new pod cannot start: ErrImagePull".into()), ..restart };
    let blocked = judge(&cluster, &serving(report()), &[running()], Some(blocked));
    assert_eq!(reason(&blocked, "Degraded"), ("True", "RolloutBlocked"));
    assert_eq!(reason(&blocked, "Ready"), ("False", "RolloutBlocked"));
}

#[test]
fn a_nearly_full_disk_is_said_without_flapping() {
    let mut cluster = cluster_of(json!({}));
    let mut storage = |used| {
        let found = serving(BrokerReport { disk_used_bytes: used, ..report() });
        let status = judge(&cluster, &found, &[running()], None);
        let verdict = reason(&status, "StorageOk").0.to_owned();
        cluster.status = Some(status);
        verdict
    };
    let said: Vec<String> = [10, 84, 85, 84, 80, 79, 84].map(&mut storage).into();
    assert_eq!(said, ["True", "True", "False", "False", "False", "True", "True"]);
}

#[test]
fn brokers_of_another_cluster_are_not_ours() {
    let cluster = cluster_of(json!({}));
    let mut found = serving(report());
    found.cluster = Some(Ok(ActualCluster { cluster_id: "other".into(), ..ActualCluster::default() }));
    let status = judge(&cluster, &found, &[running()], None);
    assert_eq!(reason(&status, "Available"), ("False", "VolumeConflict"));
    assert_eq!(reason(&status, "Ready").0, "False");
}

#[test]
fn a_refused_spec_keeps_what_was_known() {
    let mut cluster = cluster_of(json!({}));
    cluster.status = Some(judge(&cluster, &serving(report()), &[running()], None));
    let status = refused(&cluster, "InvalidSpec", "no", Timestamp::from_second(200).unwrap());
    assert_eq!(reason(&status, "Ready"), ("False", "InvalidSpec"));
    assert_eq!(reason(&status, "Available"), ("True", "Available"));
    assert_eq!(status.cluster_id.as_deref(), Some("id"));
}
