//! A partition, topic or resource that one request names twice, and a change that is allowed no time.

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use logspine_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use logspine_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use logspine_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use logspine_protocol::messages::fetch::FetchPartition;
use logspine_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use logspine_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use logspine_protocol::messages::produce::{PartitionProduceData, ProduceResponse};
use logspine_protocol::wire::Records;

use crate::support::calls::{PRODUCE, batch, fetch, fetch_request, offsets, produce, produce_request};
use crate::support::raw::RawClient;
use crate::{Told, compare, led_topic};

pub fn what_is_named_twice_or_asked_too_late_is_answered_alike(kafka: &str, broker: &str) {
    compare(&ask(kafka), &ask(broker));
}

fn ask(address: &str) -> Vec<Told> {
    let mut client = RawClient::connect(address);
    led_topic(&mut client, "twice", 2, &[]);
    let told = [
        ("ListOffsets, one partition twice", list_offsets(&mut client, &[&[0, 1, 0]])),
        ("ListOffsets, one topic twice", list_offsets(&mut client, &[&[0], &[0]])),
        ("Produce, one partition twice", produce_twice(&mut client)),
        (
            "Produce after that",
            produce(&mut client, "twice", 0, &batch(now_ms(), &["c"])).base_offset.to_string(),
        ),
        ("Fetch, one partition twice", fetch_twice(&mut client)),
        ("OffsetCommit, one partition twice", commit_twice(&mut client)),
        ("DeleteRecords, one partition twice", delete_records(&mut client)),
        ("CreateTopics, one name twice", create_topics(&mut client, &["new", "other", "new"], 10_000)),
        ("CreatePartitions, one name twice", create_partitions(&mut client, &["twice", "twice"], 10_000)),
        ("DeleteTopics, one name twice", delete_topics(&mut client, &["other", "other"], 10_000)),
        ("CreateTopics without time", create_topics(&mut client, &["late", "twice"], 0)),
        ("the topic that was created without time", exists(&mut client, "late")),
        ("CreatePartitions without time", create_partitions(&mut client, &["twice"], 0)),
        ("DeleteTopics without time", delete_topics(&mut client, &["twice"], 0)),
        ("the topic that was deleted without time", exists(&mut client, "twice")),
        ("CreateTopics with less than no time", create_topics(&mut client, &["later"], -1)),
    ];
    told.map(|(question, answer)| (question.to_owned(), answer)).to_vec()
}

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// In the order of their names: Kafka answers from hash maps.
fn sorted<T: Ord + std::fmt::Debug>(parts: impl IntoIterator<Item = T>) -> String {
    let mut parts: Vec<T> = parts.into_iter().collect();
    parts.sort();
    format!("{parts:?}")
}

fn list_offsets(client: &mut RawClient, topics: &[&[i32]]) -> String {
    let partition = |index: &i32| ListOffsetsPartition {
        partition_index: *index,
        current_leader_epoch: -1,
        timestamp: -1,
    };
    let topics = topics.iter().map(|partitions| ListOffsetsTopic {
        name: "twice".into(),
        partitions: partitions.iter().map(partition).collect(),
    });
    let request = ListOffsetsRequest { replica_id: -1, topics: topics.collect(), ..Default::default() };
    let answer: ListOffsetsResponse<'_> = client.call(&request, ApiKey::ListOffsets, 7);
    let partitions = answer.topics.iter().map(|topic| {
        let codes = topic.partitions.iter().map(|one| (one.partition_index, one.error_code, one.offset));
        (topic.name.to_string(), sorted(codes))
    });
    sorted(partitions)
}

fn produce_twice(client: &mut RawClient) -> String {
    let (first, second) = (batch(now_ms(), &["a"]), batch(now_ms(), &["b1", "b2"]));
    let mut request = produce_request("twice", 0, -1, &first);
    let again = PartitionProduceData { index: 0, records: Some(Records::from(&second[..])) };
    request.topic_data[0].partition_data.push(again);
    let answer: ProduceResponse<'_> = client.call(&request, ApiKey::Produce, PRODUCE);
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
    sorted(partitions.map(|one| (one.index, one.error_code, one.base_offset)))
}

fn fetch_twice(client: &mut RawClient) -> String {
    let mut request = fetch_request("twice", 0, 0, i32::MAX);
    let again = FetchPartition { fetch_offset: 1, ..request.topics[0].partitions[0].clone() };
    request.topics[0].partitions.push(again);
    let answer = fetch(client, &request);
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let parts = sorted(partitions.map(|one| (one.partition_index, one.error_code)));
    format!("{parts}, the first holds {:?}", offsets(&answer))
}

