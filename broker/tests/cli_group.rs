//! Promise: a group's bookmarks and lag are shown as they are, moved as asked, and kept for who reads on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;
mod terminal;

use serde_json::{Value, json};
use support::Broker;
use terminal::{fails, json, produce, run};

fn broker_with_ten_orders() -> Broker {
    let broker = Broker::start(&["group.initial.rebalance.delay.ms=0"]);
    run(&broker, "topic create orders -p 2");
    produce(&broker, "produce orders -p 0", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    broker
}

fn partition_0(broker: &Broker) -> Value {
    json(broker, "group describe billing")[0]["partitions"][0].clone()
}

#[test]
fn a_group_goes_on_after_exactly_what_was_printed() {
    let broker = broker_with_ten_orders();
    assert_eq!(run(&broker, "consume orders -g billing -n 4"), "0\n1\n2\n3\n");
    let expected = json!({
        "topic": "orders", "partition": 0, "bookmark": 4, "nextOffset": 10, "lag": 6, "member": null,
    });
    assert_eq!(partition_0(&broker), expected);
    assert_eq!(run(&broker, "consume orders -g billing -e"), "4\n5\n6\n7\n8\n9\n");
    assert_eq!(partition_0(&broker)["lag"], json!(0));
    assert_eq!(run(&broker, "consume orders -g auditing -e").lines().count(), 10);
    let groups = json(&broker, "group list");
    let names: Vec<_> =
        groups.as_array().unwrap().iter().map(|group| (&group["group"], &group["state"])).collect();
    assert_eq!(names, [(&json!("auditing"), &json!("Empty")), (&json!("billing"), &json!("Empty"))]);
    let table = run(&broker, "group describe billing");
    assert!(
        table.starts_with("Group billing  Empty  0 members  coordinator 0\nTOPIC   PARTITION  BOOKMARK"),
        "{table}"
    );
}

#[test]
fn bookmarks_are_moved_to_any_place() {
    let broker = broker_with_ten_orders();
    run(&broker, "consume orders -g billing -e");
    for (to, bookmark) in [("beginning", 0), ("3", 3), ("-2", 8), ("end", 10), ("@0", 0), ("500", 10)] {
        let moved = json(&broker, &format!("group reset-offsets billing --topic orders:0 --to {to}"));
        assert_eq!(moved["partitions"][0]["bookmark"], json!(bookmark), "{to}");
        assert_eq!(partition_0(&broker)["bookmark"], json!(bookmark), "{to}");
    }
    let tried = json(&broker, "group reset-offsets billing --all-topics --to beginning --dry-run");
    assert_eq!((&tried["dryRun"], &tried["partitions"][0]["before"]), (&json!(true), &json!(10)));
    assert_eq!(partition_0(&broker)["bookmark"], json!(10));
    run(&broker, "group reset-offsets fresh --topic orders --to -1");
    assert_eq!(run(&broker, "consume orders -g fresh -e"), "9\n");
}

#[test]
fn a_deleted_group_is_gone_and_begins_anew() {
    let broker = broker_with_ten_orders();
    run(&broker, "consume orders -g billing -e");
    assert_eq!(run(&broker, "group delete billing"), "group billing deleted\n");
    let (code, words) = fails(&broker, "group describe billing");
    assert_eq!(code, 4);
    assert!(words.starts_with("error: group billing does not exist (GROUP_ID_NOT_FOUND)"), "{words}");
    assert_eq!(fails(&broker, "group delete billing").0, 4);
    assert_eq!(run(&broker, "consume orders -g billing -n 1"), "0\n");
}

#[test]
fn a_group_that_reads_is_shown_with_its_members_and_cannot_be_moved() {
    let broker = broker_with_ten_orders();
    let mut reader = terminal::logspine(&broker, "consume orders -g billing")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 2];
    std::io::Read::read_exact(reader.stdout.as_mut().unwrap(), &mut first).unwrap();
    let described = &json(&broker, "group describe billing")[0];
    assert_eq!((&described["state"], &described["assignor"]), (&json!("Stable"), &json!("range")));
    assert_eq!(described["members"][0]["assignment"], json!(["orders-0", "orders-1"]));
    assert_eq!(described["members"][0]["clientId"], json!("logspine-cli"));
    for action in ["reset-offsets billing --topic orders --to beginning", "delete billing"] {
        let (code, words) = fails(&broker, &format!("group {action}"));
        assert!(code == 1 && words.contains("stop them first"), "{words}");
    }
    let pid = reader.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(reader.wait().unwrap().success());
    assert_eq!(json(&broker, "group describe billing")[0]["state"], json!("Empty"));
    assert_eq!(partition_0(&broker)["bookmark"], json!(10));
}
