//! Promise: the command line shows the cluster as it is, and says in one sentence what is wrong when it is not.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;
mod terminal;

use serde_json::json;
use support::Broker;
use terminal::{fails, json, logspine, run};

#[test]
fn the_cluster_and_its_brokers_are_shown() {
    let broker = Broker::start(&[]);
    let cluster = json(&broker, "cluster describe");
    assert_eq!(cluster["clusterId"].as_str().map(str::len), Some(22));
    let expected = json!([{
        "id": 0, "host": "127.0.0.1", "port": broker.port, "rack": null, "controller": true, "fenced": false,
    }]);
    assert_eq!(cluster["brokers"], expected);
    assert!(run(&broker, "cluster describe").contains(&broker.address()));
}

#[test]
fn configs_of_a_broker_are_shown_with_their_source() {
    let broker = Broker::start(&["log.retention.ms=7200000"]);
    let configs = json(&broker, "cluster config --broker 0");
    let configs = configs["configs"].as_array().expect("a list");
    let given = configs.iter().find(|config| config["name"] == "log.retention.ms").expect("the one we gave");
    assert_eq!((&given["value"], &given["source"]), (&json!("7200000"), &json!("STATIC_BROKER_CONFIG")));
    let all = json(&broker, "cluster config --all");
    assert!(all["configs"].as_array().expect("a list").len() > configs.len());
}

#[test]
fn a_broker_that_is_not_there_is_said_in_one_sentence_with_a_remedy() {
    let broker = Broker::prepared(&[]);
    let (code, words) = fails(&broker, "topic list --timeout 1");
    assert_eq!(code, 3);
    let lines: Vec<_> = words.lines().collect();
    assert_eq!(lines.len(), 2, "{words}");
    assert!(lines[0].starts_with(&format!("error: no broker answers at {}: ", broker.address())), "{words}");
    assert!(lines[1].contains("--bootstrap"), "{words}");
}

#[test]
fn wrong_usage_is_told_apart_from_refusal() {
    let broker = Broker::prepared(&[]);
    for line in ["consume t -o soon", "consume t -f %q", "topic create t -c novalue", "consume t -g g -p 1"] {
        assert_eq!(fails(&broker, line).0, 2, "{line}");
    }
}

#[test]
fn every_help_text_has_examples_and_exit_codes() {
    let broker = Broker::prepared(&[]);
    for command in ["topic", "produce", "consume", "group", "cluster"] {
        let help =
            String::from_utf8(logspine(&broker, &format!("{command} --help")).output().unwrap().stdout)
                .unwrap();
        assert!(help.contains("Examples:") && help.contains("Exit codes:"), "{help}");
    }
}
