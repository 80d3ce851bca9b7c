//! From desired and actual to what is to be done, or why nothing is. Pure.
//!
//! A topic's identity is its id. What the operator must remember (`Memory`) is recorded in status before
//! the actions that depend on it; a plan whose memory is not recorded yet is not carried out. No action
//! here loses a record unless a policy of the user orders it: partitions never shrink, an unknown topic is
//! not altered, a lost topic is not silently replaced by an empty one, and only a topic whose id this
//! object recorded is ever deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::validate::ValidTopic;
use crate::brokers::{ActualTopic, ConfigChange, NewTopic};
use crate::crd::{Adopt, RecreatePolicy, TopicIntent};
use crate::kube::conditions::Verdict;

/// What the operator remembers of a Topic, in its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The id of the topic that is ours.
    pub topic_id: Option<String>,
    /// What is about to be done.
    pub intent: Option<TopicIntent>,
    /// Keys that we have set.
    pub managed_config: BTreeSet<String>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actual {
    /// The Cluster does not exist.
    NoCluster,
    /// The Cluster is paused.
    Paused,
    /// Another, older Topic names the same topic.
    Conflict(String),
    /// No broker answers.
    Silent {
        /// For how long nothing has been heard.
        silent_for: Duration,
    },
    /// Brokers refuse to describe it.
    Refused(String),
    /// The topic does not exist.
    Absent,
    /// The topic exists.
    Present(ActualTopic),
}

/// One thing to do to the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the topic.
    Create(NewTopic),
    /// Raise the number of partitions.
    AddPartitions {
        /// Partitions there are.
        from: i32,
        /// Partitions wanted.
        to: i32,
    },
    /// Change its configuration.
    AlterConfig {
        /// What to change.
        change: ConfigChange,
        /// True when the brokers' state moved away from a spec that had been carried out.
        drift: bool,
    },
}

/// What to do, what to remember and what to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What must be in status before the actions.
    pub memory: Memory,
    /// What to do.
    pub actions: Vec<Action>,
    /// The condition Ready; `None` leaves it as it is.
    pub ready: Option<Verdict>,
}

/// A silence shorter than this is a restart and not worth a word.
pub const SILENCE_TOLERATED: Duration = Duration::from_secs(20);

/// Decide. `settled` is true when the present generation of the spec has been carried out before.
pub fn plan(wanted: &ValidTopic, memory: &Memory, actual: &Actual, settled: bool) -> Plan {
    let idle = |ready: Option<Verdict>| Plan { memory: memory.clone(), actions: Vec::new(), ready };
    let no = |reason, words: String| idle(Some(Verdict::no(reason, words)));
    match actual {
        Actual::NoCluster => {
            no("ClusterMissing", format!("Cluster {} does not exist in this namespace", wanted.cluster))
        }
        Actual::Paused => no("Paused", format!("Cluster {} is paused", wanted.cluster)),
        Actual::Conflict(other) => {
            no("TopicConflict", format!("Topic {other} is older and names the same topic"))
        }
        Actual::Silent { silent_for } if settled && *silent_for < SILENCE_TOLERATED => idle(None),
        Actual::Silent { .. } => {
            no("BrokerUnreachable", format!("no broker of Cluster {} answers", wanted.cluster))
        }
        Actual::Refused(words) => no("BrokerUnreachable", words.clone()),
        Actual::Absent => absent(wanted, memory),
        Actual::Present(topic) => present(wanted, memory, topic, settled),
    }
}

fn absent(wanted: &ValidTopic, memory: &Memory) -> Plan {
    if let Some(id) = &memory.topic_id
        && wanted.recreate_policy == RecreatePolicy::Fail
    {
        let words =
            format!("the topic with id {id} was deleted; set recreatePolicy: recreate for a new, empty one");
        return Plan {
            memory: memory.clone(),
            actions: Vec::new(),
            ready: Some(Verdict::no("TopicLost", words)),
        };
    }
    let new = NewTopic {
        name: wanted.name.clone(),
        partitions: wanted.partitions,
        replication_factor: wanted.replication_factor,
        config: wanted.config.clone(),
    };
    Plan {
        memory: Memory {
            topic_id: None,
            intent: Some(TopicIntent::Create),
            managed_config: wanted.config.keys().cloned().collect(),
        },
        actions: vec![Action::Create(new)],
        ready: Some(Verdict::no("Creating", "the topic is being created")),
    }
}

fn present(wanted: &ValidTopic, memory: &Memory, topic: &ActualTopic, settled: bool) -> Plan {
    let idle = |reason, words: String| Plan {
        memory: memory.clone(),
        actions: Vec::new(),
        ready: Some(Verdict::no(reason, words)),
    };
    let agrees = differences(wanted, topic).is_empty() && shape_difference(wanted, topic).is_none();
    let ours = match &memory.topic_id {
        Some(id) if *id == topic.id => true,
        Some(id) if wanted.recreate_policy == RecreatePolicy::Fail => {
            return idle(
                "TopicLost",
                format!("the topic with id {id} was deleted; another one with id {} has its name", topic.id),
            );
        }
        // The intent was recorded when the topic did not exist: one that looks as ordered is the one we made.
        None if memory.intent == Some(TopicIntent::Create) && agrees => true,
        Some(_) | None => false,
    };
    let may_adopt = match wanted.adopt {
        Adopt::Never => false,
        Adopt::IfIdentical => agrees,
        Adopt::Force => true,
    };
    if !ours && !may_adopt {
        return idle("AdoptionRefused", refusal(wanted, topic));
    }
    let mut managed = memory.managed_config.clone();
    if !ours {
        managed.clear();
    }
    let change = config_change(wanted, &managed, topic);
    managed.extend(wanted.config.keys().cloned());
    managed.retain(|key| wanted.config.contains_key(key) || change.reset.contains(key));
    let mut plan = Plan {
        memory: Memory { topic_id: Some(topic.id.clone()), intent: None, managed_config: managed },
        actions: Vec::new(),
        ready: Some(Verdict::yes("Ready", "the topic is as specified")),
    };
    if change != ConfigChange::default() {
        let drift = settled && ours;
        plan.actions.push(Action::AlterConfig { change, drift });
        plan.ready = Some(Verdict::no("Altering", "the topic's configuration is being changed"));
    }
    shape(wanted, topic, &mut plan);
    plan
}

