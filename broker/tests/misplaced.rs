//! Partition directories under wrong names: what follows from the topic ids is put right, and nothing is served, or
//! begun anew, in a place of which it is not known whose it is.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use logspine_protocol::error::ErrorCode;
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, produce};
use support::raw::RawClient;

/// Topics with so many partitions, each with one record that names it; stopped.
fn with_topics(topics: &[(&str, i32)]) -> Broker {
    let mut broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    for (topic, partitions) in topics {
        create_topic(&mut client, topic, *partitions, &[]);
        for index in 0..*partitions {
            produce(&mut client, topic, index, &batch(1_000, &[&format!("{topic}-{index}")]));
        }
    }
    assert!(broker.stop().success());
    broker
}

fn exchange(broker: &Broker, one: &str, other: &str) {
    let dir = broker.data_dir();
    std::fs::rename(dir.join(one), dir.join("in-between")).unwrap();
    std::fs::rename(dir.join(other), dir.join(one)).unwrap();
    std::fs::rename(dir.join("in-between"), dir.join(other)).unwrap();
}

/// The only record of a partition, or the code.
fn served(client: &mut RawClient, topic: &str, index: i32) -> Result<String, ErrorCode> {
    let response = fetch(client, &fetch_request(topic, index, 0, i32::MAX));
    let partition = &response.responses[0].partitions[0];
    if partition.error_code != 0 {
        return Err(ErrorCode::from_code(partition.error_code).unwrap());
    }
    let bytes = partition.records.as_ref().and_then(|records| records.as_bytes()).unwrap_or_default();
    let mut values = Vec::new();
    for batch in logspine_protocol::batch::iter_batches(bytes) {
        for record in &batch.unwrap().records().unwrap() {
            values.push(String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
        }
    }
    Ok(values.join(","))
}

fn names(broker: &Broker) -> Vec<String> {
    let entries = std::fs::read_dir(broker.data_dir()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|name| name.contains("-stray") || name.contains("-moving")).collect();
    names.sort();
    names
}

#[test]
fn two_directories_that_changed_places_are_exchanged_and_serve_their_own_records() {
    for crashed in [false, true] {
        let mut broker = with_topics(&[("a", 1), ("b", 2)]);
        exchange(&broker, "a-0", "b-1");
        broker.start_again();
        if crashed {
            broker.kill();
            broker.start_again();
        }
        let mut client = RawClient::connect(&broker.address());
        for (topic, index) in [("a", 0), ("b", 0), ("b", 1)] {
            assert_eq!(served(&mut client, topic, index), Ok(format!("{topic}-{index}")));
        }
        assert!(broker.log().contains("directories changed places"), "{}", broker.log());
        assert_eq!(names(&broker), Vec::<String>::new());
    }
}

#[test]
fn an_exchange_that_the_ids_do_not_explain_takes_those_partitions_offline_with_a_sentence() {
    let mut broker = with_topics(&[("a", 2), ("b", 2), ("c", 1)]);
    exchange(&broker, "a-0", "b-0");
    exchange(&broker, "a-1", "b-1");
    for _ in 0..2 {
        broker.start_again();
        let mut client = RawClient::connect(&broker.address());
        for topic in ["a", "b"] {
            for index in 0..2 {
                assert_eq!(served(&mut client, topic, index), Err(ErrorCode::KafkaStorageError));
            }
        }
        assert_eq!(served(&mut client, "c", 0), Ok("c-0".to_owned()));
        let (_, status) = broker.http("/status").unwrap();
        assert!(status.contains("a-0 holds a partition of topic b"), "{status}");
        assert!(broker.stop().success());
    }
    assert_eq!(names(&broker), Vec::<String>::new(), "nothing was set aside");
    // The remedy is the one that the sentence names.
    exchange(&broker, "a-0", "b-0");
    exchange(&broker, "a-1", "b-1");
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    for topic in ["a", "b"] {
        for index in 0..2 {
            assert_eq!(served(&mut client, topic, index), Ok(format!("{topic}-{index}")));
        }
    }
}

#[test]
fn a_partition_whose_directory_has_another_name_does_not_begin_anew() {
    let mut broker = with_topics(&[("a", 1), ("b", 1)]);
    let dir = broker.data_dir();
    std::fs::rename(dir.join("a-0"), dir.join("lost-0")).unwrap();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(served(&mut client, "a", 0), Err(ErrorCode::KafkaStorageError));
    assert_eq!(served(&mut client, "b", 0), Ok("b-0".to_owned()));
    assert!(!dir.join("a-0").exists());
    assert!(broker.log().contains("a-0 may be what lies in"), "{}", broker.log());
    broker.kill();
    std::fs::rename(dir.join("lost-0"), dir.join("a-0")).unwrap();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(served(&mut client, "a", 0), Ok("a-0".to_owned()));
}

#[test]
fn a_directory_of_a_deleted_topic_under_the_name_of_a_new_one_is_set_aside() {
    let mut broker = with_topics(&[("a", 1), ("b", 1)]);
    let (dir, old) = (broker.data_dir(), broker.dir.path().join("old"));
    let copied = std::process::Command::new("cp").arg("-r").arg(dir.join("a-0")).arg(&old).status().unwrap();
    assert!(copied.success());
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    support::calls::delete_topic(&mut client, "a");
    create_topic(&mut client, "a", 1, &[]);
    produce(&mut client, "a", 0, &batch(1_000, &["anew"]));
    assert!(broker.stop().success());
    // A restore that brought the deleted topic's bytes back, in the place of the new one's.
    std::fs::rename(dir.join("a-0"), broker.dir.path().join("new")).unwrap();
    std::fs::rename(&old, dir.join("a-0")).unwrap();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(served(&mut client, "b", 0), Ok("b-0".to_owned()));
    assert_ne!(served(&mut client, "a", 0), Ok("a-0".to_owned()), "bytes of the deleted topic");
    assert_eq!(names(&broker).len(), 1, "{:?}", names(&broker));
}
