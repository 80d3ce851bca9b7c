//! Promise: a topic's `compression.type` holds for what is stored, whoever produced it, and loses nothing.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::{BatchBuilder, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::produce::ProduceResponse;
use logspine_protocol::types::{ProducerEpoch, ProducerId};
use logspine_protocol::wire::Records;
use support::Broker;
use support::calls::{PRODUCE, create_topic, fetch, fetch_request, produce, produce_request};
use support::raw::RawClient;

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A batch of one record that does not compress well.
fn of(codec: Codec, sequence: i32, bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec).producer(ProducerId(5), ProducerEpoch(0), sequence);
    let noise: Vec<u8> =
        (0..bytes as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    builder.append(now_ms(), Some(sequence.to_string().as_bytes()), Some(&noise), &[("h", Some(b"x"))]);
    builder.build()
}

/// Codec and keys of every batch of the topic.
fn stored(client: &mut RawClient, topic: &str) -> Vec<(Codec, i32, Vec<u8>)> {
    let response = fetch(client, &fetch_request(topic, 0, 0, i32::MAX));
    let records = response.responses[0].partitions[0].records.as_ref();
    let bytes = records.and_then(Records::as_bytes).unwrap_or_default();
    let told = iter_batches(bytes).map(|batch| {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        let set = batch.records().unwrap();
        let record = set.iter().next().unwrap().unwrap();
        assert_eq!(record.headers.count(), 1);
        (batch.codec().unwrap(), batch.base_sequence(), record.value.unwrap().to_vec())
    });
    told.collect()
}

#[test]
fn every_producers_codec_becomes_the_topics() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    for (value, codec, level) in [
        ("gzip", Codec::Gzip, ("compression.gzip.level", "9")),
        ("snappy", Codec::Snappy, ("compression.gzip.level", "1")),
        ("lz4", Codec::Lz4, ("compression.lz4.level", "17")),
        ("zstd", Codec::Zstd, ("compression.zstd.level", "19")),
        ("uncompressed", Codec::None, ("compression.zstd.level", "1")),
    ] {
        create_topic(&mut client, value, 1, &[("compression.type", value), level]);
        for (sequence, source) in Codec::ALL.into_iter().enumerate() {
            let response = produce(&mut client, value, 0, &of(source, sequence as i32, 3_000));
            assert_eq!(
                (response.error_code, response.base_offset),
                (0, sequence as i64),
                "{source:?} to {value}"
            );
        }
        let stored = stored(&mut client, value);
        assert_eq!(stored.len(), 5);
        for (sequence, (found, base_sequence, content)) in stored.into_iter().enumerate() {
            assert_eq!((found, base_sequence), (codec, sequence as i32));
            assert_eq!(content.len(), 3_000);
        }
    }
}

#[test]
fn a_setting_that_changes_holds_from_the_next_batch() {
    let mut broker = Broker::start(&["compression.type=zstd"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, &[]);
    assert_eq!(produce(&mut client, "t", 0, &of(Codec::None, 0, 100)).error_code, 0);
    assert_eq!(stored(&mut client, "t")[0].0, Codec::Zstd, "the broker's default");
    broker.kill();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(
        produce(&mut client, "t", 0, &of(Codec::None, 0, 100)).base_offset,
        0,
        "a repetition is known"
    );
    assert_eq!(produce(&mut client, "t", 0, &of(Codec::Gzip, 1, 100)).base_offset, 1);
}

#[test]
fn what_is_too_large_is_refused_before_and_after() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, &[("compression.type", "uncompressed"), ("max.message.bytes", "2000")]);
    let mut zeros = BatchBuilder::new(Codec::Gzip);
    zeros.append(now_ms(), None, Some(&[0; 5_000]), &[]);
    let zeros = zeros.build();
    assert!(zeros.len() < 500);
    for bytes in [zeros, of(Codec::None, 0, 5_000)] {
        let response = produce(&mut client, "t", 0, &bytes);
        assert_eq!(ErrorCode::from_code(response.error_code), Some(ErrorCode::MessageTooLarge));
    }
}

#[test]
fn large_and_small_batches_of_one_connection_keep_their_order() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, &[("compression.type", "gzip")]);
    // Large ones leave the connection's thread; a small one that overtook them would break the sequence.
    let sizes = [300_000, 10, 10, 200_000, 10, 300_000, 10];
    for (sequence, bytes) in (0..).zip(sizes) {
        let one = of(Codec::None, sequence, bytes);
        client.send(&produce_request("t", 0, -1, &one), ApiKey::Produce, PRODUCE, sequence);
    }
    for (sequence, _) in (0..).zip(sizes) {
        let answer: ProduceResponse<'_> = client.answer(ApiKey::Produce, PRODUCE, sequence);
        let told = &answer.responses[0].partition_responses[0];
        assert_eq!((told.error_code, told.base_offset), (0, i64::from(sequence)));
    }
}
