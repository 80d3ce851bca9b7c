//! The `kafka-protocol` crate, written by others from the schemas of Kafka 4.1, as a second opinion.
//!
//! Random messages go through their codec and ours; in the versions that both know the bytes must be equal. And
//! one message of each hot API is built field by field on both sides, which no round trip replaces: it shows that
//! the values lie in the fields of those names.

mod oracle;

use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage, StrBytes};
use logspine_protocol::messages as ours;
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::{Message, Writer};
use oracle::codecs;
use oracle::dice::Dice;
use oracle::schema_bytes::SchemaBytes;

/// Decodes and encodes with their codec.
fn recode<T: Decodable + Encodable>(bytes: &[u8], version: i16) -> Result<Vec<u8>, String> {
    let mut input = bytes::Bytes::copy_from_slice(bytes);
    let message = T::decode(&mut input, version).map_err(|e| e.to_string())?;
    let mut out = Vec::new();
    message.encode(&mut out, version).map_err(|e| e.to_string())?;
    Ok(out)
}

/// How many random messages of the schema both codecs return as they were, in the versions that both know.
fn agree<T: Decodable + Encodable + TheirMessage>(name: &str) -> usize {
    let (name, seed) = (format!("messages/{name}"), Dice::seed());
    let codec = codecs::all()[&name];
    let schema = SchemaBytes::read(&name);
    let mut count = 0;
    for version in codec.min.max(T::VERSIONS.min)..=codec.max.min(T::VERSIONS.max) {
        let mut dice = Dice::named(seed, &name, version);
        for _ in 0..50 {
            let bytes = schema.message(version, Some(&mut dice));
            assert_eq!(
                (codec.recode)(&bytes, version).as_ref(),
                Ok(&bytes),
                "ours: {name} {version}, seed {seed}"
            );
            assert_eq!(
                recode::<T>(&bytes, version).as_ref(),
                Ok(&bytes),
                "theirs: {name} {version}, seed {seed}"
            );
            count += 1;
        }
    }
    count
}

#[test]
fn two_codecs_agree_on_random_messages() {
    let mut total = 0;
    macro_rules! agree_on {
        ($($message:ident)*) => {
            $(
                let count = agree::<theirs::$message>(stringify!($message));
                assert!(count >= 50, "{}: only {count} messages", stringify!($message));
                total += count;
            )*
        };
    }
    agree_on! {
        ProduceRequest ProduceResponse FetchRequest FetchResponse ListOffsetsRequest ListOffsetsResponse
        MetadataRequest MetadataResponse OffsetCommitRequest OffsetCommitResponse OffsetFetchRequest OffsetFetchResponse
        FindCoordinatorRequest FindCoordinatorResponse JoinGroupRequest JoinGroupResponse SyncGroupRequest
        SyncGroupResponse HeartbeatRequest LeaveGroupRequest DescribeGroupsResponse ListGroupsResponse
        ApiVersionsRequest ApiVersionsResponse CreateTopicsRequest CreateTopicsResponse DeleteTopicsRequest
        DescribeConfigsRequest DescribeConfigsResponse InitProducerIdResponse ConsumerGroupHeartbeatRequest
        ConsumerGroupHeartbeatResponse DescribeClusterResponse OffsetDeleteRequest
    }
    println!("{total} messages, seed {}: both codecs agree", Dice::seed());
}

/// Our message in bytes.
fn our_bytes<'a, M: Message<'a>>(message: &M, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    message.encode(&mut w, version).expect("the version has these fields");
    w.into_bytes()
}

/// Their message in bytes.
fn their_bytes<M: Encodable>(message: &M, version: i16) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out, version).expect("the version has these fields");
    out
}

fn topic(name: &'static str) -> theirs::TopicName {
    theirs::TopicName(StrBytes::from_static_str(name))
}

#[test]
fn a_produce_request_built_on_both_sides_is_the_same() {
    for version in 3..=13_i16 {
        let (named, id) = (version < 13, TopicId([5; 16]));
        let ours = ours::produce::ProduceRequest {
            transactional_id: Some("tx".into()),
            acks: -1,
            timeout_ms: 1500,
            topic_data: vec![ours::produce::TopicProduceData {
                name: if named { "orders".into() } else { "".into() },
                topic_id: if named { TopicId::ZERO } else { id },
                partition_data: vec![ours::produce::PartitionProduceData {
                    index: 3,
                    records: Some(b"batch".as_slice().into()),
                }],
            }],
        };
        let partition = theirs::produce_request::PartitionProduceData::default()
            .with_index(3)
            .with_records(Some(bytes::Bytes::from_static(b"batch")));
        let mut data =
            theirs::produce_request::TopicProduceData::default().with_partition_data(vec![partition]);
        match named {
            true => data.name = topic("orders"),
            false => data.topic_id = "05050505-0505-0505-0505-050505050505".parse().expect("a uuid"),
        }
        let theirs = theirs::ProduceRequest::default()
            .with_transactional_id(Some(theirs::TransactionalId(StrBytes::from_static_str("tx"))))
            .with_acks(-1)
            .with_timeout_ms(1500)
            .with_topic_data(vec![data]);
        assert_eq!(our_bytes(&ours, version), their_bytes(&theirs, version), "version {version}");
    }
}

#[test]
fn a_fetch_response_built_on_both_sides_is_the_same() {
    for version in 4..=12_i16 {
        let ours = ours::fetch::FetchResponse {
            throttle_time_ms: 9,
            session_id: if version >= 7 { 77 } else { 0 },
            responses: vec![ours::fetch::FetchableTopicResponse {
                topic: "orders".into(),
                partitions: vec![ours::fetch::PartitionData {
                    partition_index: 2,
                    high_watermark: 100,
                    last_stable_offset: 90,
                    log_start_offset: 10,
                    aborted_transactions: Some(vec![ours::fetch::AbortedTransaction {
                        producer_id: 5,
                        first_offset: 50,
                    }]),
                    records: Some(b"batches".as_slice().into()),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let aborted = theirs::fetch_response::AbortedTransaction::default()
            .with_producer_id(5.into())
            .with_first_offset(50);
        let partition = theirs::fetch_response::PartitionData::default()
            .with_partition_index(2)
            .with_high_watermark(100)
            .with_last_stable_offset(90)
            .with_log_start_offset(10)
            .with_aborted_transactions(Some(vec![aborted]))
            .with_records(Some(bytes::Bytes::from_static(b"batches")));
        let response = theirs::fetch_response::FetchableTopicResponse::default()
            .with_topic(topic("orders"))
            .with_partitions(vec![partition]);
        let theirs = theirs::FetchResponse::default()
            .with_throttle_time_ms(9)
            .with_session_id(if version >= 7 { 77 } else { 0 })
            .with_responses(vec![response]);
        assert_eq!(our_bytes(&ours, version), their_bytes(&theirs, version), "version {version}");
    }
}
