//! What is done about a Topic in each situation, as a table of small stories.

use serde_json::json;

use super::super::validate::tests::topic as topic_of;
use super::super::validate::validate;
use super::*;
use crate::brokers::{ActualPartition, ConfigValue};

fn wanted(spec: serde_json::Value) -> ValidTopic {
    validate(&topic_of(spec)).unwrap()
}

fn actual(id: &str, partitions: usize, config: &[(&str, &str)]) -> ActualTopic {
    let overridden = |(key, value): &(&str, &str)| {
        ((*key).to_owned(), ConfigValue { value: (*value).to_owned(), overridden: true })
    };
    let mut all = BTreeMap::from([
        ("retention.ms".to_owned(), ConfigValue { value: "604800000".into(), overridden: false }),
        ("segment.bytes".to_owned(), ConfigValue { value: "1073741824".into(), overridden: false }),
    ]);
    all.extend(config.iter().map(overridden));
    ActualTopic {
        id: id.into(),
        partitions: vec![ActualPartition { leader: Some(0), replicas: 1, in_sync: 1 }; partitions],
        config: all,
    }
}

fn ours(id: &str, managed: &[&str]) -> Memory {
    Memory {
        topic_id: Some(id.into()),
        intent: None,
        managed_config: managed.iter().map(|key| (*key).to_owned()).collect(),
    }
}

fn reason(plan: &Plan) -> &'static str {
    plan.ready.as_ref().unwrap().reason
}

fn present(id: &str, partitions: usize, config: &[(&str, &str)]) -> Actual {
    Actual::Present(actual(id, partitions, config))
}

#[test]
fn a_new_topic_is_announced_then_created_then_recognized() {
    let wanted = wanted(json!({ "config": { "retention.ms": "1000" } }));
    let first = plan(&wanted, &Memory::default(), &Actual::Absent, false);
    assert_eq!(first.memory.intent, Some(TopicIntent::Create));
    assert!(matches!(&first.actions[..], [Action::Create(new)] if new.partitions == 3));
    let made = plan(&wanted, &first.memory, &present("A", 3, &[("retention.ms", "1000")]), false);
    assert_eq!(made.memory, ours("A", &["retention.ms"]));
    assert_eq!((made.actions.len(), reason(&made)), (0, "Ready"));
    let steady = plan(&wanted, &made.memory, &present("A", 3, &[("retention.ms", "1000")]), true);
    assert_eq!(steady, made, "nothing new, nothing to do");
}

#[test]
fn an_existing_topic_is_adopted_only_as_far_as_the_policy_allows() {
    let existing = [("retention.ms", "1000")];
    for (adopt, spec_value, expected) in [
        ("never", "1000", "AdoptionRefused"),
        ("ifIdentical", "1000", "Ready"),
        ("ifIdentical", "2000", "AdoptionRefused"),
        ("force", "2000", "Altering"),
    ] {
        let wanted = wanted(json!({ "adopt": adopt, "config": { "retention.ms": spec_value } }));
        let plan = plan(&wanted, &Memory::default(), &present("A", 3, &existing), false);
        assert_eq!(reason(&plan), expected, "{adopt} {spec_value}");
        assert_eq!(plan.memory.topic_id.is_some(), expected != "AdoptionRefused");
    }
    let other = plan(&wanted(json!({})), &Memory::default(), &present("A", 5, &[]), false);
    assert!(other.ready.unwrap().message.contains("5 partitions instead of 3"));
}

#[test]
fn an_intent_does_not_turn_a_stranger_into_ours() {
    let wanted = wanted(json!({ "adopt": "never", "config": { "retention.ms": "1000" } }));
    let intent = Memory { intent: Some(TopicIntent::Create), ..Memory::default() };
    let stranger = plan(&wanted, &intent, &present("A", 3, &[]), false);
    assert_eq!(reason(&stranger), "AdoptionRefused");
}

#[test]
fn partitions_grow_only_with_permission_and_never_shrink() {
    let memory = ours("A", &[]);
    let refused = plan(&wanted(json!({ "partitions": 6 })), &memory, &present("A", 3, &[]), false);
    assert_eq!((reason(&refused), refused.actions.len()), ("PartitionIncreaseRefused", 0));
    let allowed = wanted(json!({ "partitions": 6, "allowPartitionIncrease": true }));
    let grows = plan(&allowed, &memory, &present("A", 3, &[]), false);
    assert_eq!(grows.actions, [Action::AddPartitions { from: 3, to: 6 }]);
    let shrinks =
        plan(&wanted(json!({ "allowPartitionIncrease": true })), &memory, &present("A", 9, &[]), true);
    assert_eq!((reason(&shrinks), shrinks.actions.len()), ("PartitionDecreaseRefused", 0));
}

#[test]
fn another_replication_factor_is_refused_in_words() {
    let wanted = wanted(json!({ "replicationFactor": 3 }));
    let refused = plan(&wanted, &ours("A", &[]), &present("A", 3, &[]), true);
    assert_eq!(reason(&refused), "ReplicationChangeRefused");
}

