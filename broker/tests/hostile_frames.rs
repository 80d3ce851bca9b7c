//! A hostile frame costs one connection and no memory.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use support::raw::{Answer, RawClient};
use support::{Broker, skip};

const CLIENTS: usize = 200;
const CLAIMED_BYTES: i32 = 90 << 20;
const CGROUP_BYTES: u64 = 256 << 20;

/// A cgroup of its own for one process, where root may make one.
struct MemoryCgroup {
    path: std::path::PathBuf,
}

impl MemoryCgroup {
    fn create(bytes: u64) -> Option<MemoryCgroup> {
        let name = format!("logspine-test-{}", std::process::id());
        for (root, file) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let path = std::path::Path::new(root).join(&name);
            if std::fs::create_dir(&path).is_err() {
                continue;
            }
            if std::fs::write(path.join(file), bytes.to_string()).is_ok() {
                return Some(MemoryCgroup { path });
            }
            let _ = std::fs::remove_dir(&path);
        }
        None
    }

    fn take(&self, process: u32) {
        std::fs::write(self.path.join("cgroup.procs"), process.to_string()).unwrap();
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[test]
fn two_hundred_clients_that_declare_90_mib_and_send_nothing_cost_nothing() {
    let cgroup = MemoryCgroup::create(CGROUP_BYTES);
    let mut broker = Broker::start(&[]);
    match &cgroup {
        Some(cgroup) => cgroup.take(broker.id()),
        None => skip(
            "two_hundred_clients_that_declare_90_mib_and_send_nothing_cost_nothing (in a cgroup)",
            "no memory cgroup can be made here; resident memory is measured instead",
        ),
    }
    let before = broker.resident_kib();
    let mut hostile: Vec<RawClient> = (0..CLIENTS).map(|_| RawClient::connect(&broker.address())).collect();
    for client in &mut hostile {
        client.send_bytes(&CLAIMED_BYTES.to_be_bytes());
    }
    let mut healthy = RawClient::connect(&broker.address());
    let begun = Instant::now();
    for _ in 0..100 {
        let answer: ApiVersionsResponse<'_> =
            healthy.call(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0);
        assert_eq!(answer.error_code, 0);
    }
    println!("100 requests of a healthy client took {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(2));
    let after = broker.resident_kib();
    println!("{before} KiB resident before, {after} KiB with {CLIENTS} hostile clients");
    assert!(after < before + 8 * 1024, "{before} KiB before, {after} KiB after");
    drop(hostile);
    assert!(broker.stop().success());
}

#[test]
fn clients_that_send_halves_of_large_requests_stay_within_the_pool_and_a_small_request_is_served() {
    let pool = 32 << 20;
    let broker =
        Broker::start(&["socket.request.max.bytes=33554432", &format!("queued.max.request.bytes={pool}")]);
    let before = broker.resident_kib();
    let chunk = vec![0_u8; 64 << 10];
    let mut hostile = Vec::new();
    for _ in 0..40 {
        let mut client = RawClient::connect(&broker.address());
        client.stream.set_nonblocking(true).unwrap();
        let _ = std::io::Write::write(&mut client.stream, &(30_i32 << 20).to_be_bytes());
        hostile.push(client);
    }
    // Each sends as much as the broker takes: together far more than the pool.
    for _ in 0..64 {
        for client in &mut hostile {
            let _ = std::io::Write::write(&mut client.stream, &chunk);
        }
    }
    let mut healthy = RawClient::connect(&broker.address());
    let answer: ApiVersionsResponse<'_> =
        healthy.call(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0);
    assert_eq!(answer.error_code, 0);
    let after = broker.resident_kib();
    println!("{before} KiB resident before, {after} KiB with 40 half requests; pool {} KiB", pool >> 10);
    assert!(after < before + (pool >> 10) + 16 * 1024, "{before} KiB before, {after} KiB after");
}

#[test]
fn a_length_beyond_the_limit_or_below_zero_closes_the_connection_with_a_sentence() {
    let broker = Broker::start(&[]);
    for length in [-1_i32, i32::MIN, i32::MAX] {
        let mut client = RawClient::connect(&broker.address());
        client.send_bytes(&length.to_be_bytes());
        assert_eq!(client.receive(), Answer::Closed, "{length}");
    }
    assert!(broker.log().contains("socket.request.max.bytes is 104857600"), "{}", broker.log());
}

#[test]
fn random_bytes_close_their_connection_and_the_broker_lives() {
    let broker = Broker::start(&[]);
    let mut state = 0x5eed_u64;
    println!("seed {state:#x}");
    for _ in 0..500 {
        let mut frame = vec![0_u8; (state >> 40) as usize % 300];
        for byte in &mut frame {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 33) as u8;
        }
        // A key and a version that exist, so that bodies are reached.
        if frame.len() > 4 {
            frame[..2].copy_from_slice(&((state >> 20) as i16 % 70).abs().to_be_bytes());
            frame[2..4].copy_from_slice(&((state >> 10) as i16 % 10).abs().to_be_bytes());
        }
        let mut client = RawClient::connect(&broker.address());
        client.send_frame(&frame);
        client.patience(Duration::from_millis(1));
        let _ = client.receive();
    }
    let mut healthy = RawClient::connect(&broker.address());
    let answer: ApiVersionsResponse<'_> =
        healthy.call(&ApiVersionsRequest::default(), ApiKey::ApiVersions, 0);
    assert_eq!(answer.error_code, 0);
}
