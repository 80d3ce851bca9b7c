//! Which pod may restart now, or why none. Pure.
//!
//! One restart at a time. It is recorded in status before the pod is deleted, and a later pass acts on the
//! record; the pod goes with a UID precondition, so a stale view can never hit the replacement. A broker
//! that is recovering is left alone, and one that does not answer is not restarted on a guess: a probe
//! that fails means no. The exception is a pod that cannot start anyway (a wrong image, a crash loop):
//! there is nothing to lose, and the new template may be the cure. What is compared are hashes of what the
//! user wrote, so an upgrade of the operator alone restarts nobody.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::build::{CONTAINER, Wanted};
use crate::brokers::BrokerReport;
use crate::crd::{BrokerState, Restart};
use crate::kube::labels;

/// One broker as the decision sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Its pod.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// True when the pod is being deleted.
    pub terminating: bool,
    /// True when Kubernetes and the broker itself say that it serves.
    pub ready: bool,
    /// What it is doing.
    pub state: BrokerState,
    /// Why the container cannot start, when it cannot.
    pub stuck: Option<String>,
    /// Why it must restart, when it must.
    pub restart_needed: Option<String>,
}

/// What to do about restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is under way and nothing is needed.
    Nothing,
    /// Record this restart; the next pass acts.
    Begin(Restart),
    /// Delete the pod of the recorded restart.
    Delete(Restart),
    /// The recorded restart goes on by itself, or cannot go on.
    Wait(Restart),
    /// The recorded restart is complete.
    Finish(Restart),
    /// The recorded restart is not needed any more.
    Cancel,
    /// A restart is needed and may not begin.
    Blocked(String),
}

/// Decide. `current` is the restart recorded in status.
pub fn decide(current: Option<&Restart>, brokers: &[Broker]) -> Decision {
    match current {
        Some(restart) => go_on(restart, brokers),
        None => begin(brokers),
    }
}

fn begin(brokers: &[Broker]) -> Decision {
    let Some((broker, reason)) =
        brokers.iter().find_map(|broker| Some((broker, broker.restart_needed.clone()?)))
    else {
        return Decision::Nothing;
    };
    match refusal(broker) {
        Some(words) => Decision::Blocked(format!("broker {}: {words}", broker.id)),
        None => Decision::Begin(Restart {
            broker: broker.id,
            pod: broker.pod.clone(),
            pod_uid: broker.uid.clone(),
            reason,
            blocked_by: None,
        }),
    }
}

fn go_on(restart: &Restart, brokers: &[Broker]) -> Decision {
    let wait =
        |words: &str| Decision::Wait(Restart { blocked_by: Some(words.to_owned()), ..restart.clone() });
    let quiet = || Decision::Wait(Restart { blocked_by: None, ..restart.clone() });
    let Some(broker) = brokers.iter().find(|broker| broker.pod == restart.pod) else {
        return quiet();
    };
    if broker.terminating {
        return quiet();
    }
    if broker.uid == restart.pod_uid {
        if broker.restart_needed.is_none() {
            return Decision::Cancel;
        }
        return match refusal(broker) {
            Some(words) => wait(&words),
            None => Decision::Delete(Restart { blocked_by: None, ..restart.clone() }),
        };
    }
    if broker.restart_needed.is_some() {
        // The spec changed again while the replacement was coming up.
        return begin(brokers);
    }
    match &broker.stuck {
        _ if broker.ready => Decision::Finish(restart.clone()),
        Some(words) => wait(&format!("the new pod cannot start: {words}")),
        None => quiet(),
    }
}

