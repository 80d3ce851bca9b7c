//! What this client promises of any broker, told once and kept against several: Apache Kafka and ours.
//!
//! Each promise is a function that makes topics and groups of its own names and asserts contents, offsets and
//! figures. Who runs them: `apache_kafka.rs` beside this folder, and `broker/tests/client_*.rs`.
#![allow(dead_code, reason = "each test program keeps some of the promises")]

pub mod admin;
pub mod groups;
pub mod records;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use logspine_client::{
    Client, ClientConfig, Codec, Consumer, ConsumerConfig, ConsumerRecord, Producer, ProducerConfig,
    ProducerRecord, StartAt,
};

/// How long a promise waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Keeps one promise with the broker at this address.
pub fn keep(bootstrap: &str, promise: impl AsyncFnOnce(&Client)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads").block_on(async {
        let config = ClientConfig { client_id: "promises".into(), ..ClientConfig::new(bootstrap) };
        promise(&Client::connect(config).await.expect("the broker answers")).await;
    });
}

/// Asks again until the answer is this one. Apache Kafka acknowledges a change when its controller has it, and its
/// brokers follow a moment later; ours have followed by then, which `broker/tests/metadata.rs` holds them to.
pub async fn becomes<T: PartialEq + Debug>(ask: impl AsyncFn() -> T, expected: T) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let told = ask().await;
        if told == expected {
            return;
        }
        assert!(Instant::now() < give_up, "still {told:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A topic of this name with so many partitions.
pub async fn create_topic(client: &Client, name: &str, partitions: i32) {
    client.admin().create_topic(name, partitions, 1, &BTreeMap::new(), false).await.expect("a new topic");
}

/// Writes these, and returns the offset of each.
pub async fn write(producer: &Producer, records: Vec<ProducerRecord>) -> Vec<i64> {
    let mut deliveries = Vec::new();
    for record in records {
        deliveries.push(producer.send(record).await.expect("room"));
    }
    producer.flush().await.expect("delivered");
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.expect("acknowledged").offset.0);
    }
    offsets
}

/// So many records `0`, `1`, ... with the number as key and value.
pub fn numbered(topic: &str, numbers: std::ops::Range<usize>) -> Vec<ProducerRecord> {
    numbers
        .map(|number| ProducerRecord::new(topic, number.to_string()).with_key(number.to_string()))
        .collect()
}

pub async fn write_numbered(
    client: &Client,
    topic: &str,
    numbers: std::ops::Range<usize>,
    codec: Codec,
) -> Vec<i64> {
    let producer =
        client.producer(ProducerConfig { codec, ..ProducerConfig::default() }).expect("valid settings");
    write(&producer, numbered(topic, numbers)).await
}

/// Everything that a topic holds from there to its present end.
pub async fn read(client: &Client, topic: &str, start: StartAt) -> Vec<ConsumerRecord> {
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic(topic, start).await.expect("assigned");
    read_to_end(&mut consumer).await
}

pub async fn read_to_end(consumer: &mut Consumer) -> Vec<ConsumerRecord> {
    consumer.stop_at_end().await.expect("ends are known");
    let mut records = Vec::new();
    let all = async {
        while !consumer.is_finished() {
            records.extend(consumer.poll(Duration::from_secs(1)).await.expect("records"));
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("the end comes");
    records
}

pub fn value(record: &ConsumerRecord) -> String {
    String::from_utf8(record.value.clone().expect("a value")).expect("text")
}
