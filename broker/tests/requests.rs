//! What a client is told about its requests: unknown APIs and versions, order of answers, pipelining.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use logspine_protocol::messages::metadata::{MetadataRequest, MetadataResponse};
use support::Broker;
use support::raw::{Answer, RawClient, request_bytes};

fn header(key: i16, version: i16, correlation_id: i32) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    // Enough for the empty tagged fields of a newer header.
    frame.push(0);
    frame
}

#[test]
fn a_version_of_api_versions_that_nobody_knows_is_answered_in_v0_with_our_range() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    client.send_frame(&[header(18, 99, 5), vec![9, 9, 9]].concat());
    let answer: ApiVersionsResponse<'_> = client.answer(ApiKey::ApiVersions, 0, 5);
    assert_eq!(answer.error_code, ErrorCode::UnsupportedVersion.code());
    assert_eq!(answer.api_keys.len(), 1);
    assert_eq!((answer.api_keys[0].api_key, answer.api_keys[0].max_version), (18, 4));
    let again: ApiVersionsResponse<'_> = client.call(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0);
    assert_eq!(again.error_code, 0, "the connection lives on");
    assert!(again.api_keys.len() > 20);
}

#[test]
fn another_unknown_version_or_api_closes_its_connection_and_no_other() {
    let broker = Broker::start(&[]);
    let mut bystander = RawClient::connect(&broker.address());
    // Metadata v99, Produce v2 (advertised for old clients, never served), and a key that does not exist.
    for (key, version) in [(3, 99), (0, 2), (999, 0), (-1, 0), (52, 0)] {
        let mut client = RawClient::connect(&broker.address());
        client.send_frame(&header(key, version, 1));
        assert_eq!(client.receive(), Answer::Closed, "key {key} version {version}");
    }
    let answer: ApiVersionsResponse<'_> =
        bystander.call(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0);
    assert_eq!(answer.error_code, 0);
    let log = broker.log();
    assert!(log.contains("Metadata v99 is not served"), "{log}");
    assert!(log.contains("API key 999 is not known"), "{log}");
}

#[test]
fn every_version_of_metadata_is_answered() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    for version in 0..=13 {
        let all =
            MetadataRequest { topics: if version == 0 { Some(vec![]) } else { None }, ..Default::default() };
        let answer: MetadataResponse<'_> = client.call(&all, ApiKey::Metadata, version);
        assert_eq!(answer.brokers.len(), 1, "version {version}");
        assert_eq!(answer.brokers[0].port, i32::from(broker.port));
    }
}

#[test]
fn a_thousand_pipelined_requests_are_answered_in_order() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    let mut bytes = Vec::new();
    for correlation_id in 0..1000 {
        bytes.extend(request_bytes(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0, correlation_id));
    }
    let mut sender = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &bytes).unwrap());
    for correlation_id in 0..1000 {
        let _: ApiVersionsResponse<'_> = client.answer(ApiKey::ApiVersions, 0, correlation_id);
    }
    sending.join().unwrap();
}

#[test]
fn a_body_that_cannot_be_read_closes_the_connection_with_a_sentence() {
    let broker = Broker::start(&[]);
    let mut client = RawClient::connect(&broker.address());
    // Metadata v0: an array of 2^31-1 topics in a body of four bytes.
    client.send_frame(&[&header(3, 0, 1)[..10], &i32::MAX.to_be_bytes()].concat());
    assert_eq!(client.receive(), Answer::Closed);
    assert!(broker.log().contains("Metadata v0 cannot be read"), "{}", broker.log());
}
