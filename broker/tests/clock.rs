//! A wall clock that jumps by an hour, either way: nothing is deleted early, segments roll, group sessions last.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};
use logspine_protocol::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use logspine_protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use support::Broker;
use support::calls::{batch, create_topic, produce};
use support::raw::RawClient;

const OFFSET_FILE: &str = "LOGSPINE_TEST_CLOCK_OFFSET_FILE";
const ALLOWED: &str = "LOGSPINE_TEST_CLOCK_ALLOWED";
const HOUR_MS: i64 = 3_600_000;
const EARLIEST: i64 = -2;

/// A broker whose clock a file moves.
struct Moved {
    broker: Broker,
    offset_file: PathBuf,
}

impl Moved {
    fn start(overrides: &[&str]) -> Moved {
        let mut broker = Broker::prepared(overrides);
        let offset_file = broker.dir.path().join("clock");
        std::fs::write(&offset_file, "0").unwrap();
        let mut command = broker.command();
        command.env(OFFSET_FILE, &offset_file).env(ALLOWED, "yes");
        broker.spawn(command);
        broker.wait_ready();
        Moved { broker, offset_file }
    }

    /// Sets the clock by renaming, so that no look at it sees half a number.
    fn jump(&self, by_ms: i64) {
        let next = self.offset_file.with_extension("next");
        std::fs::write(&next, by_ms.to_string()).unwrap();
        std::fs::rename(next, &self.offset_file).unwrap();
    }
}

fn wall_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

fn earliest(client: &mut RawClient, topic: &str) -> i64 {
    let partition = ListOffsetsPartition { timestamp: EARLIEST, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: topic.into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let response: ListOffsetsResponse<'_> = client.call(&request, ApiKey::ListOffsets, 7);
    response.topics[0].partitions[0].offset
}

/// Waits until retention has run: a record of long ago goes then.
fn wait_for_retention(client: &mut RawClient) {
    let offset = produce(client, "probe", 0, &batch(1_000, &["old"])).base_offset;
    let deadline = Instant::now() + Duration::from_secs(20);
    while earliest(client, "probe") <= offset {
        assert!(Instant::now() < deadline, "retention does not run");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn segments(moved: &Moved, topic: &str) -> usize {
    let entries = std::fs::read_dir(moved.broker.data_dir().join(format!("{topic}-0"))).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "log")).count()
}

#[test]
fn a_clock_that_jumps_an_hour_deletes_nothing_early_and_segments_still_roll() {
    for jump_ms in [HOUR_MS, -HOUR_MS] {
        let moved = Moved::start(&["log.retention.check.interval.ms=50"]);
        let mut client = RawClient::connect(&moved.broker.address());
        create_topic(&mut client, "probe", 1, &[("retention.ms", "1")]);
        create_topic(&mut client, "half-hour", 1, &[("retention.ms", "1800000")]);
        create_topic(&mut client, "week", 1, &[("retention.ms", "604800000")]);
        create_topic(&mut client, "rolls", 1, &[("retention.ms", "-1"), ("segment.ms", "1000")]);
        for topic in ["half-hour", "week", "rolls"] {
            produce(&mut client, topic, 0, &batch(wall_ms(), &["before"]));
        }
        wait_for_retention(&mut client);
        moved.jump(jump_ms);
        wait_for_retention(&mut client);
        for topic in ["half-hour", "week"] {
            // Stamped by a client whose clock jumped as well.
            produce(&mut client, topic, 0, &batch(wall_ms() + jump_ms, &["after"]));
        }
        wait_for_retention(&mut client);
        for topic in ["half-hour", "week"] {
            assert_eq!(earliest(&mut client, topic), 0, "{topic} after {jump_ms} ms");
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while segments(&moved, "rolls") < 2 {
            assert!(Instant::now() < deadline, "it does not roll after {jump_ms} ms");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(moved.broker.log().contains("the wall clock was set by"), "{}", moved.broker.log());
    }
}

/// Joins as the only member and heartbeats once; group, generation and member.
fn join(client: &mut RawClient) -> (i32, String) {
    let protocol = JoinGroupRequestProtocol { name: "range".into(), ..JoinGroupRequestProtocol::default() };
    let mut member = String::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "the group takes no member");
        let request = JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 45_000,
            rebalance_timeout_ms: 60_000,
            member_id: member.as_str().into(),
            protocol_type: "consumer".into(),
            protocols: vec![protocol.clone()],
            ..JoinGroupRequest::default()
        };
        let response: JoinGroupResponse<'_> = client.call(&request, ApiKey::JoinGroup, 7);
        member = response.member_id.to_string();
        match ErrorCode::from_code(response.error_code).unwrap() {
            ErrorCode::None => return (response.generation_id, member),
            // The second needs the id that the first was given; the group's log may still be loading.
            ErrorCode::MemberIdRequired => {}
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn heartbeat(client: &mut RawClient, generation_id: i32, member: &str) -> ErrorCode {
    let request = HeartbeatRequest {
        group_id: "g".into(),
        generation_id,
        member_id: member.into(),
        ..HeartbeatRequest::default()
    };
    let response: HeartbeatResponse = client.call(&request, ApiKey::Heartbeat, 4);
    ErrorCode::from_code(response.error_code).unwrap()
}

#[test]
fn a_clock_that_jumps_an_hour_ends_no_session() {
    for jump_ms in [HOUR_MS, -HOUR_MS] {
        let moved = Moved::start(&["group.initial.rebalance.delay.ms=0"]);
        let mut client = RawClient::connect(&moved.broker.address());
        // Whoever looks for a coordinator makes the topic of the groups.
        let find = FindCoordinatorRequest {
            coordinator_keys: vec!["g".into()],
            ..FindCoordinatorRequest::default()
        };
        let _: FindCoordinatorResponse<'_> = client.call(&find, ApiKey::FindCoordinator, 4);
        let (generation, member) = join(&mut client);
        moved.jump(jump_ms);
        let mut lives = || {
            let told = heartbeat(&mut client, generation, &member);
            assert!(matches!(told, ErrorCode::None | ErrorCode::RebalanceInProgress), "{told:?}");
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !moved.broker.log().contains("the wall clock was set by") {
            assert!(Instant::now() < deadline, "nobody noticed a jump of {jump_ms} ms");
            lives();
            std::thread::sleep(Duration::from_millis(10));
        }
        // The jump is known now; each of these has the coordinator look at its sessions again.
        (0..5).for_each(|_| lives());
    }
}

#[test]
fn a_clock_that_may_not_be_moved_stops_the_start_with_a_sentence() {
    let broker = Broker::prepared(&[]);
    let mut command = broker.command();
    command.env(OFFSET_FILE, "/nowhere");
    let (status, said) = broker.run_to_end(command);
    assert!(!status.success() && said.contains("moves the broker's clock and is for tests"), "{said}");
}
