//! What the producer does when the broker does not simply say yes: against a played broker that keeps a log.
//!
//! Every promise is about the batches that arrive: their bytes, their numbers, their order.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::BatchView;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::init_producer_id::InitProducerIdResponse;
use logspine_protocol::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use logspine_protocol::types::TopicId;

use super::*;
use crate::config::ClientConfig;
use crate::played_broker::{Asked, Play, play};

/// A batch as it arrived: producer id, base sequence, values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arrived {
    producer_id: i64,
    base_sequence: i32,
    values: Vec<String>,
}

/// What the broker says about the batches, one after the other; afterwards yes.
#[derive(Clone, Copy)]
enum Says {
    Yes,
    No(ErrorCode),
    HangsUp,
    Nothing,
}

type Log = Arc<Mutex<Vec<Arrived>>>;

/// A client of a broker that answers batches by this list and hands out producer ids 100, 101, ...
async fn client(says: &[Says]) -> (Client, Log) {
    let log = Log::default();
    let (arrived, mut says) = (log.clone(), says.to_vec());
    says.reverse();
    let mut next_id = 100;
    let address = play(move |asked| match asked.api_key {
        ApiKey::InitProducerId => {
            next_id += 1;
            asked.with(&InitProducerIdResponse {
                producer_id: next_id - 1,
                ..InitProducerIdResponse::default()
            })
        }
        ApiKey::Produce => {
            arrived.lock().unwrap().push(batch_of(asked));
            match says.pop().unwrap_or(Says::Yes) {
                Says::Yes => answer(asked, ErrorCode::None),
                Says::No(code) => answer(asked, code),
                Says::HangsUp => Play::HangUp,
                Says::Nothing => Play::Ignore,
            }
        }
        other => panic!("unexpected {}", other.name()),
    })
    .await;
    let config = ClientConfig {
        retry_backoff: Duration::from_millis(1),
        retry_backoff_max: Duration::from_millis(5),
        request_timeout: Duration::from_millis(200),
        ..ClientConfig::new(&address)
    };
    (Client::connect(config).await.unwrap(), log)
}

fn batch_of(asked: &Asked) -> Arrived {
    let request = asked.decode::<ProduceRequest<'_>>();
    let records = request.topic_data[0].partition_data[0].records.as_ref().unwrap().as_bytes().unwrap();
    let (batch, rest) = BatchView::parse(records).unwrap();
    assert!(rest.is_empty());
    batch.verify_crc().unwrap();
    let values = batch.records().unwrap();
    let values =
        values.iter().map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap());
    Arrived {
        producer_id: batch.producer_id().0,
        base_sequence: batch.base_sequence(),
        values: values.collect(),
    }
}

fn answer(asked: &Asked, code: ErrorCode) -> Play {
    let partition =
        PartitionProduceResponse { error_code: code.code(), base_offset: 50, ..Default::default() };
    let topic = TopicProduceResponse {
        name: "t".into(),
        topic_id: TopicId([7; 16]),
        partition_responses: vec![partition],
    };
    asked.with(&ProduceResponse { responses: vec![topic], ..ProduceResponse::default() })
}

fn arrived(producer_id: i64, base_sequence: i32, values: &[&str]) -> Arrived {
    Arrived { producer_id, base_sequence, values: values.iter().map(|value| (*value).to_owned()).collect() }
}

/// Sends these as one batch; a flush ends it.
async fn write(producer: &Producer, values: &[&str]) -> Vec<Result<i64, ClientError>> {
    let mut deliveries = Vec::new();
    for value in values {
        deliveries.push(producer.send(ProducerRecord::new("t", *value)).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.map(|metadata| metadata.offset.0));
    }
    offsets
}

/// Never sends by time, so that a test decides what one batch is.
fn patient() -> ProducerConfig {
    ProducerConfig { linger: Duration::from_secs(60), ..ProducerConfig::default() }
}

fn offsets(outcomes: Vec<Result<i64, ClientError>>) -> Vec<i64> {
    outcomes.into_iter().map(Result::unwrap).collect()
}

#[tokio::test]
async fn batches_are_numbered_one_after_the_other() {
    let (client, log) = client(&[]).await;
    let producer = client.producer(patient()).unwrap();
    assert_eq!(offsets(write(&producer, &["a", "b", "c"]).await), [50, 51, 52]);
    write(&producer, &["d"]).await;
    assert_eq!(*log.lock().unwrap(), [arrived(100, 0, &["a", "b", "c"]), arrived(100, 3, &["d"])]);
}

#[tokio::test]
async fn a_batch_that_may_be_stored_is_resent_under_the_same_numbers() {
    for says in [Says::HangsUp, Says::Nothing, Says::No(ErrorCode::NotEnoughReplicasAfterAppend)] {
        let (client, log) = client(&[says]).await;
        let producer = client.producer(patient()).unwrap();
        assert_eq!(offsets(write(&producer, &["a", "b"]).await), [50, 51]);
        assert_eq!(*log.lock().unwrap(), [arrived(100, 0, &["a", "b"]), arrived(100, 0, &["a", "b"])]);
    }
}

