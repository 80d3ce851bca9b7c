//! A start serves each partition as soon as its log is open: others may still be at theirs.
//!
//! The disk is held by a named pipe in the place of a small file that every opening reads: whoever opens it for reading
//! waits until somebody writes.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Command;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use logspine_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, offsets, produce};
use support::raw::RawClient;

const EPOCHS: &str = "leader-epoch-checkpoint";

/// A pipe that holds one partition's recovery.
struct Held(PathBuf);

impl Held {
    fn hold(broker: &Broker, partition: &str) -> Held {
        let file = broker.data_dir().join(partition).join(EPOCHS);
        std::fs::remove_file(&file).unwrap();
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        Held(file)
    }

    /// The reader finds an empty file: one that cannot be read, and is rebuilt from the log.
    fn release(self) {
        drop(OpenOptions::new().write(true).open(&self.0).unwrap());
    }
}

/// Leader and code of each partition.
fn leaders(client: &mut RawClient, topic: &str) -> Vec<(i32, ErrorCode)> {
    let name =
        MetadataRequestTopic { name: Some(topic.to_owned().into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![name]), ..MetadataRequest::default() };
    let response: MetadataResponse<'_> = client.call(&request, ApiKey::Metadata, 9);
    let mut partitions = response.topics[0].partitions.clone();
    partitions.sort_by_key(|partition| partition.partition_index);
    partitions.iter().map(|one| (one.leader_id, code(one.error_code))).collect()
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap()
}

fn start(broker: &mut Broker) -> RawClient {
    let command = broker.command();
    broker.spawn(command);
    while std::net::TcpStream::connect(broker.address()).is_err() {
        std::thread::yield_now();
    }
    RawClient::connect(&broker.address())
}

fn broker_with(topic: &str, partitions: i32) -> Broker {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, topic, partitions, &[]);
    for index in 0..partitions {
        assert_eq!(produce(&mut client, topic, index, &batch(1, &["before the crash"])).error_code, 0);
    }
    broker
}

#[test]
fn a_recovered_partition_is_served_while_another_still_recovers() {
    let mut broker = broker_with("orders", 3);
    broker.kill();
    let held = Held::hold(&broker, "orders-1");
    let mut client = start(&mut broker);

    let none = (0, ErrorCode::None);
    let away = (-1, ErrorCode::LeaderNotAvailable);
    while leaders(&mut client, "orders") != [none, away, none] {
        std::thread::yield_now();
    }
    for index in [0, 2] {
        let answer = produce(&mut client, "orders", index, &batch(2, &["after the start"]));
        assert_eq!((code(answer.error_code), answer.base_offset), (ErrorCode::None, 1));
        let read = fetch(&mut client, &fetch_request("orders", index, 0, 1 << 20));
        assert_eq!(offsets(&read).len(), 2, "{:?}", offsets(&read));
    }
    // What clients take for a leader that moves: they look again and come back.
    let refused = produce(&mut client, "orders", 1, &batch(2, &["too early"]));
    assert_eq!(code(refused.error_code), ErrorCode::NotLeaderOrFollower);
    let refused = fetch(&mut client, &fetch_request("orders", 1, 0, 1 << 20));
    assert_eq!(code(refused.responses[0].partitions[0].error_code), ErrorCode::NotLeaderOrFollower);
    let (ready, state) = broker.http("/readyz").unwrap();
    assert_eq!((ready, state.trim()), (503, "recovering"), "not everything is served yet");
    let status = broker.http("/status").unwrap().1;
    assert!(status.contains(r#""partitionsDone":2,"partitionsTotal":3"#), "{status}");

    held.release();
    broker.wait_ready();
    assert_eq!(leaders(&mut client, "orders"), [none; 3]);
    let answer = produce(&mut client, "orders", 1, &batch(2, &["after the wait"]));
    assert_eq!((code(answer.error_code), answer.base_offset), (ErrorCode::None, 1), "no record was lost");
    assert!(broker.stop().success());
}

fn commit(client: &mut RawClient, group: &str, offset: i64) {
    let partition = OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "orders".into(),
        partitions: vec![partition],
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned().into(),
        topics: vec![topic],
        ..OffsetCommitRequest::default()
    };
    loop {
        let response: OffsetCommitResponse<'_> = client.call(&request, ApiKey::OffsetCommit, 8);
        match code(response.topics[0].partitions[0].error_code) {
            ErrorCode::None => return,
            ErrorCode::CoordinatorLoadInProgress => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
}

/// The group's offset of partition 0, or why it is not known.
fn committed(client: &mut RawClient, group: &str) -> Result<i64, ErrorCode> {
    let topic = OffsetFetchRequestTopics {
        name: "orders".into(),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: group.to_owned().into(),
        topics: Some(vec![topic]),
        ..OffsetFetchRequestGroup::default()
    };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let response: OffsetFetchResponse<'_> = client.call(&request, ApiKey::OffsetFetch, 8);
    match code(response.groups[0].error_code) {
        ErrorCode::None => Ok(response.groups[0].topics[0].partitions[0].committed_offset),
        error => Err(error),
    }
}

#[test]
fn a_group_whose_partition_still_recovers_is_told_that_it_loads() {
    let mut broker = Broker::start(&["offsets.topic.num.partitions=1"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "orders", 1, &[]);
    let find =
        FindCoordinatorRequest { coordinator_keys: vec!["g".into()], ..FindCoordinatorRequest::default() };
    let found: FindCoordinatorResponse<'_> = client.call(&find, ApiKey::FindCoordinator, 4);
    assert_eq!(code(found.coordinators[0].error_code), ErrorCode::None);
    commit(&mut client, "g", 7);
    broker.kill();
    let held = Held::hold(&broker, "__consumer_offsets-0");
    let mut client = start(&mut broker);
    assert_eq!(committed(&mut client, "g"), Err(ErrorCode::CoordinatorLoadInProgress));
    held.release();
    broker.wait_ready();
    let offset = loop {
        match committed(&mut client, "g") {
            Err(ErrorCode::CoordinatorLoadInProgress) => std::thread::yield_now(),
            known => break known,
        }
    };
    assert_eq!(offset, Ok(7));
    assert!(broker.stop().success());
}