/// Why this broker must not be restarted now.
fn refusal(broker: &Broker) -> Option<String> {
    if broker.terminating {
        return Some("its pod is being deleted already".into());
    }
    if broker.stuck.is_some() {
        return None;
    }
    match broker.state {
        BrokerState::Running => None,
        BrokerState::Recovering => Some("it is recovering its logs and is left alone until it has".into()),
        BrokerState::Starting | BrokerState::Pending => Some("it is starting".into()),
        BrokerState::Stopping => Some("it is stopping".into()),
        BrokerState::Missing => Some("its pod does not exist yet".into()),
        BrokerState::Failing => None,
        BrokerState::Unreachable => Some("it does not answer, and silence is no permission".into()),
    }
}

/// Describe one pod for the decision.
pub fn broker(pod: &Pod, report: Option<&BrokerReport>, wanted: &Wanted) -> Broker {
    let name = pod.name_any();
    let id = name.rsplit('-').next().and_then(|ordinal| ordinal.parse().ok()).unwrap_or(0);
    let stuck = stuck(pod);
    Broker {
        id,
        uid: pod.uid().unwrap_or_default(),
        terminating: pod.metadata.deletion_timestamp.is_some(),
        ready: is_ready(pod) && report.is_some_and(|report| report.ready),
        state: state(pod, report, stuck.is_some()),
        restart_needed: restart_needed(pod, report, wanted),
        stuck,
        pod: name,
    }
}

fn state(pod: &Pod, report: Option<&BrokerReport>, stuck: bool) -> BrokerState {
    if pod.metadata.deletion_timestamp.is_some() {
        return BrokerState::Stopping;
    }
    match report.map(|report| report.state.as_str()) {
        Some("running") => BrokerState::Running,
        Some("recovering") => BrokerState::Recovering,
        Some("stopping") => BrokerState::Stopping,
        Some(_) => BrokerState::Starting,
        None if stuck => BrokerState::Failing,
        None if phase(pod) != "Running" => BrokerState::Pending,
        None if container(pod).is_some_and(|status| status.started != Some(true)) => BrokerState::Starting,
        None => BrokerState::Unreachable,
    }
}

/// Why the pod is behind what is wanted.
fn restart_needed(pod: &Pod, report: Option<&BrokerReport>, wanted: &Wanted) -> Option<String> {
    let image = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .find(|container| container.name == CONTAINER)
        .and_then(|container| container.image.clone())
        .unwrap_or_default();
    if image != wanted.image {
        return Some(format!("image changes from {image} to {}", wanted.image));
    }
    let carries = |annotation: &str| pod.annotations().get(annotation).map_or("", String::as_str);
    if carries(labels::CONFIG_INPUTS) != wanted.config_inputs {
        return Some("configuration or listeners changed".into());
    }
    if carries(labels::POD_INPUTS) != wanted.pod_inputs {
        return Some("pod settings changed".into());
    }
    let running = report.map_or("", |report| report.config_hash.as_str());
    let expected = [carries(labels::CONFIG_FILE), wanted.config_file.as_str()];
    if !running.is_empty() && !expected.contains(&running) {
        return Some("the broker runs with an older configuration file than its pod carries".into());
    }
    None
}

/// Waiting reasons that do not pass by themselves.
const STUCK: [&str; 8] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Why the container cannot start, when it cannot.
fn stuck(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(condition) = unscheduled {
        return Some(format!("no node takes it: {}", condition.message.clone().unwrap_or_default()));
    }
    let state = container(pod)?.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        return STUCK.contains(&reason).then(|| match container(pod).and_then(last_words) {
            Some(words) => format!("{reason}: {words}"),
            None => reason.to_owned(),
        });
    }
    let ended = state.terminated.as_ref()?;
    Some(format!("the broker ended with exit code {}", ended.exit_code))
}

/// Why the container ended the last time. Backoff times are left out: they change by themselves.
fn last_words(status: &ContainerStatus) -> Option<String> {
    let ended = status.last_state.as_ref()?.terminated.as_ref()?;
    Some(format!("the broker ended with exit code {}", ended.exit_code))
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == CONTAINER)
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn is_ready(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
#[path = "rollout/tests.rs"]
mod tests;
