//! Promise: Apache Kafka's own command-line tools of 4.3.1 administer this broker and print what is true.
//!
//! Contents and figures are asserted, not exit codes alone. Several commands share one JVM where they tell one
//! story; verifiable producer and performance tools are in `foreign_kafka_load.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod foreign;
mod support;
mod terminal;

use foreign::toolbox::{Toolbox, table};
use serde_json::json;
use support::Broker;
use terminal::{json, produce, run};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand --bootstrap-server BROKER";
const CONFIGS: &str = "kafka.admin.ConfigCommand --bootstrap-server BROKER";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell --bootstrap-server BROKER";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server BROKER";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server BROKER";

#[test]
fn kafka_topics_creates_describes_widens_and_deletes() {
    let broker = Broker::start(&[]);
    let Some(mut tools) = Toolbox::open("kafka_topics_creates_describes_widens_and_deletes", &broker) else {
        return;
    };
    let created =
        tools.ok(&format!("{TOPICS} --create --topic orders --partitions 3 --config retention.ms=86400000"));
    assert!(created.contains("Created topic orders."), "{created}");
    assert_eq!(tools.ok(&format!("{TOPICS} --list")).lines().last(), Some("orders"));

    let described = tools.ok(&format!("{TOPICS} --describe --topic orders"));
    let id = json(&broker, "topic list")[0]["topicId"].as_str().unwrap().to_owned();
    let head = format!(
        "Topic: orders\tTopicId: {id}\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: retention.ms=86400000"
    );
    let partition = |index: i32| {
        format!("\tTopic: orders\tPartition: {index}\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: \tLastKnownElr: ")
    };
    let lines: Vec<_> = described.lines().skip_while(|line| !line.starts_with("Topic:")).collect();
    assert_eq!(lines, [head, partition(0), partition(1), partition(2)]);

    let again = tools.run(&format!("{TOPICS} --create --topic orders"));
    assert!(again.exit_code == 1 && again.printed.contains("Topic 'orders' already exists."), "{again:?}");
    tools.ok(&format!("{TOPICS} --create --topic orders --if-not-exists"));
    tools.ok(&format!("{TOPICS} --alter --topic orders --partitions 5"));
    let fewer = tools.run(&format!("{TOPICS} --alter --topic orders --partitions 2"));
    assert!(fewer.exit_code == 1 && fewer.printed.contains("5"), "{fewer:?}");
    assert_eq!(json(&broker, "topic list")[0]["partitions"], json!(5));

    for state in ["--unavailable-partitions", "--under-replicated-partitions", "--at-min-isr-partitions"] {
        let printed = tools.ok(&format!("{TOPICS} --describe {state}"));
        let expected = if state.starts_with("--at-min") { 5 } else { 0 };
        assert_eq!(
            printed.lines().filter(|line| line.contains("Topic: orders")).count(),
            expected,
            "{state}: {printed}"
        );
    }
    tools.ok(&format!("{TOPICS} --delete --topic orders"));
    assert_eq!(json(&broker, "topic list"), json!([]));
    let gone = tools.run(&format!("{TOPICS} --describe --topic orders"));
    assert!(gone.exit_code == 1 && gone.printed.contains("'orders' does not exist"), "{gone:?}");
}

#[test]
fn kafka_configs_changes_and_shows_topics_and_brokers() {
    let broker = Broker::start(&["log.retention.hours=48"]);
    let Some(mut tools) = Toolbox::open("kafka_configs_changes_and_shows_topics_and_brokers", &broker) else {
        return;
    };
    run(&broker, "topic create orders");
    let set = "retention.bytes=1000000,cleanup.policy=[compact,delete]";
    tools.ok(&format!("{CONFIGS} --alter --topic orders --add-config {set}"));
    let shown = tools.ok(&format!("{CONFIGS} --describe --topic orders"));
    assert!(
        shown.contains(
            "retention.bytes=1000000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.bytes=1000000"
        ),
        "{shown}"
    );
    assert!(shown.contains("cleanup.policy=compact,delete sensitive=false"), "{shown}");
    let configs = json!({"cleanup.policy": "compact,delete", "retention.bytes": "1000000"});
    assert_eq!(json(&broker, "topic describe orders")[0]["configs"], configs);

    tools.ok(&format!("{CONFIGS} --alter --topic orders --delete-config retention.bytes,cleanup.policy"));
    assert_eq!(json(&broker, "topic describe orders")[0]["configs"], json!({}));
    let all = tools.ok(&format!("{CONFIGS} --describe --all --topic orders"));
    // What the broker was started with is the topic's value, with its way to it.
    let retention = "retention.ms=172800000 sensitive=false synonyms={STATIC_BROKER_CONFIG:log.retention.hours=48, \
                     DEFAULT_CONFIG:log.retention.hours=168}";
    assert!(all.contains(retention), "{all}");
    assert!(all.contains("flush.messages=1 sensitive=false"), "{all}");

    let wrong = tools.run(&format!("{CONFIGS} --alter --topic orders --add-config retention.ms=soon"));
    assert!(wrong.exit_code == 1 && wrong.printed.contains("retention.ms"), "{wrong:?}");
    let unknown = tools.run(&format!("{CONFIGS} --alter --topic orders --add-config no.such.config=1"));
    assert!(unknown.exit_code == 1 && unknown.printed.contains("no.such.config"), "{unknown:?}");
    let of_broker = tools.ok(&format!("{CONFIGS} --describe --broker 0 --all"));
    assert!(of_broker.contains("log.retention.hours=48 sensitive=false"), "{of_broker}");
}

