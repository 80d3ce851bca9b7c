//! What a connection may cost and how long it may do nothing: limits per address, idleness, half requests, and the
//! memory of an idle connection.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use support::Broker;
use support::raw::{Answer, RawClient};

const IDLE_CONNECTIONS: u64 = 2_000;

/// The aim for one idle connection, in user memory.
const IDLE_BYTES_MAX: u64 = 16 * 1024;

fn serves(client: &mut RawClient) -> bool {
    client.send(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0, 7);
    matches!(client.receive(), Answer::Frame(_))
}

#[test]
fn the_newest_connection_of_an_address_beyond_its_limit_is_closed_and_a_free_place_is_given_again() {
    let broker = Broker::start(&["max.connections.per.ip=2"]);
    let mut first = RawClient::connect(&broker.address());
    let mut second = RawClient::connect(&broker.address());
    assert!(serves(&mut first) && serves(&mut second));
    let mut third = RawClient::connect(&broker.address());
    assert_eq!(third.receive(), Answer::Closed);
    assert!(serves(&mut first) && serves(&mut second), "the others are not concerned");
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut again = RawClient::connect(&broker.address());
        again.patience(Duration::from_millis(500));
        // The place is free once the broker has seen the end of the first.
        let bytes = support::raw::request_bytes(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0, 7);
        let sent = std::io::Write::write_all(&mut again.stream, &bytes);
        if sent.is_ok() && matches!(again.receive(), Answer::Frame(_)) {
            break;
        }
        assert!(Instant::now() < deadline, "the free place is not given again");
    }
}

#[test]
fn a_connection_that_is_silent_for_longer_than_allowed_is_closed() {
    let broker = Broker::start(&["connections.max.idle.ms=300"]);
    let mut client = RawClient::connect(&broker.address());
    assert!(serves(&mut client));
    let since = Instant::now();
    assert_eq!(client.receive(), Answer::Closed);
    assert!(since.elapsed() >= Duration::from_millis(250), "closed after {:?}", since.elapsed());
    assert!(broker.log().contains("connections.max.idle.ms"), "{}", broker.log());
}

#[test]
fn half_a_request_that_holds_memory_and_does_not_go_on_ends_its_connection_and_no_other() {
    let broker = Broker::start(&["connections.max.stall.ms=300"]);
    let mut small = RawClient::connect(&broker.address());
    small.send_bytes(&[0, 0]);
    let mut large = RawClient::connect(&broker.address());
    large.send_bytes(&(1_i32 << 20).to_be_bytes());
    large.send_bytes(&[0; 100_000]);
    let mut byte = [0];
    assert!(matches!(large.stream.read(&mut byte), Ok(0) | Err(_)), "the broker ends it");
    assert!(broker.log().contains("sent nothing for 300 ms in the middle of a request"), "{}", broker.log());
    // Two bytes of a prefix hold nothing that others could wait for.
    small.patience(Duration::from_millis(100));
    assert_eq!(small.receive(), Answer::Silence);
    assert!(serves(&mut RawClient::connect(&broker.address())));
}

#[test]
fn an_idle_connection_costs_little_memory() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted).unwrap();
    let broker = Broker::start(&[]);
    let connect = || {
        let mut client = RawClient::connect(&broker.address());
        let response: ApiVersionsResponse<'_> =
            client.call(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0);
        assert_eq!(response.error_code, 0);
        client
    };
    // What every broker with a few connections has: threads, arenas, tables.
    let _warm: Vec<RawClient> = (0..50).map(|_| connect()).collect();
    let before = broker.resident_kib();
    let _idle: Vec<RawClient> = (0..IDLE_CONNECTIONS).map(|_| connect()).collect();
    let per_connection = || (broker.resident_kib().saturating_sub(before) * 1024) / IDLE_CONNECTIONS;
    // Buffers are given back after some seconds without a request.
    let deadline = Instant::now() + Duration::from_secs(15);
    while per_connection() > IDLE_BYTES_MAX && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let bytes = per_connection();
    println!("FIGURE idle-connection: {bytes} bytes of resident memory");
    assert!(bytes <= IDLE_BYTES_MAX, "{bytes} bytes for each of {IDLE_CONNECTIONS} idle connections");
}

#[test]
fn beyond_max_connections_a_client_waits_and_is_served_when_another_leaves() {
    let broker = Broker::start(&["max.connections=2"]);
    let mut first = RawClient::connect(&broker.address());
    let mut second = RawClient::connect(&broker.address());
    assert!(serves(&mut first) && serves(&mut second));
    let mut third = RawClient::connect(&broker.address());
    third.send(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0, 7);
    for _ in 0..100 {
        assert!(serves(&mut first) && serves(&mut second), "the others are not concerned");
    }
    third.patience(Duration::from_millis(50));
    assert_eq!(third.receive(), Answer::Silence, "it waits, neither served nor closed");
    drop(first);
    third.patience(Duration::from_secs(10));
    assert!(matches!(third.receive(), Answer::Frame(_)), "its turn has come");
    assert!(serves(&mut second));
}

#[test]
fn a_request_that_gets_no_memory_in_time_ends_its_connection_and_small_ones_are_served_all_along() {
    let broker = Broker::start(&[
        "queued.max.request.bytes=1048576",
        "socket.request.max.bytes=1048576",
        "connections.max.stall.ms=400",
    ]);
    let half = |bytes: usize| {
        let mut client = RawClient::connect(&broker.address());
        client.send_bytes(&1_000_000_i32.to_be_bytes());
        client.send_bytes(&vec![0; bytes]);
        client
    };
    // Two halves that fit, and together leave no room for either to go on. The first that goes on is starved.
    let mut halves = [half(500_000), half(500_000)];
    let deadline = Instant::now() + Duration::from_secs(20);
    while !broker.log().contains("for request memory with") {
        assert!(Instant::now() < deadline, "nobody was starved:\n{}", broker.log());
        for client in &mut halves {
            // Goes on a little, so that it is memory that it waits for and not its peer. A closed one refuses.
            let _ = std::io::Write::write_all(&mut client.stream, &[0; 1_000]);
        }
        assert!(serves(&mut RawClient::connect(&broker.address())), "small requests need no shared memory");
    }
    drop(halves);
    assert!(serves(&mut RawClient::connect(&broker.address())));
}