#[tokio::test]
async fn a_leader_that_has_moved_is_looked_for_and_gets_the_same_batch() {
    let (client, log) = client(&[Says::No(ErrorCode::NotLeaderOrFollower)]).await;
    let producer = client.producer(patient()).unwrap();
    assert_eq!(offsets(write(&producer, &["a"]).await), [50]);
    assert_eq!(*log.lock().unwrap(), [arrived(100, 0, &["a"]), arrived(100, 0, &["a"])]);
}

#[tokio::test]
async fn a_refused_batch_has_used_no_numbers() {
    let (client, log) = client(&[Says::No(ErrorCode::InvalidRecord)]).await;
    let producer = client.producer(patient()).unwrap();
    let refused = write(&producer, &["a", "b"]).await;
    assert!(
        refused.iter().all(|outcome| outcome.as_ref().unwrap_err().code() == Some(ErrorCode::InvalidRecord))
    );
    write(&producer, &["c"]).await;
    assert_eq!(*log.lock().unwrap(), [arrived(100, 0, &["a", "b"]), arrived(100, 0, &["c"])]);
}

#[tokio::test]
async fn a_batch_that_is_too_large_is_halved_in_order() {
    let too_large = Says::No(ErrorCode::MessageTooLarge);
    let (client, log) = client(&[too_large, too_large, Says::Yes, Says::Yes]).await;
    let producer = client.producer(patient()).unwrap();
    assert!(write(&producer, &["a", "b", "c", "d"]).await.iter().all(Result::is_ok));
    let stored = log.lock().unwrap()[2..].to_vec();
    assert_eq!(stored, [arrived(100, 0, &["a"]), arrived(100, 1, &["b"]), arrived(100, 2, &["c", "d"])]);
}

#[tokio::test]
async fn one_record_that_is_too_large_fails_alone() {
    let too_large = Says::No(ErrorCode::MessageTooLarge);
    let (client, _) = client(&[too_large, too_large, Says::Yes]).await;
    let producer = client.producer(patient()).unwrap();
    let outcomes = write(&producer, &["large", "b"]).await;
    assert_eq!(outcomes[0].as_ref().unwrap_err().code(), Some(ErrorCode::MessageTooLarge));
    assert_eq!(outcomes[1].as_ref().unwrap(), &50);
}

#[tokio::test]
async fn a_forgotten_producer_starts_over_when_its_batch_cannot_be_stored() {
    let (client, log) = client(&[Says::Yes, Says::No(ErrorCode::UnknownProducerId)]).await;
    let producer = client.producer(patient()).unwrap();
    write(&producer, &["a"]).await;
    assert_eq!(offsets(write(&producer, &["b"]).await), [50]);
    let expected = [arrived(100, 0, &["a"]), arrived(100, 1, &["b"]), arrived(101, 0, &["b"])];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_forgotten_producer_fails_when_its_batch_may_be_stored() {
    let says = [Says::HangsUp, Says::No(ErrorCode::OutOfOrderSequenceNumber)];
    let (client, log) = client(&says).await;
    let producer = client.producer(patient()).unwrap();
    let refused = write(&producer, &["a"]).await;
    assert_eq!(refused[0].as_ref().unwrap_err().code(), Some(ErrorCode::OutOfOrderSequenceNumber));
    write(&producer, &["b"]).await;
    let expected = [arrived(100, 0, &["a"]), arrived(100, 0, &["a"]), arrived(101, 0, &["b"])];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn after_an_outcome_that_stays_unknown_nothing_continues_its_numbers() {
    let says = [Says::Nothing; 8];
    let (client, log) = client(&says[..1]).await;
    let config = ProducerConfig { delivery_timeout: Duration::from_millis(100), ..patient() };
    let producer = client.producer(config).unwrap();
    let failed = write(&producer, &["a"]).await;
    assert!(matches!(failed[0], Err(ClientError::Timeout { .. })));
    write(&producer, &["b"]).await;
    assert_eq!(*log.lock().unwrap(), [arrived(100, 0, &["a"]), arrived(101, 0, &["b"])]);
}

#[tokio::test]
async fn a_batch_that_the_broker_remembers_only_by_number_counts_as_stored() {
    let (client, _) = client(&[Says::HangsUp, Says::No(ErrorCode::DuplicateSequenceNumber)]).await;
    let producer = client.producer(patient()).unwrap();
    assert_eq!(offsets(write(&producer, &["a"]).await), [-1]);
}

#[tokio::test]
async fn no_more_than_the_buffer_waits_for_acknowledgement() {
    let (client, _) = client(&[Says::Nothing; 100]).await;
    let config = ProducerConfig { batch_bytes: 100, buffer_bytes: 100, ..patient() };
    let producer = client.producer(config).unwrap();
    let first = producer.send(ProducerRecord::new("t", vec![b'x'; 90])).await;
    assert!(first.is_ok());
    let second = producer.send(ProducerRecord::new("t", "y"));
    assert!(tokio::time::timeout(Duration::from_millis(50), second).await.is_err(), "there was room");
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    let (client, _) = client(&[]).await;
    let refused = client.producer(ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() });
    assert!(refused.unwrap_err().to_string().contains("acks=all"));
    assert!(client.producer(ProducerConfig { batch_bytes: 0, ..ProducerConfig::default() }).is_err());
}
