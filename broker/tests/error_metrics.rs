//! Promise: every error that an answer carries is counted once, under its API and its code.
//!
//! The table holds one request for each API served that must be answered with an error; the scrape after it differs
//! from the one before in that series alone. That no field is forgotten is the generator's: `for_each_error`.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::collections::BTreeMap;

use logspine::api::SERVED;
use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::alter_configs::{self, AlterConfigsRequest};
use logspine_protocol::messages::api_versions::ApiVersionsRequest;
use logspine_protocol::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use logspine_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use logspine_protocol::messages::delete_groups::DeleteGroupsRequest;
use logspine_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use logspine_protocol::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use logspine_protocol::messages::describe_cluster::DescribeClusterRequest;
use logspine_protocol::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use logspine_protocol::messages::describe_groups::DescribeGroupsRequest;
use logspine_protocol::messages::describe_topic_partitions::{DescribeTopicPartitionsRequest, TopicRequest};
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use logspine_protocol::messages::incremental_alter_configs::{self, IncrementalAlterConfigsRequest};
use logspine_protocol::messages::init_producer_id::InitProducerIdRequest;
use logspine_protocol::messages::join_group::JoinGroupRequest;
use logspine_protocol::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use logspine_protocol::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use logspine_protocol::messages::offset_delete::OffsetDeleteRequest;
use logspine_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use logspine_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use logspine_protocol::messages::sync_group::SyncGroupRequest;
use logspine_protocol::types::TopicId;
use logspine_protocol::wire::Message;
use support::Broker;
use support::calls::{FETCH, PRODUCE, batch, fetch_request, produce_request};
use support::raw::{Answer, RawClient, request_bytes};

/// These answer no error that a client could provoke.
const WITHOUT_ERRORS: &[ApiKey] =
    &[ApiKey::ListGroups, ApiKey::ListPartitionReassignments, ApiKey::DescribeLogDirs];

/// An API, a request as a frame, and the code that its answer must carry.
struct Row {
    key: ApiKey,
    frame: Vec<u8>,
    code: &'static str,
}

fn row<'a>(key: ApiKey, version: i16, request: &impl Message<'a>, code: &'static str) -> Row {
    Row { key, frame: request_bytes(request, key, version, 1), code }
}

fn rows() -> Vec<Row> {
    [records(), topics(), configs(), groups()].into_iter().flatten().collect()
}

const UNKNOWN: &str = "UNKNOWN_TOPIC_OR_PARTITION";

fn records() -> Vec<Row> {
    let batch = batch(0, &["x"]);
    let list = ListOffsetsTopic { name: "no".into(), partitions: vec![ListOffsetsPartition::default()] };
    let delete =
        DeleteRecordsTopic { name: "no".into(), partitions: vec![DeleteRecordsPartition::default()] };
    let epoch =
        OffsetForLeaderTopic { topic: "no".into(), partitions: vec![OffsetForLeaderPartition::default()] };
    let transactional =
        InitProducerIdRequest { transactional_id: Some("t".into()), ..InitProducerIdRequest::default() };
    vec![
        row(ApiKey::Produce, PRODUCE, &produce_request("no", 0, -1, &batch), UNKNOWN),
        row(ApiKey::Fetch, FETCH, &fetch_request("no", 0, 0, 1000), UNKNOWN),
        row(
            ApiKey::ListOffsets,
            7,
            &ListOffsetsRequest { topics: vec![list], ..ListOffsetsRequest::default() },
            UNKNOWN,
        ),
        row(
            ApiKey::DeleteRecords,
            2,
            &DeleteRecordsRequest { topics: vec![delete], timeout_ms: 1000 },
            UNKNOWN,
        ),
        row(
            ApiKey::OffsetForLeaderEpoch,
            4,
            &OffsetForLeaderEpochRequest { topics: vec![epoch], ..OffsetForLeaderEpochRequest::default() },
            UNKNOWN,
        ),
        row(ApiKey::InitProducerId, 4, &transactional, "UNSUPPORTED_VERSION"),
    ]
}

