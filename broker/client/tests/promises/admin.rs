//! Promises about administration: what is asked for holds, what is refused says why.

use std::collections::BTreeMap;

use logspine_client::{
    Client, Codec, ConfigChange, ConfigOp, ConfigSource, OffsetSpec, ProducerConfig, ProducerRecord,
    Resource, StartAt, TopicPartition, TopicRef,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::Offset;

use super::*;

/// A topic is made with what was asked for, described so, and gone when deleted.
pub async fn a_topic_lives_from_create_to_delete(client: &Client) {
    let admin = client.admin();
    let configs = BTreeMap::from([("retention.ms".to_owned(), "86400000".to_owned())]);
    admin.create_topic("life", 3, 1, &configs, true).await.expect("possible");
    assert!(admin.describe_topics(&["life"]).await.expect_err("not made").is_unknown_topic());

    let id = admin.create_topic("life", 3, 1, &configs, false).await.expect("made");
    becomes(async || is_there(client, "life").await, true).await;
    let topics = admin.describe_topics(&["life"]).await.expect("there");
    assert_eq!((topics[0].topic_id, topics[0].partitions.len(), topics[0].internal), (id, 3, false));
    for partition in &topics[0].partitions {
        assert!(partition.leader.is_some());
        assert_eq!((partition.replicas.len(), &partition.isr), (1, &partition.replicas));
    }
    let listed = admin.list_topics().await.expect("all");
    assert!(listed.iter().any(|topic| topic.name == "life" && topic.topic_id == id));

    let again = admin.create_topic("life", 3, 1, &configs, false).await.expect_err("exists");
    assert_eq!(again.code(), Some(ErrorCode::TopicAlreadyExists));
    admin.delete_topic(TopicRef::Name("life")).await.expect("deleted");
    becomes(async || is_there(client, "life").await, false).await;
    assert!(admin.describe_topics(&["life"]).await.expect_err("gone").is_unknown_topic());
    assert!(admin.delete_topic(TopicRef::Name("life")).await.expect_err("gone").is_unknown_topic());
}

/// A topic of the same name is another topic: the old one's id does not reach it.
pub async fn an_id_belongs_to_one_life_of_a_name(client: &Client) {
    let admin = client.admin();
    let first = admin.create_topic("reborn", 1, 1, &BTreeMap::new(), false).await.expect("made");
    admin.delete_topic(TopicRef::Id(first)).await.expect("deleted by its id");
    let second = admin.create_topic("reborn", 1, 1, &BTreeMap::new(), false).await.expect("made again");
    assert_ne!(first, second);
    let refused = admin.delete_topic(TopicRef::Id(first)).await.expect_err("that one is gone");
    assert_eq!(refused.code(), Some(ErrorCode::UnknownTopicId));
    let id = async || admin.describe_topics(&["reborn"]).await.ok().map(|topics| topics[0].topic_id);
    becomes(id, Some(second)).await;
}

async fn is_there(client: &Client, topic: &str) -> bool {
    match client.admin().describe_topics(&[topic]).await {
        Ok(_) => true,
        Err(error) if error.is_unknown_topic() => false,
        Err(error) => panic!("{topic}: {error}"),
    }
}

/// Partitions are added, never taken away; a running producer and a new one find them.
pub async fn partitions_are_added(client: &Client) {
    create_topic(client, "wider", 1).await;
    let admin = client.admin();
    admin.create_partitions("wider", 4).await.expect("added");
    let partitions = async || admin.describe_topics(&["wider"]).await.expect("there")[0].partitions.len();
    becomes(partitions, 4).await;
    let refused = admin.create_partitions("wider", 2).await.expect_err("fewer");
    assert_eq!(refused.code(), Some(ErrorCode::InvalidPartitions));
    let producer = client.producer(ProducerConfig::default()).expect("valid");
    let record = ProducerRecord { partition: Some(3.into()), ..ProducerRecord::new("wider", "x") };
    assert_eq!(write(&producer, vec![record]).await, [0]);
}

/// Configs are set, unset and listed with their source; a wrong value is refused with words.
pub async fn configs_are_set_unset_and_told_apart(client: &Client) {
    create_topic(client, "configs", 1).await;
    let (admin, topic) = (client.admin(), Resource::Topic("configs".into()));
    let get = async |name: &str| {
        let all = client.admin().describe_configs(&topic).await.expect("configs");
        all.into_iter().find(|config| config.name == name).expect("every config is listed")
    };
    let before = get("retention.ms").await;
    assert_eq!((before.value.as_deref(), before.is_default), (Some("604800000"), true));

    let set = [ConfigOp::set("retention.ms", "3600000")];
    admin.incremental_alter_configs(&topic, &set, true).await.expect("would be accepted");
    assert_eq!(get("retention.ms").await, before);
    admin.incremental_alter_configs(&topic, &set, false).await.expect("accepted");
    let value_and_source = async |name: &str| {
        let config = get(name).await;
        (config.value, config.source)
    };
    let hour = (Some("3600000".to_owned()), ConfigSource::Topic);
    becomes(async || value_and_source("retention.ms").await, hour).await;

    let append = ConfigOp { name: "cleanup.policy".into(), change: ConfigChange::Append("compact".into()) };
    admin.incremental_alter_configs(&topic, &[append], false).await.expect("accepted");
    let both = (Some("delete,compact".to_owned()), ConfigSource::Topic);
    becomes(async || value_and_source("cleanup.policy").await, both).await;

    let unset = [ConfigOp::delete("retention.ms"), ConfigOp::delete("cleanup.policy")];
    admin.incremental_alter_configs(&topic, &unset, false).await.expect("accepted");
    becomes(async || get("retention.ms").await, before).await;

    let wrong = [ConfigOp::set("retention.ms", "soon")];
    let refused = admin.incremental_alter_configs(&topic, &wrong, false).await.expect_err("no number");
    assert_eq!(refused.code(), Some(ErrorCode::InvalidConfig));
    assert!(refused.to_string().contains("retention.ms"), "{refused}");
}

/// The cluster tells its id, its controller and its brokers, and their configs.
pub async fn the_cluster_describes_itself(client: &Client) {
    let cluster = client.admin().describe_cluster().await.expect("described");
    assert_eq!(cluster.cluster_id.len(), 22);
    assert_eq!(cluster.brokers.len(), 1);
    let broker = &cluster.brokers[0];
    assert_eq!((cluster.controller, broker.fenced), (Some(broker.endpoint.id), false));
    let configs =
        client.admin().describe_configs(&Resource::Broker(broker.endpoint.id)).await.expect("configs");
    let node_id = configs.iter().find(|config| config.name == "node.id").expect("node.id");
    assert_eq!(node_id.value, Some(broker.endpoint.id.to_string()));
    assert!(node_id.read_only);
}

/// Offsets are told by begin, end, time and greatest time.
pub async fn offsets_are_told_by_place_and_time(client: &Client) {
    create_topic(client, "offsets", 2).await;
    let producer = client.producer(ProducerConfig::default()).expect("valid");
    let record = |n: i64| ProducerRecord {
        timestamp_ms: Some(1_700_000_000_000 + n * 10),
        partition: Some(0.into()),
        ..ProducerRecord::new("offsets", n.to_string())
    };
    write(&producer, (0..50).map(record).collect()).await;
    let ask = async |spec| {
        let partitions = [TopicPartition::new("offsets", 0), TopicPartition::new("offsets", 1)];
        let told = client.admin().offsets_at(partitions, spec).await.expect("told");
        told.into_values().map(|listed| (listed.offset.0, listed.timestamp_ms)).collect::<Vec<_>>()
    };
    assert_eq!(ask(OffsetSpec::Earliest).await, [(0, -1), (0, -1)]);
    assert_eq!(ask(OffsetSpec::Latest).await, [(50, -1), (0, -1)]);
    assert_eq!(ask(OffsetSpec::Timestamp(1_700_000_000_201)).await, [(21, 1_700_000_000_210), (-1, -1)]);
    assert_eq!(ask(OffsetSpec::MaxTimestamp).await, [(49, 1_700_000_000_490), (-1, -1)]);
}

/// Records below an offset are deleted for everybody; more than there is cannot be deleted.
pub async fn records_are_deleted_from_the_front(client: &Client) {
    create_topic(client, "front", 1).await;
    write_numbered(client, "front", 0..100, Codec::Lz4).await;
    let partition = TopicPartition::new("front", 0);
    let delete = async |before| {
        let before = BTreeMap::from([(partition.clone(), Offset(before))]);
        client.admin().delete_records(&before).await.map(|starts| starts[&partition].0)
    };
    assert_eq!(delete(40).await.expect("deleted"), 40);
    let values: Vec<_> = read(client, "front", StartAt::Earliest).await.iter().map(value).collect();
    assert_eq!((values.len(), values[0].as_str()), (60, "40"));
    assert_eq!(delete(101).await.expect_err("not there").code(), Some(ErrorCode::OffsetOutOfRange));
    assert_eq!(delete(-1).await.expect("everything"), 100);
    assert!(read(client, "front", StartAt::Earliest).await.is_empty());
}
