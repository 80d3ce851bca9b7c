//! Promises about records: what is written is read, whole, in order, from wherever one begins.

use std::time::{Duration, Instant};

use logspine_client::{
    Acks, Client, Codec, ConsumerConfig, OffsetReset, Producer, ProducerConfig, ProducerRecord, StartAt,
    TopicPartition, partition_of_key,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{Offset, PartitionIndex};

use super::*;

/// Every codec brings back keys, values, nulls, headers and times, bit for bit.
pub async fn every_codec_brings_back_what_was_written(client: &Client) {
    create_topic(client, "codecs", 1).await;
    let odd = |codec: Codec, number: i64| ProducerRecord {
        topic: "codecs".into(),
        partition: None,
        key: [None, Some(Vec::new()), Some(vec![0xff, 0, b'k'])][number as usize % 3].clone(),
        value: [Some(vec![b'v'; number as usize * 10]), None, Some(vec![0x80])][number as usize % 3].clone(),
        headers: vec![("codec".into(), Some(codec.name().into())), ("none".into(), None)],
        timestamp_ms: Some(1_700_000_000_000 + number),
    };
    let mut written = Vec::new();
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let producer = client.producer(ProducerConfig { codec, ..ProducerConfig::default() }).expect("valid");
        let records: Vec<_> = (0..100).map(|number| odd(codec, number)).collect();
        let first = written.len() as i64;
        assert_eq!(
            write(&producer, records.clone()).await,
            (first..first + 100).collect::<Vec<_>>(),
            "{codec:?}"
        );
        written.extend(records);
    }
    let read = read(client, "codecs", StartAt::Earliest).await;
    assert_eq!(read.len(), written.len());
    for (offset, (read, written)) in (0..).zip(read.into_iter().zip(written)) {
        assert_eq!(read.offset, Offset(offset));
        assert_eq!((read.key, read.value), (written.key, written.value), "offset {offset}");
        assert_eq!(read.headers, written.headers, "offset {offset}");
        assert_eq!(Some(read.timestamp_ms), written.timestamp_ms, "offset {offset}");
    }
}

/// Records with a key go to the partition of the key, and keep their order there.
pub async fn keys_keep_their_partition_and_their_order(client: &Client) {
    create_topic(client, "keys", 4).await;
    let producer =
        client.producer(ProducerConfig { batch_bytes: 2000, ..ProducerConfig::default() }).expect("valid");
    let record = |n: usize| ProducerRecord::new("keys", n.to_string()).with_key(format!("key {}", n % 20));
    write(&producer, (0..5000).map(record).collect()).await;
    let read = read(client, "keys", StartAt::Earliest).await;
    assert_eq!(read.len(), 5000);
    let mut last = std::collections::BTreeMap::new();
    for record in &read {
        let key = record.key.clone().expect("a key");
        assert_eq!(record.partition, PartitionIndex(partition_of_key(&key, 4)));
        let number: i64 = value(record).parse().expect("a number");
        assert!(last.insert(key, number).is_none_or(|before| before < number), "{number} is out of order");
    }
}

/// Reading begins where it is told: at an offset, before the end, at a time, at the end.
pub async fn reading_begins_where_it_is_told(client: &Client) {
    create_topic(client, "places", 1).await;
    let producer =
        client.producer(ProducerConfig { batch_bytes: 500, ..ProducerConfig::default() }).expect("valid");
    let record = |n: i64| ProducerRecord {
        timestamp_ms: Some(1_700_000_000_000 + n * 1000),
        ..ProducerRecord::new("places", n.to_string())
    };
    write(&producer, (0..100).map(record).collect()).await;
    let cases = [
        (StartAt::Earliest, 0),
        (StartAt::Offset(Offset(37)), 37),
        (StartAt::BeforeEnd(10), 90),
        (StartAt::BeforeEnd(1000), 0),
        (StartAt::Timestamp(1_700_000_000_000 + 41_500), 42),
        (StartAt::Timestamp(0), 0),
        (StartAt::Timestamp(1_900_000_000_000), 100),
        (StartAt::Latest, 100),
    ];
    for (start, first) in cases {
        let values: Vec<_> = read(client, "places", start).await.iter().map(value).collect();
        assert_eq!(values, (first..100).map(|n| n.to_string()).collect::<Vec<_>>(), "{start:?}");
    }
}

/// A consumer that waits gets a record when it is written, and can be sent back.
pub async fn a_waiting_consumer_is_told_and_can_go_back(client: &Client) {
    create_topic(client, "waiting", 2).await;
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic("waiting", StartAt::Latest).await.expect("assigned");
    assert!(consumer.poll(Duration::from_millis(50)).await.expect("nothing yet").is_empty());
    let producer = client.producer(ProducerConfig::default()).expect("valid");
    let (written, read) = tokio::join!(
        write(
            &producer,
            vec![ProducerRecord { partition: Some(1.into()), ..ProducerRecord::new("waiting", "now") }]
        ),
        consumer.poll(PATIENCE)
    );
    assert_eq!(written, [0]);
    assert_eq!(read.expect("the record").iter().map(value).collect::<Vec<_>>(), ["now"]);
    let partition = TopicPartition::new("waiting", 1);
    consumer.seek(&partition, Offset(0)).expect("assigned");
    let again = consumer.poll(PATIENCE).await.expect("the record again");
    assert_eq!(again.iter().map(value).collect::<Vec<_>>(), ["now"]);
    assert_eq!(consumer.positions()[&partition], Offset(1));
}