fn topics() -> Vec<Row> {
    let create =
        CreatableTopic { name: "a/b".into(), num_partitions: 1, replication_factor: 1, ..Default::default() };
    let delete = DeleteTopicState { name: Some("no".into()), ..DeleteTopicState::default() };
    let grow = CreatePartitionsTopic { name: "no".into(), count: 3, assignments: None };
    let ask = MetadataRequestTopic { name: Some("no".into()), ..MetadataRequestTopic::default() };
    let metadata =
        MetadataRequest { topics: Some(vec![ask]), allow_auto_topic_creation: false, ..Default::default() };
    let name = TopicRequest { name: "no".into() };
    vec![
        row(
            ApiKey::CreateTopics,
            7,
            &CreateTopicsRequest { topics: vec![create], timeout_ms: 1000, validate_only: false },
            "INVALID_TOPIC_EXCEPTION",
        ),
        row(
            ApiKey::DeleteTopics,
            6,
            &DeleteTopicsRequest { topics: vec![delete], timeout_ms: 1000, ..DeleteTopicsRequest::default() },
            UNKNOWN,
        ),
        row(
            ApiKey::CreatePartitions,
            2,
            &CreatePartitionsRequest { topics: vec![grow], timeout_ms: 1000, validate_only: false },
            UNKNOWN,
        ),
        row(ApiKey::Metadata, 9, &metadata, UNKNOWN),
        row(
            ApiKey::DescribeTopicPartitions,
            0,
            &DescribeTopicPartitionsRequest {
                topics: vec![name],
                response_partition_limit: 9,
                ..Default::default()
            },
            UNKNOWN,
        ),
        row(
            ApiKey::ApiVersions,
            4,
            &ApiVersionsRequest { client_software_name: "!".into(), client_software_version: "1".into() },
            "INVALID_REQUEST",
        ),
        row(
            ApiKey::DescribeCluster,
            1,
            &DescribeClusterRequest { endpoint_type: 9, ..DescribeClusterRequest::default() },
            "UNSUPPORTED_ENDPOINT_TYPE",
        ),
    ]
}

fn configs() -> Vec<Row> {
    let describe =
        DescribeConfigsResource { resource_type: 2, resource_name: "no".into(), configuration_keys: None };
    let alter =
        alter_configs::AlterConfigsResource { resource_type: 2, resource_name: "no".into(), configs: vec![] };
    let change = incremental_alter_configs::AlterConfigsResource {
        resource_type: 2,
        resource_name: "no".into(),
        configs: vec![],
    };
    vec![
        row(
            ApiKey::DescribeConfigs,
            4,
            &DescribeConfigsRequest { resources: vec![describe], ..DescribeConfigsRequest::default() },
            UNKNOWN,
        ),
        row(
            ApiKey::AlterConfigs,
            2,
            &AlterConfigsRequest { resources: vec![alter], validate_only: false },
            UNKNOWN,
        ),
        row(
            ApiKey::IncrementalAlterConfigs,
            1,
            &IncrementalAlterConfigsRequest { resources: vec![change], validate_only: false },
            UNKNOWN,
        ),
    ]
}