#[test]
fn kafka_get_offsets_and_delete_records_agree_about_what_is_there() {
    let broker = Broker::start(&[]);
    let test = "kafka_get_offsets_and_delete_records_agree_about_what_is_there";
    let Some(mut tools) = Toolbox::open(test, &broker) else { return };
    run(&broker, "topic create orders -p 2");
    let lines: String = (0..100).map(|n| format!("{n}\n")).collect();
    produce(&broker, "produce orders -p 0", &lines);
    produce(&broker, "produce orders -p 1", &lines[..20]);
    let mut offsets = |time: &str| {
        let printed = tools.ok(&format!("{OFFSETS} --topic orders --time {time}"));
        printed.lines().filter(|line| line.starts_with("orders:")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offsets("latest"), ["orders:0:100", "orders:1:10"]);
    assert_eq!(offsets("earliest"), ["orders:0:0", "orders:1:0"]);
    assert_eq!(offsets("max-timestamp").len(), 2);
    assert_eq!(offsets("1"), ["orders:0:0", "orders:1:0"]);

    let file = broker.dir.path().join("delete.json");
    let wanted = json!({"version": 1, "partitions": [
        {"topic": "orders", "partition": 0, "offset": 60}, {"topic": "orders", "partition": 1, "offset": -1},
    ]});
    std::fs::write(&file, wanted.to_string()).unwrap();
    let deleted = tools.ok(&format!("{DELETE_RECORDS} --offset-json-file {}", file.display()));
    assert!(deleted.contains("partition: orders-0\tlow_watermark: 60"), "{deleted}");
    assert!(deleted.contains("partition: orders-1\tlow_watermark: 10"), "{deleted}");
    let printed = tools.ok(&format!("{OFFSETS} --topic orders --time earliest"));
    assert!(printed.contains("orders:0:60\norders:1:10"), "{printed}");
    assert_eq!(
        run(&broker, "consume orders -p 0 -e"),
        lines.lines().skip(60).map(|l| format!("{l}\n")).collect::<String>()
    );
}

#[test]
fn kafka_consumer_groups_shows_lag_and_moves_bookmarks() {
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]);
    let Some(mut tools) = Toolbox::open("kafka_consumer_groups_shows_lag_and_moves_bookmarks", &broker)
    else {
        return;
    };
    run(&broker, "topic create orders -p 1");
    produce(&broker, "produce orders", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    run(&broker, "consume orders -g billing -n 4");

    let listed = tools.ok(&format!("{GROUPS} --list --state"));
    assert!(table(&listed).contains(&vec!["billing", "Empty"]), "{listed}");
    let described = tools.ok(&format!("{GROUPS} --describe --group billing"));
    assert!(described.contains("Consumer group 'billing' has no active members."), "{described}");
    assert!(
        table(&described).contains(&vec!["billing", "orders", "0", "4", "10", "6", "-", "-", "-"]),
        "{described}"
    );

    let moves = [("--to-earliest", 0), ("--to-latest", 10), ("--shift-by -3", 7), ("--to-offset 5", 5)];
    for (to, bookmark) in moves {
        let moved =
            tools.ok(&format!("{GROUPS} --reset-offsets --group billing --topic orders {to} --execute"));
        let row = ["billing".to_owned(), "orders".to_owned(), "0".to_owned(), bookmark.to_string()];
        assert!(table(&moved).contains(&row.iter().map(String::as_str).collect()), "{to}: {moved}");
        let ours = json(&broker, "group describe billing");
        assert_eq!(ours[0]["partitions"][0]["bookmark"], json!(bookmark), "{to}");
    }
    assert_eq!(run(&broker, "consume orders -g billing -e"), "5\n6\n7\n8\n9\n");

    tools.ok(&format!("{GROUPS} --delete-offsets --group billing --topic orders"));
    assert_eq!(json(&broker, "group describe billing")[0]["partitions"], json!([]));
    let deleted = tools.ok(&format!("{GROUPS} --delete --group billing"));
    assert!(
        deleted.contains("Deletion of requested consumer groups ('billing') was successful."),
        "{deleted}"
    );
    assert!(!tools.ok(&format!("{GROUPS} --list")).contains("billing"));
    // The tool reports an unknown group and exits with 0, on Apache Kafka too.
    let gone = tools.run(&format!("{GROUPS} --describe --group billing"));
    assert!(gone.printed.contains("Group billing not found."), "{gone:?}");
}

#[test]
fn kafka_consumer_groups_shows_who_reads_what() {
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]);
    let Some(mut tools) = Toolbox::open("kafka_consumer_groups_shows_who_reads_what", &broker) else {
        return;
    };
    run(&broker, "topic create orders -p 2");
    produce(&broker, "produce orders -p 1", "0\n1\n2\n");
    let mut reader = terminal::logspine(&broker, "consume orders -g billing")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = [0; 6];
    std::io::Read::read_exact(reader.stdout.as_mut().unwrap(), &mut printed).unwrap();

    let members = tools.ok(&format!("{GROUPS} --describe --group billing --members --verbose"));
    let row = table(&members)
        .into_iter()
        .find(|row| row.first() == Some(&"billing"))
        .expect("one member")
        .join(" ");
    assert!(row.contains("/127.0.0.1 logspine-cli 2") && row.contains("orders:0,1"), "{members}");
    let state = tools.ok(&format!("{GROUPS} --describe --group billing --state"));
    let expected = ["billing", &broker.address(), "(0)", "range", "Stable", "1"].join(" ");
    assert!(table(&state).iter().any(|row| row.join(" ") == expected), "{state}");
    let refused = tools.run(&format!("{GROUPS} --delete --group billing"));
    assert!(refused.printed.contains("The group is not empty"), "{refused:?}");

    let _ = reader.kill();
    let _ = reader.wait();
}
