//! Promise: topics are made, shown, changed and deleted from the command line, as tables and as JSON.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;
mod terminal;

use serde_json::json;
use support::Broker;
use terminal::{fails, json, produce, run};

#[test]
fn a_topic_is_created_listed_described_and_deleted() {
    let broker = Broker::start(&[]);
    assert_eq!(run(&broker, "topic create orders -p 3 -c retention.ms=86400000"), "topic orders created\n");
    let topics = json(&broker, "topic list");
    let id = topics[0]["topicId"].as_str().expect("an id").to_owned();
    assert_eq!(
        (id.len(), &topics[0]["partitions"], &topics[0]["replicationFactor"]),
        (22, &json!(3), &json!(1))
    );
    assert_eq!(run(&broker, "topic list"), "TOPIC   PARTITIONS  REPLICAS\norders           3         1\n");

    produce(&broker, "produce orders -p 2", "a\nb\nc\n");
    let described = &json(&broker, "topic describe orders")[0];
    assert_eq!(described["topicId"], json!(id));
    assert_eq!(described["configs"], json!({"retention.ms": "86400000"}));
    let partition = |index: i64, next: i64| {
        json!({
            "partition": index, "leader": 0, "leaderEpoch": 0, "replicas": [0], "isr": [0], "offline": [],
            "firstOffset": 0, "nextOffset": next,
        })
    };
    assert_eq!(described["partitions"], json!([partition(0, 0), partition(1, 0), partition(2, 3)]));
    let table = run(&broker, "topic describe orders");
    assert!(
        table.starts_with(&format!("Topic orders  id {id}\n  retention.ms=86400000\nPARTITION  LEADER")),
        "{table}"
    );

    assert_eq!(run(&broker, "topic delete orders"), "topic orders deleted\n");
    assert_eq!(json(&broker, "topic list"), json!([]));
}

#[test]
fn what_exists_or_is_missing_can_be_accepted_or_is_refused() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create orders");
    let (code, words) = fails(&broker, "topic create orders");
    assert_eq!(code, 1);
    assert!(words.contains("TOPIC_ALREADY_EXISTS") && words.contains("--if-not-exists"), "{words}");
    assert_eq!(run(&broker, "topic create orders --if-not-exists"), "topic orders exists already\n");
    let (code, words) = fails(&broker, "topic delete nothing");
    assert_eq!(code, 4);
    assert!(words.starts_with("error: topic nothing does not exist"), "{words}");
    run(&broker, "topic delete nothing --if-exists");
    run(&broker, "topic create tried --validate-only");
    assert_eq!(fails(&broker, "topic describe tried").0, 4);
}

#[test]
fn configs_are_set_and_unset() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create orders -c retention.ms=1000");
    run(&broker, "topic alter orders --set retention.bytes=5000000 --unset retention.ms");
    assert_eq!(json(&broker, "topic describe orders")[0]["configs"], json!({"retention.bytes": "5000000"}));
    let all = json(&broker, "topic describe orders --all-configs");
    assert_eq!(all[0]["configs"]["retention.ms"], json!("604800000"));
    let (code, words) = fails(&broker, "topic alter orders --set retention.ms=soon");
    assert_eq!(code, 1);
    assert!(words.contains("retention.ms") && words.contains("INVALID_CONFIG"), "{words}");
}

#[test]
fn partitions_are_added_and_never_taken_away() {
    let broker = Broker::start(&[]);
    run(&broker, "topic create orders -p 2");
    run(&broker, "topic add-partitions orders --total 5");
    assert_eq!(json(&broker, "topic list")[0]["partitions"], json!(5));
    let (code, words) = fails(&broker, "topic add-partitions orders --total 3");
    assert_eq!(code, 1);
    assert!(words.contains("INVALID_PARTITIONS") && words.contains("larger total"), "{words}");
}