fn groups() -> Vec<Row> {
    let commit = OffsetCommitRequestTopic {
        name: "no".into(),
        partitions: vec![OffsetCommitRequestPartition::default()],
        ..OffsetCommitRequestTopic::default()
    };
    let unknown = OffsetFetchRequestTopics {
        topic_id: TopicId([9; 16]),
        partition_indexes: vec![0],
        ..OffsetFetchRequestTopics::default()
    };
    let fetch =
        OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![unknown]), ..Default::default() };
    let group = "g";
    let mut rows = members(group);
    rows.extend([
        row(
            ApiKey::OffsetCommit,
            8,
            &OffsetCommitRequest { group_id: group.into(), topics: vec![commit], ..Default::default() },
            UNKNOWN,
        ),
        row(
            ApiKey::OffsetFetch,
            10,
            &OffsetFetchRequest { groups: vec![fetch], ..OffsetFetchRequest::default() },
            "UNKNOWN_TOPIC_ID",
        ),
        row(
            ApiKey::FindCoordinator,
            2,
            &FindCoordinatorRequest { key: "t".into(), key_type: 1, ..FindCoordinatorRequest::default() },
            "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
        ),
        row(
            ApiKey::DescribeGroups,
            6,
            &DescribeGroupsRequest { groups: vec![group.into()], ..DescribeGroupsRequest::default() },
            "GROUP_ID_NOT_FOUND",
        ),
        row(
            ApiKey::DeleteGroups,
            2,
            &DeleteGroupsRequest { groups_names: vec![group.into()] },
            "GROUP_ID_NOT_FOUND",
        ),
        row(
            ApiKey::OffsetDelete,
            0,
            &OffsetDeleteRequest { group_id: group.into(), ..OffsetDeleteRequest::default() },
            "GROUP_ID_NOT_FOUND",
        ),
    ]);
    rows
}

fn members(group: &'static str) -> Vec<Row> {
    let nobody = "nobody";
    let member = MemberIdentity { member_id: nobody.into(), ..MemberIdentity::default() };
    vec![
        row(
            ApiKey::JoinGroup,
            5,
            &JoinGroupRequest { group_id: "".into(), session_timeout_ms: 10_000, ..Default::default() },
            "INVALID_GROUP_ID",
        ),
        row(
            ApiKey::Heartbeat,
            4,
            &HeartbeatRequest { group_id: group.into(), member_id: nobody.into(), ..Default::default() },
            "UNKNOWN_MEMBER_ID",
        ),
        row(
            ApiKey::LeaveGroup,
            3,
            &LeaveGroupRequest { group_id: group.into(), members: vec![member], ..Default::default() },
            "UNKNOWN_MEMBER_ID",
        ),
        row(
            ApiKey::SyncGroup,
            4,
            &SyncGroupRequest { group_id: group.into(), member_id: nobody.into(), ..Default::default() },
            "UNKNOWN_MEMBER_ID",
        ),
    ]
}

/// Waits until the group's coordinator is loaded.
fn await_coordinator(client: &mut RawClient) {
    let find = FindCoordinatorRequest { key: "g".into(), ..FindCoordinatorRequest::default() };
    let beat = HeartbeatRequest { group_id: "g".into(), member_id: "nobody".into(), ..Default::default() };
    loop {
        let found: FindCoordinatorResponse<'_> = client.call(&find, ApiKey::FindCoordinator, 2);
        let beaten: HeartbeatResponse = client.call(&beat, ApiKey::Heartbeat, 4);
        if found.error_code == 0 && beaten.error_code == 25 {
            return;
        }
        std::thread::yield_now();
    }
}

/// Every series of counted errors.
fn counted(broker: &Broker) -> BTreeMap<String, f64> {
    let (_, page) = broker.http("/metrics").unwrap();
    let lines =
        page.lines().filter_map(|line| line.strip_prefix("kafka_network_requestmetrics_errors_total"));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(labels, value)| (labels.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn every_error_answered_is_counted_once_under_its_api_and_code() {
    let broker = Broker::start(&["auto.create.topics.enable=false"]);
    let mut client = RawClient::connect(&broker.address());
    await_coordinator(&mut client);
    let rows = rows();
    for Row { key, frame, code } in &rows {
        let before = counted(&broker);
        client.send_bytes(frame);
        assert!(matches!(client.receive(), Answer::Frame(_)), "{}", key.name());
        let mut expected = before;
        let series = format!("{{error=\"{code}\",request=\"{}\"}}", key.name());
        *expected.entry(series).or_insert(0.0) += 1.0;
        assert_eq!(counted(&broker), expected, "{} answered with {code}", key.name());
    }
    for served in SERVED.iter().filter(|served| !WITHOUT_ERRORS.contains(&served.key)) {
        assert!(rows.iter().any(|row| row.key == served.key), "no error of {} was provoked", served.name);
    }
    println!("FIGURE APIs whose errors are counted: {}", rows.len());
}
