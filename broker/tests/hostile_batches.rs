//! Promise: no batch that a producer can send harms the broker, another client, or the readers of its topic.
//!
//! In the default mode, `message.validation=batch`. Which code Kafka gives for each mistake is compared in
//! `like_kafka`; here every one is refused, in bounded memory, while an honest client goes on.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::error::ErrorCode;
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, offsets, produce};
use support::forge::{self, good, record, with, with_body};
use support::raw::RawClient;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// What is wrong, the bytes, and the code that refuses them.
type Case = (&'static str, Vec<u8>, ErrorCode);

fn cases() -> Vec<Case> {
    use ErrorCode::{
        CorruptMessage, InvalidRecord, InvalidTimestamp, TransactionalIdAuthorizationFailed,
        UnsupportedCompressionType,
    };
    let plain = good(Codec::None, &[(now_ms(), Some("a")), (now_ms(), Some("b"))]);
    let claims = |count: i32, last_delta: i32| {
        let bytes = with(plain.clone(), forge::RECORD_COUNT, &count.to_be_bytes());
        with(bytes, forge::LAST_OFFSET_DELTA, &last_delta.to_be_bytes())
    };
    let attributes = |bits: i16| with(plain.clone(), forge::ATTRIBUTES, &bits.to_be_bytes());
    let body = |records: &[Vec<u8>]| with_body(&plain, &records.concat());
    let ahead = good(Codec::None, &[(i64::MAX, Some("a")), (now_ms(), Some("b"))]);
    let mut cases = vec![
        ("a length of -1", with(plain.clone(), forge::BATCH_LENGTH, &(-1_i32).to_be_bytes()), CorruptMessage),
        (
            "a length past the end",
            with(plain.clone(), forge::BATCH_LENGTH, &i32::MAX.to_be_bytes()),
            InvalidRecord,
        ),
        ("magic 0", with(plain.clone(), forge::MAGIC, &[0]), InvalidRecord),
        ("magic 1", with(plain.clone(), forge::MAGIC, &[1]), InvalidRecord),
        ("magic -1", with(plain.clone(), forge::MAGIC, &[0xff]), CorruptMessage),
        ("a base offset", with(plain.clone(), forge::BASE_OFFSET, &7_i64.to_be_bytes()), InvalidRecord),
        ("an unknown codec", attributes(6), UnsupportedCompressionType),
        ("the control bit", attributes(1 << 5), InvalidRecord),
        ("the transactional bit", attributes(1 << 4), TransactionalIdAuthorizationFailed),
        ("no records", claims(0, -1), InvalidRecord),
        ("fewer than none", claims(-2, -3), InvalidRecord),
        ("as many as there are numbers", claims(i32::MAX, i32::MAX - 1), InvalidRecord),
        ("one record too many", claims(3, 2), InvalidRecord),
        ("one record too few", claims(1, 0), InvalidRecord),
        ("a last offset delta that does not fit", claims(2, 9), InvalidRecord),
        ("a timestamp at the end of time", ahead, InvalidTimestamp),
        ("a record of negative length", body(&[record(0, 0, 1, 1), vec![1]]), InvalidRecord),
        (
            "a key longer than the record",
            body(&[record(0, 0, 1, 1), record(0, 1, 1 << 30, 1)]),
            InvalidRecord,
        ),
        (
            "a value longer than the record",
            body(&[record(0, 0, 1, 1), record(0, 1, 1, 1 << 30)]),
            InvalidRecord,
        ),
        ("a length that never ends", body(&[record(0, 0, 1, 1), vec![0xff; 20]]), InvalidRecord),
    ];
    let wrong_inside = body(&[record(0, 0, 1, 1), record(0, 1, 1, 1 << 30)]);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        cases.push((
            "garbage in place of compressed records",
            with_body(&attributes(codec.id().into()), &[7; 99]),
            InvalidRecord,
        ));
        cases.push(("a wrong record inside", forge::compressed(&wrong_inside, codec), InvalidRecord));
    }
    cases
}

#[test]
fn every_hostile_batch_is_refused_and_an_honest_client_goes_on() {
    let broker = Broker::start(&[]);
    let mut honest = RawClient::connect(&broker.address());
    create_topic(&mut honest, "t", 1, &[]);
    let cases = cases();
    for (what, bytes, expected) in &cases {
        // A client of its own each: the first compressed batch of a connection is looked into.
        let mut hostile = RawClient::connect(&broker.address());
        let response = produce(&mut hostile, "t", 0, bytes);
        assert_eq!(
            ErrorCode::from_code(response.error_code),
            Some(*expected),
            "{what}: {:?}",
            response.error_message
        );
        assert_eq!(produce(&mut honest, "t", 0, &batch(now_ms(), &["good"])).error_code, 0, "after {what}");
    }
    let last = cases.len() as i64;
    let read = offsets(&fetch(&mut honest, &fetch_request("t", 0, 0, i32::MAX)));
    assert_eq!(read, (0..last).map(|offset| (offset, offset)).collect::<Vec<_>>());
    println!("FIGURE hostile batches refused: {last}");
}

#[test]
fn a_bomb_is_refused_in_bounded_memory() {
    let broker = Broker::start(&["message.max.bytes=4000000"]);
    let mut honest = RawClient::connect(&broker.address());
    create_topic(&mut honest, "t", 1, &[]);
    let bombs: Vec<Vec<u8>> = [Codec::Gzip, Codec::Lz4, Codec::Zstd]
        .into_iter()
        .map(|codec| {
            let mut builder = BatchBuilder::new(codec);
            builder.append(now_ms(), None, Some(&vec![0; 200 << 20]), &[]);
            builder.build()
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            for bomb in &bombs {
                let address = broker.address();
                scope.spawn(move || {
                    let response = produce(&mut RawClient::connect(&address), "t", 0, bomb);
                    assert_eq!(ErrorCode::from_code(response.error_code), Some(ErrorCode::InvalidRecord));
                });
            }
        }
    });
    assert_eq!(produce(&mut honest, "t", 0, &batch(now_ms(), &["good"])).base_offset, 0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_mib = peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() >> 10;
    println!("FIGURE peak memory under six bombs of 200 MiB: {peak_mib} MiB");
    let processors = std::thread::available_parallelism().unwrap().get();
    // One batch per processor, each inflated to no more than 64 MiB; six at once would be 384.
    assert!(peak_mib < 64 + processors * 80, "{peak_mib} MiB");
}