#[test]
fn keys_of_the_spec_are_held_and_keys_taken_out_are_reset() {
    let wanted = wanted(json!({ "config": { "retention.ms": "2000" } }));
    let memory = ours("A", &["retention.ms", "segment.bytes"]);
    let actual =
        present("A", 3, &[("retention.ms", "1000"), ("segment.bytes", "2000000"), ("flush.ms", "7")]);
    let first = plan(&wanted, &memory, &actual, false);
    let [Action::AlterConfig { change, drift: false }] = &first.actions[..] else {
        panic!("{:?}", first.actions)
    };
    assert_eq!(change.set, BTreeMap::from([("retention.ms".into(), "2000".into())]));
    assert_eq!(change.reset, BTreeSet::from(["segment.bytes".into()]), "flush.ms was never ours");
    assert!(first.memory.managed_config.contains("segment.bytes"), "remembered until it is reset");
    let after =
        plan(&wanted, &first.memory, &present("A", 3, &[("retention.ms", "2000"), ("flush.ms", "7")]), false);
    assert_eq!((after.actions.len(), reason(&after)), (0, "Ready"));
    assert_eq!(after.memory, ours("A", &["retention.ms"]));
}

#[test]
fn null_leaves_a_key_alone_even_if_it_was_ours() {
    let wanted = wanted(json!({ "config": { "segment.bytes": null } }));
    let plan = plan(
        &wanted,
        &ours("A", &["segment.bytes"]),
        &present("A", 3, &[("segment.bytes", "2000000")]),
        true,
    );
    assert_eq!((plan.actions.len(), reason(&plan)), (0, "Ready"));
}

#[test]
fn a_default_of_the_right_value_is_made_explicit() {
    let wanted = wanted(json!({ "config": { "retention.ms": "604800000" } }));
    let plan = plan(&wanted, &ours("A", &["retention.ms"]), &present("A", 3, &[]), true);
    assert!(matches!(&plan.actions[..], [Action::AlterConfig { .. }]));
}

#[test]
fn drift_is_told_from_a_change_of_the_spec() {
    let wanted = wanted(json!({ "config": { "retention.ms": "2000" } }));
    let memory = ours("A", &["retention.ms"]);
    let moved = present("A", 3, &[("retention.ms", "1")]);
    assert!(matches!(
        &plan(&wanted, &memory, &moved, true).actions[..],
        [Action::AlterConfig { drift: true, .. }]
    ));
    assert!(matches!(
        &plan(&wanted, &memory, &moved, false).actions[..],
        [Action::AlterConfig { drift: false, .. }]
    ));
}

#[test]
fn a_topic_deleted_elsewhere_is_lost_and_never_silently_empty() {
    let fails = wanted(json!({}));
    for actual in [Actual::Absent, present("B", 3, &[])] {
        let lost = plan(&fails, &ours("A", &[]), &actual, true);
        assert_eq!((reason(&lost), lost.actions.len()), ("TopicLost", 0));
        assert_eq!(lost.memory, ours("A", &[]), "the identity is kept");
    }
    let recreates = wanted(json!({ "recreatePolicy": "recreate" }));
    let again = plan(&recreates, &ours("A", &[]), &Actual::Absent, true);
    assert!(matches!(&again.actions[..], [Action::Create(_)]));
    let adopted = plan(&recreates, &ours("A", &[]), &present("B", 3, &[]), true);
    assert_eq!((reason(&adopted), adopted.memory.topic_id.as_deref()), ("Ready", Some("B")));
}

#[test]
fn a_short_silence_is_no_news_and_a_long_one_is() {
    let silent = |seconds| Actual::Silent { silent_for: Duration::from_secs(seconds) };
    let wanted = wanted(json!({}));
    assert_eq!(plan(&wanted, &ours("A", &[]), &silent(5), true).ready, None);
    assert_eq!(reason(&plan(&wanted, &ours("A", &[]), &silent(25), true)), "BrokerUnreachable");
    assert_eq!(reason(&plan(&wanted, &Memory::default(), &silent(5), false)), "BrokerUnreachable");
}

#[test]
fn situations_without_a_topic_to_look_at() {
    let wanted = wanted(json!({}));
    for (actual, expected) in [
        (Actual::NoCluster, "ClusterMissing"),
        (Actual::Paused, "Paused"),
        (Actual::Conflict("older".into()), "TopicConflict"),
        (Actual::Refused("not authorized".into()), "BrokerUnreachable"),
    ] {
        let idle = plan(&wanted, &ours("A", &["k"]), &actual, true);
        assert_eq!((reason(&idle), idle.actions.len()), (expected, 0));
        assert_eq!(idle.memory, ours("A", &["k"]));
    }
}

#[test]
fn values_are_compared_as_brokers_mean_them() {
    for (left, right) in [("1", "01"), ("0.50", "0.5"), ("delete,compact", "compact,delete"), ("a", "a")] {
        assert!(same_value(left, right), "{left} {right}");
    }
    for (left, right) in [("1", "2"), ("a,b", "a"), ("true", "false"), ("", "0")] {
        assert!(!same_value(left, right), "{left} {right}");
    }
}
