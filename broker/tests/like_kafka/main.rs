//! Promise: what a client asks is answered as Apache Kafka 4.3.1 answers it, the strange and the wrong included.
//!
//! One Kafka is started from its jars and one broker of ours; every part puts the same raw requests to both and
//! compares the answers. One test, because a Kafka costs seconds of CPU to start.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod api_versions;
mod duplicates;
#[path = "../foreign/mod.rs"]
mod foreign;
mod hostile;
mod kafka;
#[path = "../support/mod.rs"]
mod support;

use std::path::PathBuf;

use kafka::Kafka;
use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use support::Broker;
use support::calls::create_topic;
use support::raw::RawClient;

#[test]
fn the_same_question_gets_the_same_answer_as_from_apache_kafka() {
    let test = "the_same_question_gets_the_same_answer_as_from_apache_kafka";
    let Some(libs) = std::env::var_os("LOGSPINE_KAFKA_LIBS").map(PathBuf::from) else {
        return support::skip(test, "LOGSPINE_KAFKA_LIBS names no folder with Kafka's jars");
    };
    if !support::needs(test, "java") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let kafka = Kafka::start(&libs, dir.path());
    let broker = Broker::start(&[
        "offsets.topic.num.partitions=1",
        "log.message.validation=record",
        "group.initial.rebalance.delay.ms=0",
    ]);
    let (theirs, ours) = (kafka.address(), broker.address());
    api_versions::every_p0_api_has_kafkas_range_and_every_other_difference_a_reason(&theirs, &ours);
    hostile::hostile_and_odd_batches_are_judged_alike(&theirs, &ours);
    hostile::whatever_was_admitted_is_read_by_apaches_consumer(&broker);
    duplicates::what_is_named_twice_or_asked_too_late_is_answered_alike(&theirs, &ours);
}

/// One question and the answer to it, written so that two brokers can be compared.
pub type Told = (String, String);

/// Fails with every difference at once.
pub fn compare(theirs: &[Told], ours: &[Told]) {
    let different = |((question, kafka), (_, own)): (&Told, &Told)| {
        (kafka != own).then(|| format!("{question}\n  Kafka: {kafka}\n  we:    {own}"))
    };
    let differences: Vec<String> = theirs.iter().zip(ours).filter_map(different).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(theirs.len(), ours.len());
}

/// Creates a topic and waits until all of its partitions are led: Kafka answers before.
pub fn led_topic(client: &mut RawClient, name: &str, partitions: i32, configs: &[(&str, &str)]) {
    create_topic(client, name, partitions, configs);
    let asked = (0..partitions).map(|partition_index| ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp: -1,
    });
    let topic = ListOffsetsTopic { name: name.into(), partitions: asked.collect() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    loop {
        let answer: ListOffsetsResponse<'_> = client.call(&request, ApiKey::ListOffsets, 7);
        if answer.topics.iter().flat_map(|topic| &topic.partitions).all(|one| one.error_code == 0) {
            return;
        }
        std::thread::yield_now();
    }
}
