//! Fetch: limits, long polls, sessions, epochs, and what is not there.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use support::Broker;
use support::calls::{FETCH, batch, create_topic, fetch, fetch_request, offsets, produce};
use support::raw::RawClient;

fn with_records(count: usize) -> (Broker, RawClient) {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 2, &[]);
    for number in 0..count {
        produce(&mut client, "t", 0, &batch(1_000 + number as i64, &[&"v".repeat(100), "w"]));
    }
    (broker, client)
}

fn error_of(response: &FetchResponse<'_>) -> ErrorCode {
    ErrorCode::from_code(response.responses[0].partitions[0].error_code).unwrap()
}

#[test]
fn one_byte_still_returns_the_first_batch_and_the_middle_of_a_batch_returns_it_whole() {
    let (_broker, mut client) = with_records(3);
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("t", 0, 0, 1))), [(0, 1)]);
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("t", 0, 3, 1))), [(2, 3)]);
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("t", 0, 0, i32::MAX))), [(0, 1), (2, 3), (4, 5)]);
    let mut small = fetch_request("t", 0, 0, i32::MAX);
    small.max_bytes = 1;
    assert_eq!(offsets(&fetch(&mut client, &small)), [(0, 1)]);
}

#[test]
fn offsets_outside_of_the_log_and_unknown_partitions_get_their_codes() {
    let (_broker, mut client) = with_records(1);
    let beyond = fetch(&mut client, &fetch_request("t", 0, 99, 100));
    assert_eq!(error_of(&beyond), ErrorCode::OffsetOutOfRange);
    assert_eq!(error_of(&fetch(&mut client, &fetch_request("t", 0, -5, 100))), ErrorCode::OffsetOutOfRange);
    let nowhere = fetch(&mut client, &fetch_request("nowhere", 0, 0, 100));
    assert_eq!(error_of(&nowhere), ErrorCode::UnknownTopicOrPartition);
    let end = fetch(&mut client, &fetch_request("t", 0, 2, 100));
    assert_eq!((error_of(&end), offsets(&end).len()), (ErrorCode::None, 0));
}

#[test]
fn a_believed_leader_epoch_is_checked() {
    let (_broker, mut client) = with_records(1);
    for (believed, expected) in [(0, ErrorCode::None), (5, ErrorCode::UnknownLeaderEpoch)] {
        let mut request = fetch_request("t", 0, 0, 100);
        request.topics[0].partitions[0].current_leader_epoch = believed;
        assert_eq!(error_of(&fetch(&mut client, &request)), expected, "epoch {believed}");
    }
}

#[test]
fn a_long_poll_ends_when_records_come_and_not_before_its_time_without_them() {
    let (broker, mut client) = with_records(0);
    let mut request = fetch_request("t", 0, 0, 1_000_000);
    request.max_wait_ms = 300;
    let begun = Instant::now();
    assert!(offsets(&fetch(&mut client, &request)).is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(290), "{:?}", begun.elapsed());
    request.max_wait_ms = 20_000;
    client.send(&request, ApiKey::Fetch, FETCH, 1);
    let mut producer = RawClient::connect(&broker.address());
    produce(&mut producer, "t", 0, &batch(1, &["wake up"]));
    let begun = Instant::now();
    let woken: FetchResponse<'_> = client.answer(ApiKey::Fetch, FETCH, 1);
    assert_eq!(offsets(&woken), [(0, 0)]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn min_bytes_counts_over_all_partitions() {
    let (broker, mut client) = with_records(0);
    let mut request = fetch_request("t", 0, 0, 1_000_000);
    let other = FetchPartition { partition: 1, partition_max_bytes: 1_000_000, ..FetchPartition::default() };
    request.topics[0].partitions.push(other);
    (request.min_bytes, request.max_wait_ms) = (300, 20_000);
    client.send(&request, ApiKey::Fetch, FETCH, 1);
    client.patience(Duration::from_millis(200));
    let mut producer = RawClient::connect(&broker.address());
    produce(&mut producer, "t", 0, &batch(1, &[&"x".repeat(100)]));
    assert_eq!(client.receive(), support::raw::Answer::Silence, "about 170 bytes are not 300");
    produce(&mut producer, "t", 1, &batch(1, &[&"y".repeat(100)]));
    client.patience(Duration::from_secs(10));
    let answer: FetchResponse<'_> = client.answer(ApiKey::Fetch, FETCH, 1);
    assert_eq!(answer.responses[0].partitions.len(), 2);
}

#[test]
fn a_long_poll_does_not_hold_up_a_stop() {
    let (mut broker, mut client) = with_records(0);
    let mut request = fetch_request("t", 0, 0, 1_000_000);
    request.max_wait_ms = 60_000;
    client.send(&request, ApiKey::Fetch, FETCH, 1);
    let begun = Instant::now();
    assert!(broker.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let answer: FetchResponse<'_> = client.answer(ApiKey::Fetch, FETCH, 1);
    assert_eq!(answer.error_code, 0, "what was started is answered");
}

fn session(id: i32, epoch: i32) -> FetchRequest<'static> {
    FetchRequest {
        max_bytes: i32::MAX,
        min_bytes: 1,
        session_id: id,
        session_epoch: epoch,
        ..FetchRequest::default()
    }
}

#[test]
fn an_incremental_session_names_only_what_changed() {
    let (_broker, mut client) = with_records(1);
    let mut first = session(0, 0);
    let partition = |partition, fetch_offset| FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1_000_000,
        ..FetchPartition::default()
    };
    first.topics = vec![FetchTopic {
        topic: "t".into(),
        partitions: vec![partition(0, 0), partition(1, 0)],
        ..FetchTopic::default()
    }];
    let opened = fetch(&mut client, &first);
    assert!(opened.session_id > 0);
    assert_eq!(opened.responses[0].partitions.len(), 2, "a full answer names everything");
    let mut second = session(opened.session_id, 1);
    second.topics =
        vec![FetchTopic { topic: "t".into(), partitions: vec![partition(0, 2)], ..FetchTopic::default() }];
    assert!(fetch(&mut client, &second).responses.is_empty(), "nothing is new");
    produce(&mut client, "t", 1, &batch(1, &["news"]));
    let third = fetch(&mut client, &session(opened.session_id, 2));
    assert_eq!(third.responses[0].partitions.len(), 1);
    assert_eq!(third.responses[0].partitions[0].partition_index, 1);
    let wrong = fetch(&mut client, &session(opened.session_id, 2));
    assert_eq!(wrong.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
    fetch(&mut client, &session(opened.session_id, -1));
    let closed = fetch(&mut client, &session(opened.session_id, 3));
    assert_eq!(closed.error_code, ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn every_version_returns_the_same_records() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    let topic_id = create_topic(&mut client, "t", 1, &[]);
    produce(&mut client, "t", 0, &batch(1, &[&"large ".repeat(20_000)]));
    for version in 4..=18 {
        let mut request = fetch_request(if version < 13 { "t" } else { "" }, 0, 0, i32::MAX);
        if version >= 13 {
            request.topics[0].topic_id = topic_id;
        }
        let answer: FetchResponse<'_> = client.call(&request, ApiKey::Fetch, version);
        assert_eq!(offsets(&answer), [(0, 0)], "version {version}");
    }
    let mut unknown = fetch_request("", 0, 0, i32::MAX);
    unknown.topics[0].topic_id.0[3] = 1;
    let answer: FetchResponse<'_> = client.call(&unknown, ApiKey::Fetch, 13);
    assert_eq!(error_of(&answer), ErrorCode::UnknownTopicId);
}
