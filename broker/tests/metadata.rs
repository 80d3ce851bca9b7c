//! Metadata and the admin APIs as a client sees them: every version, creation on demand, settings, restarts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
use logspine_protocol::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use logspine_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use logspine_protocol::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use logspine_protocol::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use logspine_protocol::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
};
use logspine_protocol::messages::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
use logspine_protocol::messages::describe_topic_partitions::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
};
use logspine_protocol::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};
use logspine_protocol::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use logspine_protocol::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use logspine_protocol::types::TopicId;
use support::Broker;
use support::calls::{batch, create_topic, produce};
use support::raw::RawClient;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn ask<'a>(client: &mut RawClient, names: &[&'a str], may_create: bool) -> MetadataResponse<'static> {
    let topic = |name: &&'a str| MetadataRequestTopic { name: Some((*name).into()), topic_id: TopicId::ZERO };
    let request = MetadataRequest {
        topics: Some(names.iter().map(topic).collect()),
        allow_auto_topic_creation: may_create,
        ..MetadataRequest::default()
    };
    client.call(&request, ApiKey::Metadata, 12)
}

fn code_of(response: &MetadataResponse<'_>) -> ErrorCode {
    ErrorCode::from_code(response.topics[0].error_code).unwrap()
}

/// Sets or deletes one setting; the code and the sentence of the answer.
fn alter(
    client: &mut RawClient,
    (resource_type, name): (i8, &str),
    (key, value): (&str, Option<&str>),
) -> (ErrorCode, String) {
    let config_operation = i8::from(value.is_none());
    let config = AlterableConfig { name: key.into(), config_operation, value: value.map(Into::into) };
    let resource = AlterConfigsResource { resource_type, resource_name: name.into(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let response: IncrementalAlterConfigsResponse<'_> =
        client.call(&request, ApiKey::IncrementalAlterConfigs, 1);
    let told = &response.responses[0];
    (
        ErrorCode::from_code(told.error_code).unwrap(),
        told.error_message.clone().unwrap_or_default().into_owned(),
    )
}

/// Value and source of one setting.
fn setting(client: &mut RawClient, resource_type: i8, name: &str, key: &str) -> (Option<String>, i8) {
    let resource = DescribeConfigsResource {
        resource_type,
        resource_name: name.into(),
        configuration_keys: Some(vec![key.into()]),
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let response: DescribeConfigsResponse<'_> = client.call(&request, ApiKey::DescribeConfigs, 4);
    let config = &response.results[0].configs[0];
    (config.value.as_deref().map(str::to_owned), config.config_source)
}

/// Creates `t2` to `t7`, each by another version.
fn create_topics_in_every_version(client: &mut RawClient) {
    for version in 2..=7 {
        let topic = |name: String| CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let topics = vec![topic(format!("t{version}")), topic("bad name".to_owned())];
        let request = CreateTopicsRequest { topics, timeout_ms: 10_000, validate_only: false };
        let told: CreateTopicsResponse<'_> = client.call(&request, ApiKey::CreateTopics, version);
        let codes: Vec<_> = told.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, ErrorCode::InvalidTopicException.code()], "v{version}");
        assert_eq!(!told.topics[0].topic_id.is_zero(), version >= 7);
    }
}

/// Decoding checks that nothing is missing and nothing is left over.
#[test]
fn every_version_of_the_admin_apis_is_answered() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topics_in_every_version(&mut client);
    for version in 0..=3 {
        let topic =
            CreatePartitionsTopic { name: "t2".into(), count: 2 + i32::from(version), assignments: None };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
        let told: CreatePartitionsResponse<'_> = client.call(&request, ApiKey::CreatePartitions, version);
        assert_eq!(told.results[0].error_code, 0, "v{version}");
    }
    for version in 1..=4 {
        let resource = |resource_type, name: &'static str| DescribeConfigsResource {
            resource_type,
            resource_name: name.into(),
            configuration_keys: None,
        };
        let request = DescribeConfigsRequest {
            resources: vec![resource(TOPIC, "t2"), resource(BROKER, "0"), resource(TOPIC, "nowhere")],
            include_synonyms: true,
            include_documentation: version >= 3,
        };
        let told: DescribeConfigsResponse<'_> = client.call(&request, ApiKey::DescribeConfigs, version);
        let counts: Vec<_> = told.results.iter().map(|result| result.configs.len()).collect();
        assert!(counts[0] > 30 && counts[1] > 100 && counts[2] == 0, "v{version}: {counts:?}");
    }
    for version in 0..=2 {
        let told: AlterConfigsResponse<'_> =
            client.call(&AlterConfigsRequest::default(), ApiKey::AlterConfigs, version);
        assert!(told.responses.is_empty());
        let request = DescribeClusterRequest::default();
        let told: DescribeClusterResponse<'_> = client.call(&request, ApiKey::DescribeCluster, version);
        assert_eq!((told.error_code, told.brokers.len()), (0, 1));
    }
    for version in 0..=5 {
        let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
        let told: InitProducerIdResponse = client.call(&request, ApiKey::InitProducerId, version);
        assert_eq!((told.error_code, told.producer_id, told.producer_epoch), (0, i64::from(version), 0));
    }
    for version in 1..=5 {
        let request = DescribeLogDirsRequest { topics: None };
        let told: DescribeLogDirsResponse<'_> = client.call(&request, ApiKey::DescribeLogDirs, version);
        assert_eq!(told.results[0].topics.len(), 6, "v{version}");
    }
    let request = DescribeTopicPartitionsRequest { response_partition_limit: 3, ..Default::default() };
    let told: DescribeTopicPartitionsResponse<'_> = client.call(&request, ApiKey::DescribeTopicPartitions, 0);
    assert_eq!(told.next_cursor.unwrap().partition_index, 3, "t2 has five partitions");
    let request = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    let told: ListPartitionReassignmentsResponse<'_> =
        client.call(&request, ApiKey::ListPartitionReassignments, 0);
    assert!(told.topics.is_empty());
    for version in 1..=6 {
        let name = format!("t{}", version + 1);
        let topics = vec![DeleteTopicState { name: Some(name.clone().into()), topic_id: TopicId::ZERO }];
        let request = match version {
            6 => DeleteTopicsRequest { topics, timeout_ms: 30_000, ..DeleteTopicsRequest::default() },
            _ => DeleteTopicsRequest {
                topic_names: vec![name.into()],
                timeout_ms: 30_000,
                ..DeleteTopicsRequest::default()
            },
        };
        let told: DeleteTopicsResponse<'_> = client.call(&request, ApiKey::DeleteTopics, version);
        assert_eq!(told.responses[0].error_code, 0, "v{version}");
    }
}