fn commit_twice(client: &mut RawClient) -> String {
    coordinator(client);
    let partition = |committed_offset| OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset,
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "twice".into(),
        partitions: vec![partition(5), partition(6)],
        ..OffsetCommitRequestTopic::default()
    };
    let request = OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() };
    let answer: OffsetCommitResponse<'_> = client.call(&request, ApiKey::OffsetCommit, 8);
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let told = sorted(partitions.map(|one| (one.partition_index, one.error_code)));
    let topics = vec![OffsetFetchRequestTopics {
        name: "twice".into(),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopics::default()
    }];
    let group = OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(topics), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
    let answer: OffsetFetchResponse<'_> = client.call(&request, ApiKey::OffsetFetch, 8);
    format!("{told}, kept {}", answer.groups[0].topics[0].partitions[0].committed_offset)
}

/// The first question for a group creates the topic of offsets.
fn coordinator(client: &mut RawClient) {
    use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
    let request = FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
    loop {
        let found: FindCoordinatorResponse<'_> = client.call(&request, ApiKey::FindCoordinator, 2);
        let groups = vec![OffsetFetchRequestGroup {
            group_id: "g".into(),
            topics: Some(Vec::new()),
            ..OffsetFetchRequestGroup::default()
        }];
        let probe = OffsetFetchRequest { groups, ..OffsetFetchRequest::default() };
        let loaded: OffsetFetchResponse<'_> = client.call(&probe, ApiKey::OffsetFetch, 8);
        if found.error_code == 0 && loaded.groups[0].error_code == 0 {
            return;
        }
        std::thread::yield_now();
    }
}

fn delete_records(client: &mut RawClient) -> String {
    let partition = |offset| DeleteRecordsPartition { partition_index: 0, offset };
    let topics =
        vec![DeleteRecordsTopic { name: "twice".into(), partitions: vec![partition(1), partition(2)] }];
    let request = DeleteRecordsRequest { topics, timeout_ms: 10_000 };
    let answer: DeleteRecordsResponse<'_> = client.call(&request, ApiKey::DeleteRecords, 2);
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    sorted(partitions.map(|one| (one.partition_index, one.error_code, one.low_watermark)))
}

fn create_topics(client: &mut RawClient, names: &[&'static str], timeout_ms: i32) -> String {
    let topics = names.iter().map(|name| CreatableTopic {
        name: (*name).into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    });
    let request = CreateTopicsRequest { topics: topics.collect(), timeout_ms, validate_only: false };
    let answer: CreateTopicsResponse<'_> = client.call(&request, ApiKey::CreateTopics, 7);
    sorted(answer.topics.iter().map(|one| (one.name.to_string(), one.error_code)))
}

fn create_partitions(client: &mut RawClient, names: &[&'static str], timeout_ms: i32) -> String {
    let topics =
        names.iter().map(|name| CreatePartitionsTopic { name: (*name).into(), count: 3, assignments: None });
    let request = CreatePartitionsRequest { topics: topics.collect(), timeout_ms, validate_only: false };
    let answer: CreatePartitionsResponse<'_> = client.call(&request, ApiKey::CreatePartitions, 2);
    sorted(answer.results.iter().map(|one| (one.name.to_string(), one.error_code)))
}

fn delete_topics(client: &mut RawClient, names: &[&'static str], timeout_ms: i32) -> String {
    let topics = names
        .iter()
        .map(|name| DeleteTopicState { name: Some((*name).into()), ..DeleteTopicState::default() });
    let request =
        DeleteTopicsRequest { topics: topics.collect(), timeout_ms, ..DeleteTopicsRequest::default() };
    let answer: DeleteTopicsResponse<'_> = client.call(&request, ApiKey::DeleteTopics, 6);
    sorted(answer.responses.iter().map(|one| (one.name.as_deref().map(str::to_owned), one.error_code)))
}

fn exists(client: &mut RawClient, name: &'static str) -> String {
    let topics = vec![MetadataRequestTopic { name: Some(name.into()), ..MetadataRequestTopic::default() }];
    let request =
        MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false, ..Default::default() };
    let answer: MetadataResponse<'_> = client.call(&request, ApiKey::Metadata, 9);
    let known = answer.topics.iter().map(|topic| (topic.error_code, topic.partitions.len()));
    sorted(known)
}
