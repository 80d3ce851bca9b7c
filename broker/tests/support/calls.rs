//! The few calls that tests of produce and fetch are made of, each in one line at the place where it matters.

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use logspine_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use logspine_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use logspine_protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::Records;

use super::raw::RawClient;

/// A produce version with names and record errors.
pub const PRODUCE: i16 = 9;
/// A fetch version with names and sessions.
pub const FETCH: i16 = 12;

pub fn create_topic(
    client: &mut RawClient,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> TopicId {
    let configs = configs
        .iter()
        .map(|(key, value)| CreatableTopicConfig { name: (*key).into(), value: Some((*value).into()) });
    let topic = CreatableTopic {
        name: name.into(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
    let response: CreateTopicsResponse<'_> = client.call(&request, ApiKey::CreateTopics, 7);
    assert_eq!(response.topics[0].error_code, 0, "{:?}", response.topics[0].error_message);
    response.topics[0].topic_id
}

pub fn delete_topic(client: &mut RawClient, name: &str) {
    let topics = vec![DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() }];
    let request = DeleteTopicsRequest { topics, timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
    let response: DeleteTopicsResponse<'_> = client.call(&request, ApiKey::DeleteTopics, 6);
    assert_eq!(response.responses[0].error_code, 0);
}

/// One batch of records with these values, without key.
pub fn batch(timestamp: i64, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.append(timestamp, None, Some(value.as_bytes()), &[]);
    }
    builder.build()
}

pub fn produce_request<'a>(topic: &'a str, index: i32, acks: i16, batch: &'a [u8]) -> ProduceRequest<'a> {
    let data = PartitionProduceData { index, records: Some(Records::from(batch)) };
    let topic =
        TopicProduceData { name: topic.into(), partition_data: vec![data], ..TopicProduceData::default() };
    ProduceRequest { acks, timeout_ms: 10_000, topic_data: vec![topic], ..ProduceRequest::default() }
}

/// acks=all; the answer of the one partition.
pub fn produce(
    client: &mut RawClient,
    topic: &str,
    index: i32,
    batch: &[u8],
) -> PartitionProduceResponse<'static> {
    let request = produce_request(topic, index, -1, batch);
    let mut response: ProduceResponse<'static> = client.call(&request, ApiKey::Produce, PRODUCE);
    response.responses.remove(0).partition_responses.remove(0)
}

/// A sessionless fetch from one partition.
pub fn fetch_request<'a>(topic: &'a str, index: i32, offset: i64, bytes_max: i32) -> FetchRequest<'a> {
    let partition = FetchPartition {
        partition: index,
        fetch_offset: offset,
        partition_max_bytes: bytes_max,
        ..FetchPartition::default()
    };
    let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..FetchTopic::default() };
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: i32::MAX,
        session_epoch: -1,
        topics: vec![topic],
        ..FetchRequest::default()
    }
}

pub fn fetch(client: &mut RawClient, request: &FetchRequest<'_>) -> FetchResponse<'static> {
    client.call(request, ApiKey::Fetch, FETCH)
}

/// Base offsets and last offsets of the batches that the only partition of a response holds.
pub fn offsets(response: &FetchResponse<'_>) -> Vec<(i64, i64)> {
    let records = response.responses[0].partitions[0].records.as_ref();
    let bytes = records.and_then(Records::as_bytes).unwrap_or_default();
    logspine_protocol::batch::iter_batches(bytes)
        .map(|batch| batch.unwrap())
        .map(|batch| (batch.base_offset().0, batch.last_offset().0))
        .collect()
}
