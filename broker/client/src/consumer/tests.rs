//! What a consumer makes of answers that are odd but allowed, and of those that are neither: a played broker
//! hands out bytes that the test has built.

use std::time::Duration;

use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use logspine_protocol::types::{Offset, TopicId};

use super::*;
use crate::config::ClientConfig;
use crate::played_broker::{Asked, Play, play};

/// One answer to a Fetch of partition 0.
#[derive(Clone)]
enum Brings {
    Bytes(Vec<u8>),
    Error(ErrorCode),
}

/// A consumer of a broker that gives these answers one after the other, then nothing new. Asked offsets are
/// those it saw.
async fn consumer(from: i64, brings: Vec<Brings>) -> (Consumer, std::sync::Arc<std::sync::Mutex<Vec<i64>>>) {
    let asked_offsets = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, mut brings) = (asked_offsets.clone(), brings.into_iter());
    let address = play(move |asked| {
        let request = asked.decode::<FetchRequest<'_>>();
        seen.lock().unwrap().push(request.topics[0].partitions[0].fetch_offset);
        brings.next().map_or(Play::Ignore, |brings| answer(asked, brings))
    })
    .await;
    let config = ClientConfig {
        retry_backoff: Duration::from_millis(1),
        retry_backoff_max: Duration::from_millis(5),
        ..ClientConfig::new(&address)
    };
    let client = Client::connect(config).await.unwrap();
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer.assign([(TopicPartition::new("t", 0), StartAt::Offset(Offset(from)))]).await.unwrap();
    (consumer, asked_offsets)
}

fn answer(asked: &Asked, brings: Brings) -> Play {
    let mut partition = PartitionData { high_watermark: 100, ..PartitionData::default() };
    match brings {
        Brings::Bytes(bytes) => partition.records = Some(bytes.into()),
        Brings::Error(code) => partition.error_code = code.code(),
    }
    let topic = FetchableTopicResponse {
        topic_id: TopicId([7; 16]),
        partitions: vec![partition],
        ..Default::default()
    };
    asked.with(&FetchResponse { responses: vec![topic], ..FetchResponse::default() })
}

/// So many records from this offset on, each with its offset as value.
fn batch(first: i64, records: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::Lz4).base_offset(Offset(first));
    for offset in first..first + records {
        builder.append(0, None, Some(offset.to_string().as_bytes()), &[]);
    }
    builder.build()
}

fn offsets(records: &[ConsumerRecord]) -> Vec<i64> {
    for record in records {
        assert_eq!(record.value.as_deref(), Some(record.offset.to_string().as_bytes()));
    }
    records.iter().map(|record| record.offset.0).collect()
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_batch_that_begins_before_the_position_is_cut_at_the_front() {
    let (mut consumer, _) = consumer(7, vec![Brings::Bytes([batch(0, 5), batch(5, 5)].concat())]).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [7, 8, 9]);
    assert_eq!(consumer.high_watermark(&TopicPartition::new("t", 0)), Some(Offset(100)));
}

#[tokio::test]
async fn a_batch_that_is_cut_off_at_the_back_is_fetched_again_whole() {
    let cut = batch(5, 5)[..70].to_vec();
    let answers = [[batch(0, 5), cut.clone()].concat(), cut, batch(5, 5)].map(Brings::Bytes);
    let (mut consumer, asked) = consumer(0, answers.to_vec()).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [0, 1, 2, 3, 4]);
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [5, 6, 7, 8, 9]);
    assert_eq!(asked.lock().unwrap()[..3], [0, 5, 5]);
}

#[tokio::test]
async fn control_batches_and_gaps_move_the_position_without_a_record() {
    let mut control = BatchBuilder::new(Codec::None).base_offset(Offset(3)).transactional().control();
    control.append(0, Some(&[0, 0, 0, 1]), Some(&[0; 6]), &[]);
    let bytes = [batch(0, 3), control.build(), batch(20, 2)].concat();
    let (mut consumer, _) = consumer(0, vec![Brings::Bytes(bytes)]).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [0, 1, 2, 20, 21]);
    assert_eq!(consumer.positions()[&TopicPartition::new("t", 0)], Offset(22));
}

#[tokio::test]
async fn what_is_before_a_damaged_batch_is_handed_out_and_the_batch_is_named() {
    let mut bytes = [batch(0, 5), batch(5, 5)].concat();
    *bytes.last_mut().unwrap() ^= 1;
    let (mut consumer, _) = consumer(0, vec![Brings::Bytes(bytes.clone()), Brings::Bytes(bytes)]).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [0, 1, 2, 3, 4]);
    let error = consumer.poll(SOON).await.unwrap_err();
    assert!(error.to_string().starts_with("t-0 at offset 5: damaged record batch: "), "{error}");
    assert_eq!(consumer.positions()[&TopicPartition::new("t", 0)], Offset(5));
}

#[tokio::test]
async fn a_leader_that_has_moved_is_looked_for() {
    let moved = [ErrorCode::NotLeaderOrFollower, ErrorCode::FencedLeaderEpoch, ErrorCode::UnknownTopicId];
    let brings = moved.map(Brings::Error).into_iter().chain([Brings::Bytes(batch(0, 2))]).collect();
    let (mut consumer, asked) = consumer(0, brings).await;
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [0, 1]);
    assert_eq!(asked.lock().unwrap()[..4], [0, 0, 0, 0]);
}

#[tokio::test]
async fn what_was_fetched_before_a_seek_is_not_handed_out_after_it() {
    let (mut consumer, asked) =
        consumer(0, vec![Brings::Bytes(batch(0, 2)), Brings::Bytes(batch(50, 2))]).await;
    consumer.client.topic("t").await.unwrap();
    // Polled once: that sends the fetch and takes nothing in.
    tokio::select! {
        biased;
        _ = consumer.poll(SOON) => panic!("nothing can have come yet"),
        () = std::future::ready(()) => {}
    }
    consumer.seek(&TopicPartition::new("t", 0), Offset(50)).unwrap();
    assert_eq!(offsets(&consumer.poll(SOON).await.unwrap()), [50, 51]);
    assert_eq!(asked.lock().unwrap()[..2], [0, 50]);
}

#[tokio::test]
async fn a_refusal_that_no_retry_heals_is_the_callers() {
    let (mut consumer, _) = consumer(0, vec![Brings::Error(ErrorCode::TopicAuthorizationFailed)]).await;
    let error = consumer.poll(SOON).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
    assert!(error.to_string().starts_with("t-0 at offset 0: TOPIC_AUTHORIZATION_FAILED"), "{error}");
}
