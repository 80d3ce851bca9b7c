//! What Prometheus sees: offsets, sizes, lag, traffic and process figures, in a format that a parser accepts.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, produce};
use support::raw::RawClient;

/// The value of a series, written as it stands in the page.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    let line = line.unwrap_or_else(|| panic!("no series {series}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn commit(client: &mut RawClient, group: &str, offset: i64) {
    // Creates the offsets topic; until it is there the coordinator is not.
    loop {
        let request = FindCoordinatorRequest { key: group.into(), ..FindCoordinatorRequest::default() };
        let found: FindCoordinatorResponse<'_> = client.call(&request, ApiKey::FindCoordinator, 2);
        match ErrorCode::from_code(found.error_code).unwrap() {
            ErrorCode::None => break,
            ErrorCode::CoordinatorNotAvailable => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
    loop {
        let partition = OffsetCommitRequestPartition {
            partition_index: 0,
            committed_offset: offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequest {
            group_id: group.into(),
            generation_id_or_member_epoch: -1,
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let response: OffsetCommitResponse<'_> = client.call(&request, ApiKey::OffsetCommit, 8);
        match ErrorCode::from_code(response.topics[0].partitions[0].error_code).unwrap() {
            ErrorCode::None => return,
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::NotCoordinator => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn offsets_sizes_lag_and_traffic_are_what_a_client_made_them() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 2, &[]);
    let bytes = batch(1, &["a", "b", "c"]);
    for _ in 0..4 {
        produce(&mut client, "t", 0, &bytes);
    }
    fetch(&mut client, &fetch_request("t", 0, 0, i32::MAX));
    produce(&mut client, "nowhere", 0, &bytes);
    // A group whose name needs every escape there is, without members.
    let group = "g\"\\\n";
    commit(&mut client, group, 5);
    let (code, page) = broker.http("/metrics").unwrap();
    assert_eq!(code, 200);
    let partition = "{topic=\"t\",partition=\"0\"}";
    assert_eq!(value(&page, &format!("kafka_topic_partition_current_offset{partition}")), 12.0);
    assert_eq!(value(&page, &format!("kafka_topic_partition_oldest_offset{partition}")), 0.0);
    assert_eq!(value(&page, &format!("kafka_log_log_size{partition}")), 4.0 * bytes.len() as f64);
    let escaped = "g\\\"\\\\\\n";
    let series = format!("{{consumergroup=\"{escaped}\",topic=\"t\",partition=\"0\"}}");
    assert_eq!(value(&page, &format!("kafka_consumergroup_current_offset{series}")), 5.0);
    assert_eq!(value(&page, &format!("kafka_consumergroup_lag{series}")), 7.0);
    let sum = format!("kafka_consumergroup_lag_sum{{consumergroup=\"{escaped}\",topic=\"t\"}}");
    assert_eq!(value(&page, &sum), 7.0);
    let topic = "{topic=\"t\"}";
    assert_eq!(value(&page, &format!("kafka_topic_partitions{topic}")), 2.0);
    let domain = "kafka_server_brokertopicmetrics_";
    assert_eq!(value(&page, &format!("{domain}messagesin_total{topic}")), 12.0);
    assert_eq!(value(&page, &format!("{domain}bytesin_total{topic}")), 4.0 * bytes.len() as f64);
    assert_eq!(value(&page, &format!("{domain}bytesout_total{topic}")), 4.0 * bytes.len() as f64);
    assert_eq!(value(&page, &format!("{domain}failedproducerequests_total")), 1.0);
    let errors = "kafka_network_requestmetrics_errors_total";
    let unknown = "{error=\"UNKNOWN_TOPIC_OR_PARTITION\",request=\"Produce\"}";
    assert_eq!(value(&page, &format!("{errors}{unknown}")), 1.0);
    assert_eq!(value(&page, "kafka_network_requestmetrics_requests_total{request=\"Produce\"}"), 5.0);
    assert_eq!(value(&page, "kafka_brokers"), 1.0);
    assert!(value(&page, "process_resident_memory_bytes") > 1e6);
}

#[test]
fn every_family_is_announced_once_and_every_sample_is_a_number() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, &[]);
    let (_, page) = broker.http("/metrics").unwrap();
    let mut families: Vec<&str> = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let family = rest.split(' ').next().unwrap();
            assert!(!families.contains(&family), "{family} twice");
            families.push(family);
        } else if !line.starts_with('#') {
            let number = line.rsplit(' ').next().unwrap();
            assert!(number.parse::<f64>().is_ok(), "{line}");
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            assert!(families.contains(&name) || base.is_some_and(|base| families.contains(&base)), "{line}");
        }
    }
    assert!(families.len() > 40, "{}", families.len());
}

#[test]
fn health_and_status_answer_while_the_broker_serves() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 3, &[]);
    assert_eq!(broker.http("/livez").unwrap().0, 200);
    assert_eq!(broker.http("/readyz").unwrap(), (200, "running\n".to_owned()));
    let (_, status) = broker.http("/status").unwrap();
    for part in
        ["\"state\":\"running\"", "\"ready\":true", "\"leaders\":3", "\"replicas\":3", "\"offline\":0"]
    {
        assert!(status.contains(part), "{part} in {status}");
    }
}