fn refusal(wanted: &ValidTopic, topic: &ActualTopic) -> String {
    let mut differences: Vec<String> = shape_difference(wanted, topic).into_iter().collect();
    differences.extend(differences_in_words(wanted, topic));
    match wanted.adopt {
        Adopt::Never => "the topic exists already, and adopt is never".into(),
        _ => format!(
            "the topic exists already and differs ({}); adopt: force takes it over",
            differences.join(", ")
        ),
    }
}

/// Partitions and replicas: growing needs permission, anything else is refused.
fn shape(wanted: &ValidTopic, topic: &ActualTopic, plan: &mut Plan) {
    let have = count(topic);
    if have > wanted.partitions {
        let words = format!(
            "the topic has {have} partitions and {} are wanted: partitions cannot be taken away",
            wanted.partitions
        );
        plan.ready = Some(Verdict::no("PartitionDecreaseRefused", words));
    } else if have < wanted.partitions && !wanted.allow_partition_increase {
        let words = format!(
            "the topic has {have} partitions and {} are wanted: keys would spread differently; set allowPartitionIncrease if that is right",
            wanted.partitions
        );
        plan.ready = Some(Verdict::no("PartitionIncreaseRefused", words));
    } else if have < wanted.partitions {
        plan.actions.push(Action::AddPartitions { from: have, to: wanted.partitions });
        plan.ready = Some(Verdict::no("Altering", "partitions are being added"));
    } else if let Some(words) = shape_difference(wanted, topic) {
        plan.ready = Some(Verdict::no(
            "ReplicationChangeRefused",
            format!("{words}: reassignment is not supported yet"),
        ));
    }
}

fn shape_difference(wanted: &ValidTopic, topic: &ActualTopic) -> Option<String> {
    let have = count(topic);
    if have != wanted.partitions {
        return Some(format!("{have} partitions instead of {}", wanted.partitions));
    }
    let factor = replication_factor(topic)?;
    let other = wanted.replication_factor.filter(|wanted| *wanted != factor)?;
    Some(format!("replication factor {factor} instead of {other}"))
}

/// Number of partitions.
pub fn count(topic: &ActualTopic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

/// Replication factor as observed: the smallest of all partitions.
pub fn replication_factor(topic: &ActualTopic) -> Option<i32> {
    topic.partitions.iter().map(|partition| partition.replicas).min()
}

/// Keys whose value in effect differs from the spec, with that value.
pub fn differences(wanted: &ValidTopic, topic: &ActualTopic) -> BTreeMap<String, String> {
    let differs = |(key, value): (&String, &String)| {
        let actual = topic.config.get(key).map_or("", |entry| entry.value.as_str());
        (!same_value(actual, value)).then(|| (key.clone(), actual.to_owned()))
    };
    wanted.config.iter().filter_map(differs).collect()
}

fn differences_in_words(wanted: &ValidTopic, topic: &ActualTopic) -> Vec<String> {
    differences(wanted, topic)
        .iter()
        .map(|(key, actual)| {
            format!("{key} is {actual:?} instead of {:?}", wanted.config.get(key).map_or("", String::as_str))
        })
        .collect()
}

/// Set what the spec holds and the topic does not; reset what we set once and the spec no longer names.
fn config_change(wanted: &ValidTopic, managed: &BTreeSet<String>, topic: &ActualTopic) -> ConfigChange {
    let is_held = |key: &str, value: &str| {
        topic.config.get(key).is_some_and(|entry| entry.overridden && same_value(&entry.value, value))
    };
    let overridden = |key: &str| topic.config.get(key).is_some_and(|entry| entry.overridden);
    ConfigChange {
        set: wanted
            .config
            .iter()
            .filter(|(key, value)| !is_held(key, value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        reset: managed
            .iter()
            .filter(|key| {
                !wanted.config.contains_key(*key) && !wanted.hands_off.contains(key) && overridden(key)
            })
            .cloned()
            .collect(),
    }
}

/// Whether two texts are one value: brokers may print numbers and lists in their own way.
fn same_value(left: &str, right: &str) -> bool {
    if left == right {
        return true;
    }
    if let (Ok(left), Ok(right)) = (left.parse::<i64>(), right.parse::<i64>()) {
        return left == right;
    }
    if let (Ok(left), Ok(right)) = (left.parse::<f64>(), right.parse::<f64>()) {
        return left == right;
    }
    let list = |text: &str| text.split(',').map(|part| part.trim().to_owned()).collect::<BTreeSet<_>>();
    left.contains(',') && list(left) == list(right)
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
