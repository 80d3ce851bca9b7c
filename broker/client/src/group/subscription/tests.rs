//! Bytes equal to those of Kafka's own `ConsumerProtocol`, both ways.
//!
//! `testdata/consumer_protocol.txt` is what `testdata/ConsumerProtocolBytes.java` prints with Kafka 4.3.1; where
//! `LOGSPINE_KAFKA_LIBS` is set the program is run again and must print the same.

use std::collections::BTreeMap;
use std::process::Command;

use super::*;

const RECORDED: &str = include_str!("../../../testdata/consumer_protocol.txt");

fn recorded() -> BTreeMap<&'static str, Vec<u8>> {
    let hex = |digits: &str| {
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    };
    RECORDED
        .lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, digits)| (name, hex(digits)))
        .collect()
}

fn owned() -> Vec<TopicPartition> {
    vec![TopicPartition::new("bills", 7), TopicPartition::new("orders", 0), TopicPartition::new("orders", 2)]
}

fn plain() -> Subscription {
    Subscription {
        topics: vec!["bills".into(), "orders".into()],
        generation_id: -1,
        ..Subscription::default()
    }
}

fn full() -> Subscription {
    Subscription {
        user_data: Some(vec![1, 2, 3]),
        owned_partitions: owned(),
        generation_id: 42,
        rack_id: Some("rack-a".into()),
        ..plain()
    }
}

#[test]
fn subscriptions_are_written_as_kafka_writes_them() {
    let kafkas = recorded();
    for version in 0..=HIGHEST_VERSION {
        for (kind, subscription) in [("plain", plain()), ("full", full())] {
            let name = format!("subscription {kind} {version}");
            assert_eq!(encode_subscription(&subscription, version).unwrap(), kafkas[name.as_str()], "{name}");
        }
    }
}

#[test]
fn subscriptions_are_read_as_far_as_their_version_goes() {
    let kafkas = recorded();
    let expected = [
        Subscription { owned_partitions: Vec::new(), generation_id: -1, rack_id: None, ..full() },
        Subscription { generation_id: -1, rack_id: None, ..full() },
        Subscription { rack_id: None, ..full() },
        full(),
    ];
    for (version, expected) in (0..).zip(expected) {
        let mut read = decode_subscription(&kafkas[format!("subscription full {version}").as_str()]).unwrap();
        read.owned_partitions.sort();
        assert_eq!(read, expected, "version {version}");
    }
}

#[test]
fn assignments_are_written_and_read_as_kafka_does() {
    let kafkas = recorded();
    for version in 0..=HIGHEST_VERSION {
        for (kind, partitions) in [("empty", Vec::new()), ("full", owned())] {
            let name = format!("assignment {kind} {version}");
            assert_eq!(encode_assignment(&partitions, version).unwrap(), kafkas[name.as_str()], "{name}");
            let mut read = decode_assignment(&kafkas[name.as_str()]).unwrap();
            read.sort();
            assert_eq!(read, partitions, "{name}");
        }
    }
}

#[test]
fn what_a_newer_version_appends_is_ignored() {
    let mut bytes = encode_subscription(&full(), 3).unwrap();
    bytes[..2].copy_from_slice(&9_i16.to_be_bytes());
    bytes.extend([0xff; 5]);
    assert_eq!(decode_subscription(&bytes).unwrap(), full());
}

#[test]
fn cut_off_bytes_are_an_error_and_no_bytes_are_an_empty_assignment() {
    let bytes = encode_assignment(&owned(), 3).unwrap();
    for length in 1..bytes.len() - 4 {
        assert!(decode_assignment(&bytes[..length]).is_err(), "{length} bytes");
    }
    assert_eq!(decode_assignment(&[]).unwrap(), []);
}

#[test]
fn kafka_still_writes_what_is_recorded() {
    let Some(libs) = std::env::var_os("LOGSPINE_KAFKA_LIBS") else {
        let words = "SKIPPED kafka_still_writes_what_is_recorded: LOGSPINE_KAFKA_LIBS names no folder of Kafka's jars";
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{words}");
        return println!("{words}");
    };
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ConsumerProtocolBytes.java");
    let class_path = format!("{}/*", libs.display());
    let printed = Command::new("java")
        .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &class_path, program])
        .output();
    let printed = printed.expect("java runs");
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), RECORDED);
}