#[test]
fn asking_for_a_topic_creates_it_where_client_and_broker_allow_it() {
    let broker = Broker::start(&["num.partitions=3"]);
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(code_of(&ask(&mut client, &["orders"], false)), ErrorCode::UnknownTopicOrPartition);
    let told = ask(&mut client, &["orders"], true);
    assert_eq!(code_of(&told), ErrorCode::None);
    assert_eq!(told.topics[0].partitions.len(), 3, "the answer already shows the topic");
    assert_eq!(produce(&mut client, "orders", 2, &batch(1, &["v"])).error_code, 0);
    assert_eq!(code_of(&ask(&mut client, &["a b"], true)), ErrorCode::InvalidTopicException);
    let broker = Broker::start(&["auto.create.topics.enable=false"]);
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(code_of(&ask(&mut client, &["orders"], true)), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn what_was_answered_survives_a_kill_and_begins_a_new_leader_epoch() {
    let mut broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    let id = create_topic(&mut client, "orders", 2, &[("retention.ms", "777")]);
    assert_eq!(ask(&mut client, &["orders"], false).topics[0].partitions[1].leader_epoch, 0);
    broker.kill();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    let told = ask(&mut client, &["orders"], false);
    assert_eq!(told.topics[0].topic_id, id);
    assert_eq!(told.topics[0].partitions.len(), 2);
    assert_eq!(told.topics[0].partitions[1].leader_epoch, 1);
    assert_eq!(setting(&mut client, TOPIC, "orders", "retention.ms"), (Some("777".to_owned()), 1));
}

#[test]
fn a_changed_setting_counts_for_the_next_produce() {
    let broker = Broker::start(&["message.max.bytes=2000"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "orders", 1, &[]);
    let long = "x".repeat(1_000);
    let sent = |client: &mut RawClient| produce(client, "orders", 0, &batch(1, &[&long])).error_code;
    assert_eq!(sent(&mut client), 0);
    let topic = (TOPIC, "orders");
    assert_eq!(alter(&mut client, topic, ("max.message.bytes", Some("500"))).0, ErrorCode::None);
    assert_eq!(sent(&mut client), ErrorCode::MessageTooLarge.code());
    assert_eq!(alter(&mut client, topic, ("max.message.bytes", None)).0, ErrorCode::None);
    assert_eq!(sent(&mut client), 0);
    assert_eq!(setting(&mut client, TOPIC, "orders", "max.message.bytes"), (Some("2000".to_owned()), 4));
    let defaults = (BROKER, "");
    assert_eq!(alter(&mut client, defaults, ("message.max.bytes", Some("500"))).0, ErrorCode::None);
    assert_eq!(sent(&mut client), ErrorCode::MessageTooLarge.code(), "the default of all topics");
}

#[test]
fn a_setting_that_is_not_honoured_is_refused_with_words() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "orders", 1, &[]);
    let topic = (TOPIC, "orders");
    let (code, words) = alter(&mut client, topic, ("remote.storage.enable", Some("true")));
    assert_eq!(code, ErrorCode::InvalidConfig);
    assert!(words.contains("there is no remote storage"), "{words}");
    let (code, words) = alter(&mut client, topic, ("retention.ms", Some("soon")));
    assert_eq!(code, ErrorCode::InvalidConfig);
    assert_eq!(words, "Invalid value soon for configuration retention.ms: Not a number of type LONG");
    assert_eq!(alter(&mut client, topic, ("cleanup.policy", Some("compact"))).0, ErrorCode::None);
}

#[test]
fn each_listener_tells_its_own_address() {
    let (inside, outside) = (support::free_port(), support::free_port());
    let listeners = format!("listeners=IN://127.0.0.1:{inside},OUT://127.0.0.1:{outside}");
    let advertised = format!("advertised.listeners=IN://broker-0.inside:{inside},OUT://127.0.0.1:30094");
    let broker = Broker::start(&[
        &listeners,
        &advertised,
        "listener.security.protocol.map=IN:PLAINTEXT,OUT:PLAINTEXT",
        "inter.broker.listener.name=IN",
    ]);
    let told = |port: u16| {
        let mut client = RawClient::connect(&format!("127.0.0.1:{port}"));
        let response = ask(&mut client, &[], false);
        (response.brokers[0].host.to_string(), response.brokers[0].port)
    };
    assert_eq!(told(inside), ("broker-0.inside".to_owned(), i32::from(inside)));
    assert_eq!(told(outside), ("127.0.0.1".to_owned(), 30094));
    drop(broker);
}

#[test]
fn deletion_can_be_forbidden() {
    let broker = Broker::start(&["delete.topic.enable=false"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "orders", 1, &[]);
    for (version, code) in [(1, ErrorCode::InvalidRequest), (5, ErrorCode::TopicDeletionDisabled)] {
        let topic_names = vec!["orders".into()];
        let request = DeleteTopicsRequest { topic_names, ..DeleteTopicsRequest::default() };
        let told: DeleteTopicsResponse<'_> = client.call(&request, ApiKey::DeleteTopics, version);
        assert_eq!(told.responses[0].error_code, code.code());
    }
    assert_eq!(code_of(&ask(&mut client, &["orders"], false)), ErrorCode::None);
}

#[test]
fn a_transactional_producer_is_refused_and_not_half_served() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    let transactional_id = Some("payments".into());
    let request = InitProducerIdRequest { transactional_id, ..InitProducerIdRequest::default() };
    let told: InitProducerIdResponse = client.call(&request, ApiKey::InitProducerId, 5);
    assert_eq!((told.error_code, told.producer_id), (ErrorCode::UnsupportedVersion.code(), -1));
}
