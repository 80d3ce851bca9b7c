//! Who may restart when: a table, and the story of one restart told pass by pass.

use serde_json::json;

use super::*;

fn broker(state: BrokerState) -> Broker {
    Broker {
        id: 0,
        pod: "events-main-0".into(),
        uid: "old".into(),
        terminating: false,
        ready: state == BrokerState::Running,
        state,
        stuck: None,
        restart_needed: Some("image changes".into()),
    }
}

fn record() -> Restart {
    Restart {
        broker: 0,
        pod: "events-main-0".into(),
        pod_uid: "old".into(),
        reason: "image changes".into(),
        blocked_by: None,
    }
}

#[test]
fn a_restart_is_recorded_then_done_then_finished() {
    let mut now = broker(BrokerState::Running);
    assert_eq!(decide(None, std::slice::from_ref(&now)), Decision::Begin(record()));
    assert_eq!(decide(Some(&record()), std::slice::from_ref(&now)), Decision::Delete(record()));
    now.terminating = true;
    assert_eq!(decide(Some(&record()), std::slice::from_ref(&now)), Decision::Wait(record()));
    assert_eq!(decide(Some(&record()), &[]), Decision::Wait(record()));
    let mut new = Broker { uid: "new".into(), restart_needed: None, ..broker(BrokerState::Recovering) };
    assert_eq!(decide(Some(&record()), std::slice::from_ref(&new)), Decision::Wait(record()));
    new.state = BrokerState::Running;
    new.ready = true;
    assert_eq!(decide(Some(&record()), std::slice::from_ref(&new)), Decision::Finish(record()));
    assert_eq!(decide(None, &[new]), Decision::Nothing);
}

#[test]
fn only_a_running_or_a_stuck_broker_may_go() {
    use BrokerState::*;
    for (state, may_go) in [
        (Running, true),
        (Failing, true),
        (Recovering, false),
        (Starting, false),
        (Pending, false),
        (Stopping, false),
        (Missing, false),
        (Unreachable, false),
    ] {
        let begun = matches!(decide(None, &[broker(state)]), Decision::Begin(_));
        assert_eq!(begun, may_go, "{state:?}");
        let deleted = matches!(decide(Some(&record()), &[broker(state)]), Decision::Delete(_));
        assert_eq!(deleted, may_go, "{state:?}: the gate is asked again right before the deletion");
    }
    let stuck = Broker { stuck: Some("ErrImagePull".into()), ..broker(Pending) };
    assert!(matches!(decide(None, &[stuck]), Decision::Begin(_)));
}

#[test]
fn a_blocked_restart_says_why() {
    let Decision::Blocked(words) = decide(None, &[broker(BrokerState::Recovering)]) else {
        panic!("not blocked")
    };
    assert!(words.contains("broker 0") && words.contains("recovering"), "{words}");
}

#[test]
fn a_new_pod_that_cannot_start_blocks_the_restart_and_a_corrected_spec_cures_it() {
    let new = Broker {
        uid: "new".into(),
        stuck: Some("ErrImagePull".into()),
        restart_needed: None,
        ..broker(BrokerState::Failing)
    };
    let Decision::Wait(waiting) = decide(Some(&record()), std::slice::from_ref(&new)) else {
        panic!("not waiting")
    };
    assert!(waiting.blocked_by.unwrap().contains("ErrImagePull"));
    let corrected = Broker { restart_needed: Some("image changes again".into()), ..new };
    let Decision::Begin(next) = decide(Some(&record()), &[corrected]) else { panic!("not begun") };
    assert_eq!((next.pod_uid.as_str(), next.reason.as_str()), ("new", "image changes again"));
}

#[test]
fn a_restart_that_is_no_longer_needed_is_cancelled() {
    let reverted = Broker { restart_needed: None, ..broker(BrokerState::Running) };
    assert_eq!(decide(Some(&record()), &[reverted]), Decision::Cancel);
}

fn wanted() -> Wanted {
    Wanted {
        image: "l:2".into(),
        config_inputs: "c".into(),
        pod_inputs: "p".into(),
        config_file: "f2".into(),
    }
}

/// A pod that carries exactly what is wanted; a test changes one thing.
fn pod(change: impl FnOnce(&mut serde_json::Value)) -> Pod {
    let mut pod = json!({
        "metadata": { "name": "events-main-0", "uid": "u", "annotations": {
            "logspine.dev/config-inputs": "c", "logspine.dev/pod-inputs": "p", "logspine.dev/config-file": "f1"
        } },
        "spec": { "containers": [{ "name": "broker", "image": "l:2" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "broker", "image": "l:2", "imageID": "", "ready": true, "restartCount": 0,
                "started": true, "state": { "running": {} } }] }
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn running(config_hash: &str) -> BrokerReport {
    BrokerReport {
        state: "running".into(),
        ready: true,
        config_hash: config_hash.into(),
        ..BrokerReport::default()
    }
}

#[test]
fn what_makes_a_restart_necessary() {
    let reason =
        |pod: &Pod, report: Option<&BrokerReport>| super::broker(pod, report, &wanted()).restart_needed;
    assert_eq!(reason(&pod(|_| {}), Some(&running("f1"))), None);
    assert_eq!(reason(&pod(|_| {}), None), None);
    let image = pod(|pod| pod["spec"]["containers"][0]["image"] = json!("l:1"));
    assert!(reason(&image, None).unwrap().contains("from l:1 to l:2"));
    let config = pod(|pod| pod["metadata"]["annotations"]["logspine.dev/config-inputs"] = json!("x"));
    assert!(reason(&config, None).unwrap().contains("configuration"));
    let settings = pod(|pod| pod["metadata"]["annotations"]["logspine.dev/pod-inputs"] = json!("x"));
    assert!(reason(&settings, None).unwrap().contains("pod settings"));
    assert!(reason(&pod(|_| {}), Some(&running("f0"))).unwrap().contains("older configuration file"));
    assert_eq!(
        reason(&pod(|_| {}), Some(&running("f2"))),
        None,
        "a container that restarted has read the new file"
    );
}

#[test]
fn states_are_told_from_the_pod_and_the_report() {
    let state = |pod: &Pod, report: Option<&BrokerReport>| super::broker(pod, report, &wanted()).state;
    assert_eq!(state(&pod(|_| {}), Some(&running(""))), BrokerState::Running);
    assert_eq!(state(&pod(|_| {}), None), BrokerState::Unreachable);
    let pending = pod(|pod| pod["status"] = json!({ "phase": "Pending" }));
    assert_eq!(state(&pending, None), BrokerState::Pending);
    let image = pod(|pod| {
        pod["status"]["containerStatuses"][0]["state"] =
            json!({ "waiting": { "reason": "ImagePullBackOff" } });
    });
    assert_eq!(state(&image, None), BrokerState::Failing);
    let crashed = pod(|pod| {
        let status = &mut pod["status"]["containerStatuses"][0];
        status["state"] = json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 10s" } });
        status["lastState"] = json!({ "terminated": { "exitCode": 3 } });
    });
    let seen = super::broker(&crashed, None, &wanted());
    assert_eq!(seen.stuck.unwrap(), "CrashLoopBackOff: the broker ended with exit code 3");
    let unscheduled = pod(|pod| {
        pod["status"] = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/1 nodes" }
        ] });
    });
    assert!(super::broker(&unscheduled, None, &wanted()).stuck.unwrap().contains("0/1 nodes"));
}
