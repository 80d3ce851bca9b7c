//! One value that says what was found and what is remembered. Pure; `mod.rs` writes it when it differs.
//!
//! Partitions, replication factor and leaders are as observed. When the topic could not be observed, what
//! was known stays.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;

use super::plan::{self, Actual, Memory, Plan};
use super::validate::ValidTopic;
use crate::brokers::ActualTopic;
use crate::crd::{BrokerLeaders, TOPIC_CONDITIONS, Topic, TopicStatus};
use crate::kube::conditions::{self, Verdict};

/// What is remembered in a status.
pub fn memory(status: Option<&TopicStatus>) -> Memory {
    status.map_or_else(Memory::default, |status| Memory {
        topic_id: status.topic_id.clone(),
        intent: status.intent,
        managed_config: status.managed_config.iter().cloned().collect(),
    })
}

/// Whether the present generation of the spec has been carried out before.
pub fn settled(topic: &Topic) -> bool {
    topic.status.as_ref().is_some_and(|status| {
        status.observed_generation.is_some() && status.observed_generation == topic.metadata.generation
    })
}

/// The status after a plan. The generation counts as observed when nothing is left to do about it.
pub fn status(
    topic: &Topic,
    wanted: &ValidTopic,
    actual: &Actual,
    plan: &Plan,
    now: Timestamp,
) -> TopicStatus {
    let mut status = topic.status.clone().unwrap_or_default();
    if plan.actions.is_empty() && plan.ready.is_some() {
        status.observed_generation = topic.metadata.generation;
    }
    status.topic_name = Some(wanted.name.clone());
    status.topic_id = plan.memory.topic_id.clone();
    status.intent = plan.memory.intent;
    status.managed_config = plan.memory.managed_config.iter().cloned().collect();
    status.conflicts_with = match actual {
        Actual::Conflict(other) => Some(other.clone()),
        _ => None,
    };
    match actual {
        Actual::Present(found) => observe(&mut status, wanted, found),
        Actual::Absent => forget(&mut status),
        _ => {}
    }
    judge(&mut status, topic, plan.ready.clone(), now);
    status
}

/// The status after something that only changes the condition.
pub fn said(topic: &Topic, verdict: Verdict, now: Timestamp) -> TopicStatus {
    let mut status = topic.status.clone().unwrap_or_default();
    judge(&mut status, topic, Some(verdict), now);
    status
}

fn judge(status: &mut TopicStatus, topic: &Topic, verdict: Option<Verdict>, now: Timestamp) {
    let verdicts: Vec<_> = verdict.into_iter().map(|verdict| ("Ready", verdict)).collect();
    status.conditions =
        conditions::merge(&TOPIC_CONDITIONS, &status.conditions, now, topic.metadata.generation, &verdicts);
}

fn observe(status: &mut TopicStatus, wanted: &ValidTopic, found: &ActualTopic) {
    let counted = |wanted: fn(&crate::brokers::ActualPartition) -> bool| {
        i32::try_from(found.partitions.iter().filter(|partition| wanted(partition)).count()).ok()
    };
    let mut leaders: BTreeMap<i32, i32> = BTreeMap::new();
    for leader in found.partitions.iter().filter_map(|partition| partition.leader) {
        *leaders.entry(leader).or_default() += 1;
    }
    status.partitions = Some(plan::count(found));
    status.replication_factor = plan::replication_factor(found);
    status.under_replicated = counted(|partition| partition.in_sync < partition.replicas);
    status.offline = counted(|partition| partition.leader.is_none());
    status.leaders = leaders.into_iter().map(|(broker, leaders)| BrokerLeaders { broker, leaders }).collect();
    status.config_differences = plan::differences(wanted, found);
}

fn forget(status: &mut TopicStatus) {
    status.partitions = None;
    status.replication_factor = None;
    status.under_replicated = None;
    status.offline = None;
    status.leaders.clear();
    status.config_differences.clear();
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::validate::tests::topic as topic_of;
    use super::super::validate::validate;
    use super::*;
    use crate::brokers::ActualPartition;

    #[test]
    fn what_is_observed_is_said_and_the_value_is_stable() {
        let mut topic = topic_of(json!({}));
        let wanted = validate(&topic).unwrap();
        let partition = |leader, in_sync| ActualPartition { leader, replicas: 2, in_sync };
        let found = ActualTopic {
            id: "A".into(),
            partitions: vec![partition(Some(1), 2), partition(Some(0), 1), partition(None, 0)],
            ..ActualTopic::default()
        };
        let actual = Actual::Present(found);
        let plan =
            plan::plan(&wanted, &Memory { topic_id: Some("A".into()), ..Memory::default() }, &actual, false);
        let now = Timestamp::from_second(5).unwrap();
        let first = status(&topic, &wanted, &actual, &plan, now);
        assert_eq!((first.partitions, first.replication_factor), (Some(3), Some(2)));
        assert_eq!((first.under_replicated, first.offline), (Some(2), Some(1)));
        assert_eq!(first.leaders.len(), 2);
        assert_eq!(first.observed_generation, Some(1));
        topic.status = Some(first.clone());
        assert!(settled(&topic));
        assert_eq!(status(&topic, &wanted, &actual, &plan, Timestamp::from_second(9).unwrap()), first);
    }
}
