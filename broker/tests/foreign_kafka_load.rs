//! Promise: Apache Kafka's own load tools of 4.3.1 work against this broker, and their figures are the log's.
//!
//! Producer and consumer performance, verifiable producer and consumer. Every tool runs in a JVM of its own: the
//! verifiable ones do half of their work in a shutdown hook.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;
mod terminal;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::Broker;
use terminal::{json, run};

/// Runs one tool; what it printed to standard output.
fn tool(test: &str, broker: &Broker, line: &str) -> Option<String> {
    let line = line.replace("BROKER", &broker.address());
    let output = foreign::java(test)?.args(line.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn events(printed: &str, name: &str) -> Vec<Value> {
    let events = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter(|event| event["name"] == name).collect()
}

#[test]
fn producer_and_consumer_performance_count_what_the_log_counts() {
    let test = "producer_and_consumer_performance_count_what_the_log_counts";
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]);
    run(&broker, "topic create load -p 3");
    let produced = tool(
        test,
        &broker,
        "org.apache.kafka.tools.ProducerPerformance --bootstrap-server BROKER --topic load --num-records 100000 \
         --record-size 100 --throughput -1 --command-property compression.type=lz4 acks=all",
    );
    let Some(produced) = produced else { return };
    let summary = produced.lines().last().unwrap_or_default();
    assert!(summary.starts_with("100000 records sent, "), "{produced}");
    let partitions = json(&broker, "topic describe load")[0]["partitions"].clone();
    let ends =
        partitions.as_array().unwrap().iter().map(|partition| partition["nextOffset"].as_i64().unwrap());
    assert_eq!(ends.sum::<i64>(), 100_000);

    let consumed = tool(
        test,
        &broker,
        "org.apache.kafka.tools.ConsumerPerformance --bootstrap-server BROKER --topic load --num-records 100000 \
         --group performance",
    )
    .expect("java was here a moment ago");
    let figures: Vec<_> = consumed.lines().last().unwrap_or_default().split(", ").collect();
    // Megabytes and messages: 100,000 records of 100 bytes.
    assert_eq!((figures[2], figures[4]), ("9.5367", "100000"), "{consumed}");
    assert_eq!(json(&broker, "group describe performance")[0]["lag"], json!(0));
    println!("producer: {summary}");
    println!("consumer: {} MB/s, {} records/s", figures[3], figures[5]);
}

#[test]
fn the_verifiable_consumer_gets_what_the_verifiable_producer_got_acknowledged() {
    let test = "the_verifiable_consumer_gets_what_the_verifiable_producer_got_acknowledged";
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]);
    run(&broker, "topic create checked -p 3");
    let produced = tool(
        test,
        &broker,
        "org.apache.kafka.tools.VerifiableProducer --bootstrap-server BROKER --topic checked --max-messages 2000 \
         --acks -1 --repeating-keys 50",
    );
    let Some(produced) = produced else { return };
    let acknowledged = events(&produced, "producer_send_success");
    let total = &events(&produced, "tool_data")[0];
    assert_eq!((acknowledged.len(), &total["acked"], &total["sent"]), (2000, &json!(2000), &json!(2000)));
    let values: BTreeSet<_> =
        acknowledged.iter().map(|event| event["value"].as_str().unwrap().to_owned()).collect();
    assert_eq!(values, (0..2000).map(|n| n.to_string()).collect());
    let places: BTreeSet<_> =
        acknowledged.iter().map(|event| (event["partition"].as_i64(), event["offset"].as_i64())).collect();
    assert_eq!(places.len(), 2000, "two records were acknowledged at one offset");

    let consumed = tool(
        test,
        &broker,
        "org.apache.kafka.tools.VerifiableConsumer --bootstrap-server BROKER --topic checked --group-id verifiers \
         --max-messages 2000 --reset-policy earliest --verbose",
    )
    .expect("java was here a moment ago");
    let place =
        |event: &Value| (event["partition"].as_i64(), event["offset"].as_i64(), event["value"].clone());
    let read: BTreeSet<_> =
        events(&consumed, "record_data").iter().map(|e| place(e).clone()).map(|p| format!("{p:?}")).collect();
    let written: BTreeSet<_> = acknowledged.iter().map(|e| format!("{:?}", place(e))).collect();
    assert!(read == written, "{} records read, {} acknowledged", read.len(), written.len());
    assert!(events(&consumed, "offsets_committed").iter().all(|event| event["success"] == json!(true)));
    let group = &json(&broker, "group describe verifiers")[0];
    assert_eq!((&group["lag"], &group["state"]), (&json!(0), &json!("Empty")));
}