/// A position that is not in the log is moved as the consumer was told, or is an error.
pub async fn a_position_outside_the_log_is_reset_or_refused(client: &Client) {
    create_topic(client, "outside", 1).await;
    write_numbered(client, "outside", 0..10, Codec::None).await;
    let start = [(TopicPartition::new("outside", 0), StartAt::Offset(Offset(500)))];
    let mut strict =
        client.consumer(ConsumerConfig { offset_reset: OffsetReset::Error, ..ConsumerConfig::default() });
    strict.assign(start.clone()).await.expect("assigned");
    let refused = strict.poll(PATIENCE).await.expect_err("500 is not there");
    assert_eq!(refused.code(), Some(ErrorCode::OffsetOutOfRange));
    assert!(refused.to_string().contains("outside-0 at offset 500"), "{refused}");
    let mut lenient = client.consumer(ConsumerConfig::default());
    lenient.assign(start).await.expect("assigned");
    assert_eq!(lenient.poll(PATIENCE).await.expect("from the beginning").len(), 10);
}

/// acks=1 and acks=0 write too; only acks=0 knows no offsets.
pub async fn weaker_acknowledgements_write_too(client: &Client) {
    create_topic(client, "acks", 1).await;
    for (acks, offsets) in [(Acks::Leader, vec![0, 1, 2]), (Acks::None, vec![-1, -1, -1])] {
        let config = ProducerConfig { acks, idempotent: false, ..ProducerConfig::default() };
        let producer = client.producer(config).expect("valid");
        assert_eq!(write(&producer, numbered("acks", 0..3)).await, offsets, "{acks:?}");
    }
    // With acks=0 nobody says when it is there: it is waited for by reading.
    let mut consumer = client.consumer(ConsumerConfig::default());
    consumer.assign_topic("acks", StartAt::Earliest).await.expect("assigned");
    let mut values = Vec::new();
    while values.len() < 6 {
        let records = consumer.poll(PATIENCE).await.expect("records");
        assert!(!records.is_empty(), "only {values:?} came");
        values.extend(records.iter().map(value));
    }
    assert_eq!(values, ["0", "1", "2", "0", "1", "2"]);
}

/// A record above the topic's limit is refused alone; those beside it are written.
pub async fn a_record_that_is_too_large_is_refused_alone(client: &Client) {
    create_topic(client, "large", 1).await;
    let ops = [logspine_client::ConfigOp::set("max.message.bytes", "1000")];
    let topic = logspine_client::Resource::Topic("large".into());
    client.admin().incremental_alter_configs(&topic, &ops, false).await.expect("changed");
    let producer = client.producer(ProducerConfig::default()).expect("valid");
    let accepted = accepted_before_the_limit_is_in_force(&producer, "large", 5000).await;
    let mut deliveries = Vec::new();
    for bytes in [100, 5000, 100] {
        deliveries.push(producer.send(ProducerRecord::new("large", vec![b'x'; bytes])).await.expect("room"));
    }
    producer.flush().await.expect("outcomes");
    let mut outcomes = Vec::new();
    for delivery in deliveries {
        outcomes.push(delivery.await.map(|metadata| metadata.offset.0).map_err(|error| error.code()));
    }
    assert_eq!(outcomes, [Ok(accepted), Err(Some(ErrorCode::MessageTooLarge)), Ok(accepted + 1)]);
}

/// Apache Kafka acknowledges a change of configs when its controller has it; the partition follows a moment later.
/// Sends records of `bytes` until one is refused as too large, and counts those accepted before.
async fn accepted_before_the_limit_is_in_force(producer: &Producer, topic: &str, bytes: usize) -> i64 {
    let give_up = Instant::now() + Duration::from_secs(30);
    let mut accepted = 0;
    while Instant::now() < give_up {
        let delivery = producer.send(ProducerRecord::new(topic, vec![b'x'; bytes])).await.expect("room");
        producer.flush().await.expect("outcome");
        match delivery.await.map_err(|error| error.code()) {
            Ok(metadata) => {
                assert_eq!(metadata.offset.0, accepted, "each accepted record has the next offset")
            }
            Err(Some(ErrorCode::MessageTooLarge)) => return accepted,
            Err(other) => panic!("a record of {bytes} bytes was refused with {other:?}"),
        }
        accepted += 1;
    }
    panic!("{topic} accepts records of {bytes} bytes 30 s after its limit was lowered");
}

/// What does not exist is said so, soon, by name.
pub async fn what_does_not_exist_is_named(client: &Client) {
    let refused = client.topic("nowhere").await.expect_err("no such topic");
    assert!(refused.is_unknown_topic(), "{refused}");
    assert!(refused.to_string().starts_with("topic nowhere: UNKNOWN_TOPIC_OR_PARTITION"), "{refused}");
    create_topic(client, "somewhere", 1).await;
    let producer = client.producer(ProducerConfig::default()).expect("valid");
    let record = ProducerRecord { partition: Some(7.into()), ..ProducerRecord::new("somewhere", "x") };
    let refused = producer.send(record).await.expect_err("no such partition");
    assert_eq!(refused.to_string(), "topic somewhere has 1 partitions: there is no partition 7");
}
