//! ListOffsets, DeleteRecords and OffsetForLeaderEpoch: where a log begins, ends, and what lies at a time.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use logspine_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use logspine_protocol::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, offsets, produce};
use support::raw::RawClient;

/// Ten records at 1000, 1010, ... 1090 ms, the youngest of them (5000 ms) at offset 4.
fn with_times() -> (Broker, RawClient) {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, &[]);
    for number in 0..10 {
        let timestamp = if number == 4 { 5_000 } else { 1_000 + number * 10 };
        produce(&mut client, "t", 0, &batch(timestamp, &["v"]));
    }
    (broker, client)
}

/// Error, timestamp, offset, leader epoch.
fn list(client: &mut RawClient, timestamp: i64, version: i16) -> (i16, i64, i64, i32) {
    let partition = ListOffsetsPartition { timestamp, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let response: ListOffsetsResponse<'_> = client.call(&request, ApiKey::ListOffsets, version);
    let found = &response.topics[0].partitions[0];
    (found.error_code, found.timestamp, found.offset, found.leader_epoch)
}

fn delete(client: &mut RawClient, offset: i64) -> (i64, ErrorCode) {
    let partition = DeleteRecordsPartition { partition_index: 0, offset };
    let topic = DeleteRecordsTopic { name: "t".into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 };
    let response: DeleteRecordsResponse<'_> = client.call(&request, ApiKey::DeleteRecords, 2);
    let result = &response.topics[0].partitions[0];
    (result.low_watermark, ErrorCode::from_code(result.error_code).unwrap())
}

#[test]
fn earliest_latest_youngest_and_any_time_are_found_in_every_version() {
    let (_broker, mut client) = with_times();
    for version in 1..=11 {
        let epoch = if version >= 4 { 0 } else { -1 };
        assert_eq!(list(&mut client, -2, version), (0, -1, 0, epoch), "earliest, version {version}");
        assert_eq!(list(&mut client, -1, version), (0, -1, 10, epoch), "latest, version {version}");
        assert_eq!(list(&mut client, 1_015, version), (0, 1_020, 2, epoch), "by time, version {version}");
        assert_eq!(list(&mut client, 1_040, version), (0, 5_000, 4, epoch), "the first not older");
        assert_eq!(list(&mut client, 9_999, version), (0, -1, -1, -1), "nothing that young");
    }
    assert_eq!(list(&mut client, -3, 7), (0, 5_000, 4, 0), "the youngest");
    assert_eq!(list(&mut client, -3, 6).0, ErrorCode::UnsupportedVersion.code());
}

#[test]
fn deleted_records_are_gone_for_readers_and_stay_gone_after_a_kill() {
    let (mut broker, mut client) = with_times();
    assert_eq!(delete(&mut client, 6), (6, ErrorCode::None));
    assert_eq!(list(&mut client, -2, 8).2, 6);
    let below = fetch(&mut client, &fetch_request("t", 0, 5, 1_000));
    assert_eq!(below.responses[0].partitions[0].error_code, ErrorCode::OffsetOutOfRange.code());
    assert_eq!(offsets(&fetch(&mut client, &fetch_request("t", 0, 6, 1))), [(6, 6)]);
    assert_eq!(delete(&mut client, 11), (-1, ErrorCode::OffsetOutOfRange), "beyond the watermark");
    broker.kill();
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    assert_eq!(list(&mut client, -2, 8).2, 6, "the start is where it was");
    assert_eq!(delete(&mut client, -1), (10, ErrorCode::None), "-1 deletes up to the watermark");
    assert_eq!(list(&mut client, -1, 8).2, 10);
}

#[test]
fn an_epoch_ends_where_the_log_ends_and_an_unknown_one_nowhere() {
    let (_broker, mut client) = with_times();
    let mut ask = |current_leader_epoch, leader_epoch| {
        let partition = OffsetForLeaderPartition { partition: 0, current_leader_epoch, leader_epoch };
        let topic = OffsetForLeaderTopic { topic: "t".into(), partitions: vec![partition] };
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: vec![topic] };
        let response: OffsetForLeaderEpochResponse<'_> =
            client.call(&request, ApiKey::OffsetForLeaderEpoch, 4);
        let found = &response.topics[0].partitions[0];
        (ErrorCode::from_code(found.error_code).unwrap(), found.leader_epoch, found.end_offset)
    };
    assert_eq!(ask(-1, 0), (ErrorCode::None, 0, 10));
    assert_eq!(ask(-1, 9), (ErrorCode::None, -1, -1));
    assert_eq!(ask(3, 0).0, ErrorCode::UnknownLeaderEpoch);
}
