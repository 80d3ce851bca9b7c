//! Produce: what is appended, what is refused with which code, and in which order.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::produce::ProduceResponse;
use logspine_protocol::types::{ProducerEpoch, ProducerId};
use support::Broker;
use support::calls::{PRODUCE, batch, create_topic, fetch, fetch_request, offsets, produce, produce_request};
use support::raw::{Answer, RawClient};

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn with_topic(configs: &[(&str, &str)]) -> (Broker, RawClient) {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, configs);
    (broker, client)
}

fn code(response: &logspine_protocol::messages::produce::PartitionProduceResponse<'_>) -> ErrorCode {
    ErrorCode::from_code(response.error_code).unwrap()
}

fn idempotent(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None).producer(ProducerId(id), ProducerEpoch(epoch), sequence);
    for value in values {
        builder.append(now_ms(), None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

#[test]
fn records_are_visible_once_acknowledged_and_get_consecutive_offsets() {
    let (_broker, mut client) = with_topic(&[]);
    let first = produce(&mut client, "t", 0, &batch(now_ms(), &["a", "b"]));
    assert_eq!((code(&first), first.base_offset, first.log_append_time_ms), (ErrorCode::None, 0, -1));
    let second = produce(&mut client, "t", 0, &batch(now_ms(), &["c"]));
    assert_eq!(second.base_offset, 2);
    let read = fetch(&mut client, &fetch_request("t", 0, 0, i32::MAX));
    assert_eq!(offsets(&read), [(0, 1), (2, 2)]);
    assert_eq!(read.responses[0].partitions[0].high_watermark, 3);
}

#[test]
fn every_bad_batch_gets_kafkas_code_and_appends_nothing() {
    let (_broker, mut client) = with_topic(&[("max.message.bytes", "1000")]);
    let good = batch(now_ms(), &["good"]);
    let corrupt = {
        let mut bytes = good.clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    let old_magic = {
        let mut bytes = good.clone();
        bytes[16] = 1;
        bytes
    };
    let two = [good.clone(), good.clone()].concat();
    let mut control = BatchBuilder::new(Codec::None).producer(ProducerId(1), ProducerEpoch(0), 0).control();
    control.append(now_ms(), Some(b"\0\0\0\0"), Some(b""), &[]);
    let large = batch(now_ms(), &[&"x".repeat(2000)]);
    let future = batch(now_ms() + 7_200_000, &["from the future"]);
    for (what, bytes, expected) in [
        ("a flipped bit", corrupt, ErrorCode::CorruptMessage),
        ("a cut batch", good[..good.len() - 1].to_vec(), ErrorCode::InvalidRecord),
        ("magic 1", old_magic, ErrorCode::InvalidRecord),
        ("two batches", two, ErrorCode::InvalidRecord),
        ("no batch", Vec::new(), ErrorCode::InvalidRecord),
        ("a control batch", control.build(), ErrorCode::InvalidRecord),
        ("too large", large, ErrorCode::MessageTooLarge),
        ("two hours ahead", future, ErrorCode::InvalidTimestamp),
    ] {
        let response = produce(&mut client, "t", 0, &bytes);
        assert_eq!(code(&response), expected, "{what}: {:?}", response.error_message);
        assert_eq!(response.base_offset, -1, "{what}");
        assert!(response.error_message.is_some(), "{what}");
    }
    assert_eq!(produce(&mut client, "t", 0, &good).base_offset, 0, "nothing of it was appended");
}

#[test]
fn unknown_topics_partitions_and_acks_are_refused_per_partition() {
    let (_broker, mut client) = with_topic(&[]);
    let good = batch(now_ms(), &["x"]);
    assert_eq!(code(&produce(&mut client, "nowhere", 0, &good)), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(code(&produce(&mut client, "t", 7, &good)), ErrorCode::UnknownTopicOrPartition);
    let odd: ProduceResponse<'_> = client.call(&produce_request("t", 0, 2, &good), ApiKey::Produce, PRODUCE);
    assert_eq!(code(&odd.responses[0].partition_responses[0]), ErrorCode::InvalidRequiredAcks);
}

#[test]
fn topic_ids_name_topics_from_version_13() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    let topic_id = create_topic(&mut client, "by-id", 1, &[]);
    let good = batch(now_ms(), &["x"]);
    let mut request = produce_request("", 0, -1, &good);
    request.topic_data[0].topic_id = topic_id;
    let answer: ProduceResponse<'_> = client.call(&request, ApiKey::Produce, 13);
    assert_eq!(answer.responses[0].topic_id, topic_id);
    assert_eq!(code(&answer.responses[0].partition_responses[0]), ErrorCode::None);
    request.topic_data[0].topic_id.0[0] ^= 0xff;
    let answer: ProduceResponse<'_> = client.call(&request, ApiKey::Produce, 13);
    assert_eq!(code(&answer.responses[0].partition_responses[0]), ErrorCode::UnknownTopicId);
}

#[test]
fn a_repeated_batch_is_answered_with_its_old_offset_and_a_gap_is_refused() {
    let (mut broker, mut client) = with_topic(&[]);
    let first = idempotent(9, 0, 0, &["a", "b"]);
    assert_eq!(produce(&mut client, "t", 0, &first).base_offset, 0);
    let second = idempotent(9, 0, 2, &["c"]);
    assert_eq!(produce(&mut client, "t", 0, &second).base_offset, 2);
    let again = produce(&mut client, "t", 0, &first);
    assert_eq!((code(&again), again.base_offset), (ErrorCode::None, 0));
    let gap = produce(&mut client, "t", 0, &idempotent(9, 0, 5, &["f"]));
    assert_eq!(code(&gap), ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(code(&produce(&mut client, "t", 0, &idempotent(9, 1, 0, &["new epoch"]))), ErrorCode::None);
    assert_eq!(
        code(&produce(&mut client, "t", 0, &idempotent(9, 0, 3, &["old epoch"]))),
        ErrorCode::InvalidProducerEpoch
    );
    broker.kill();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    let after = produce(&mut client, "t", 0, &idempotent(9, 1, 1, &["goes on"]));
    assert_eq!((code(&after), after.base_offset), (ErrorCode::None, 4), "the kill lost no sequence");
}

#[test]
fn acks_zero_has_no_answer_and_closes_the_connection_when_it_fails() {
    let (broker, mut client) = with_topic(&[]);
    let good = batch(now_ms(), &["unanswered"]);
    client.send(&produce_request("t", 0, 0, &good), ApiKey::Produce, PRODUCE, 1);
    let answered = produce(&mut client, "t", 0, &batch(now_ms(), &["answered"]));
    assert_eq!(answered.base_offset, 1, "the first answer is the second request's");
    let mut failing = RawClient::connect(&broker.address());
    failing.send(&produce_request("nowhere", 0, 0, &good), ApiKey::Produce, PRODUCE, 1);
    assert_eq!(failing.receive(), Answer::Closed);
}

#[test]
fn pipelined_appends_keep_their_order() {
    let (_broker, mut client) = with_topic(&[]);
    for correlation_id in 0..200 {
        let one = batch(now_ms(), &[&correlation_id.to_string()]);
        client.send(&produce_request("t", 0, -1, &one), ApiKey::Produce, PRODUCE, correlation_id);
    }
    for correlation_id in 0..200 {
        let answer: ProduceResponse<'_> = client.answer(ApiKey::Produce, PRODUCE, correlation_id);
        assert_eq!(answer.responses[0].partition_responses[0].base_offset, i64::from(correlation_id));
    }
}

#[test]
fn log_append_time_is_the_brokers_and_is_told() {
    let (_broker, mut client) = with_topic(&[("message.timestamp.type", "LogAppendTime")]);
    let before = now_ms();
    let response = produce(&mut client, "t", 0, &batch(1, &["old"]));
    assert_eq!(code(&response), ErrorCode::None);
    assert!(response.log_append_time_ms >= before, "{}", response.log_append_time_ms);
}

#[test]
fn internal_topics_and_transactions_are_not_written_by_clients() {
    let (_broker, mut client) = with_topic(&[]);
    let mut transactional =
        BatchBuilder::new(Codec::None).producer(ProducerId(3), ProducerEpoch(0), 0).transactional();
    transactional.append(now_ms(), None, Some(b"x"), &[]);
    let transactional = transactional.build();
    assert_eq!(
        code(&produce(&mut client, "t", 0, &transactional)),
        ErrorCode::TransactionalIdAuthorizationFailed,
        "the bit without a transactional id"
    );
    let mut request = produce_request("t", 0, -1, &transactional);
    request.transactional_id = Some("payments".into());
    let answer: ProduceResponse<'_> = client.call(&request, ApiKey::Produce, PRODUCE);
    assert_eq!(code(&answer.responses[0].partition_responses[0]), ErrorCode::InvalidTxnState);
    create_offsets_topic(&mut client);
    let response = produce(&mut client, "__consumer_offsets", 0, &batch(now_ms(), &["x"]));
    assert_eq!(code(&response), ErrorCode::InvalidTopicException);
}

/// It is created when a client first asks who coordinates a group.
fn create_offsets_topic(client: &mut RawClient) {
    loop {
        let request = FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
        let found: FindCoordinatorResponse<'_> = client.call(&request, ApiKey::FindCoordinator, 2);
        match ErrorCode::from_code(found.error_code).unwrap() {
            ErrorCode::None => return,
            ErrorCode::CoordinatorNotAvailable => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn zstd_needs_a_version_that_can_read_it() {
    let (_broker, mut client) = with_topic(&[]);
    let mut zstd = BatchBuilder::new(Codec::Zstd);
    zstd.append(now_ms(), None, Some(b"x"), &[]);
    let bytes = zstd.build();
    for (version, expected) in [(6, ErrorCode::UnsupportedCompressionType), (7, ErrorCode::None)] {
        let answer: ProduceResponse<'_> =
            client.call(&produce_request("t", 0, -1, &bytes), ApiKey::Produce, version);
        assert_eq!(code(&answer.responses[0].partition_responses[0]), expected, "version {version}");
    }
}
