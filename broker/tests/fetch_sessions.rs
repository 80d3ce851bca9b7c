//! Fetch sessions of many partitions: an answer tells what moved and nothing else, and costs what moved.
//!
//! Random changes in random partitions, judged against full requests without a session: whatever a full answer says, a
//! client that keeps what its session told it knows too. The cost is the broker's own processor time.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::collections::BTreeMap;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
};
use logspine_protocol::messages::fetch::{FetchRequest, FetchResponse};
use logspine_protocol::wire::Records;
use support::Broker;
use support::calls::{batch, create_topic, fetch_request, produce};
use support::raw::RawClient;

const VERSION: i16 = 12;
const TOPIC: &str = "many";

/// What a client knows of a partition: watermark, log start, and the offset that it reads next.
type Known = BTreeMap<i32, (i64, i64, i64)>;

struct Client {
    raw: RawClient,
    partitions: i32,
    session: (i32, i32),
    known: Known,
}

impl Client {
    /// Opens a session over all partitions.
    fn open(broker: &Broker, partitions: i32) -> Client {
        let known = (0..partitions).map(|partition| (partition, (-1, -1, 0))).collect();
        let raw = RawClient::connect(&broker.address());
        let mut client = Client { raw, partitions, session: (0, 0), known };
        let all: Vec<i32> = (0..partitions).collect();
        client.fetch(&all);
        assert_ne!(client.session.0, 0, "a session is opened");
        client
    }

    fn request(&self, named: &[i32], session: (i32, i32)) -> FetchRequest<'static> {
        let mut request = fetch_request(TOPIC, 0, 0, 1 << 20);
        let partition = request.topics[0].partitions.pop().unwrap();
        for index in named {
            let mut partition = partition.clone();
            (partition.partition, partition.fetch_offset) = (*index, self.known[index].2);
            request.topics[0].partitions.push(partition);
        }
        if named.is_empty() {
            request.topics.clear();
        }
        (request.session_id, request.session_epoch) = session;
        (request.max_wait_ms, request.min_bytes, request.max_bytes) = (0, 1, 16 << 20);
        request
    }

    /// One request in the session that names these partitions; the partitions that the answer tells of.
    fn fetch(&mut self, named: &[i32]) -> Vec<i32> {
        let request = self.request(named, self.session);
        let response: FetchResponse<'static> = self.raw.call(&request, ApiKey::Fetch, VERSION);
        assert_eq!(response.error_code, 0);
        self.session = (response.session_id, self.session.1 + 1);
        let mut told = Vec::new();
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(partition.error_code, 0);
            let known = self.known.get_mut(&partition.partition_index).unwrap();
            (known.0, known.1) = (partition.high_watermark, partition.log_start_offset);
            let bytes = partition.records.as_ref().and_then(Records::as_bytes).unwrap_or_default();
            for batch in logspine_protocol::batch::iter_batches(bytes) {
                known.2 = batch.unwrap().next_offset().0;
            }
            told.push(partition.partition_index);
        }
        told
    }

    /// A full request without a session says nothing that the client does not know.
    fn judge(&mut self) {
        let all: Vec<i32> = (0..self.partitions).collect();
        let request = self.request(&all, (0, -1));
        let response: FetchResponse<'static> = self.raw.call(&request, ApiKey::Fetch, VERSION);
        for partition in response.responses.iter().flat_map(|topic| &topic.partitions) {
            let known = self.known[&partition.partition_index];
            assert_eq!(
                (partition.high_watermark, partition.log_start_offset),
                (known.0, known.1),
                "{partition:?}"
            );
            let bytes = partition.records.as_ref().and_then(Records::as_bytes).unwrap_or_default();
            assert!(bytes.is_empty(), "records that the session did not bring: {partition:?}");
        }
    }
}

/// A small generator whose seed is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn delete_records(raw: &mut RawClient, partition: i32, before: i64) {
    let partition = DeleteRecordsPartition { partition_index: partition, offset: before };
    let topic = DeleteRecordsTopic { name: TOPIC.into(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 10_000 };
    let response: DeleteRecordsResponse<'static> = raw.call(&request, ApiKey::DeleteRecords, 2);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);
}

#[test]
fn a_session_tells_all_that_full_requests_tell_and_names_no_partition_that_did_not_move() {
    let seed = std::env::var("LOGSPINE_SEED").map_or(42, |seed| seed.parse().unwrap());
    println!("LOGSPINE_SEED={seed}");
    let random = &mut Random(seed);
    let broker = Broker::start(&[]);
    let mut writer = RawClient::connect(&broker.address());
    create_topic(&mut writer, TOPIC, 60, &[]);
    let mut client = Client::open(&broker, 60);
    let mut moved_before: Vec<i32> = Vec::new();
    for _ in 0..150 {
        let mut moved = Vec::new();
        for _ in 0..random.below(4) {
            let partition = random.below(60) as i32;
            let (high_watermark, log_start, _) = client.known[&partition];
            if random.below(5) == 0 && high_watermark > log_start && !moved.contains(&partition) {
                delete_records(&mut writer, partition, high_watermark);
            } else {
                assert_eq!(produce(&mut writer, TOPIC, partition, &batch(1_000, &["value"])).error_code, 0);
            }
            moved.push(partition);
        }
        // As clients do: a partition that gave records is named with its new offset.
        let told = client.fetch(&moved_before);
        for partition in &told {
            assert!(moved.contains(partition), "partition {partition} did not move: {moved:?}");
        }
        for partition in &moved {
            assert!(told.contains(partition), "partition {partition} moved and is not told: {told:?}");
        }
        moved_before = told;
        client.judge();
    }
}

#[test]
fn a_fetch_that_waits_in_a_session_is_woken_by_a_partition_that_slept() {
    let broker = Broker::start(&[]);
    let mut writer = RawClient::connect(&broker.address());
    create_topic(&mut writer, TOPIC, 20, &[]);
    let mut client = Client::open(&broker, 20);
    (0..3).for_each(|_| assert!(client.fetch(&[]).is_empty()));
    for partition in [7, 3, 7] {
        let mut request = client.request(&[], client.session);
        request.max_wait_ms = 60_000;
        client.raw.send(&request, ApiKey::Fetch, VERSION, 7);
        assert_eq!(produce(&mut writer, TOPIC, partition, &batch(1_000, &["value"])).error_code, 0);
        // The client's patience is 10 s: an answer that comes with the end of max_wait comes too late.
        let response: FetchResponse<'static> = client.raw.answer(ApiKey::Fetch, VERSION, 7);
        let told = &response.responses[0].partitions;
        assert_eq!((told.len(), told[0].partition_index), (1, partition));
        client.session.1 += 1;
        client.known.get_mut(&partition).unwrap().2 = told[0].high_watermark;
        assert!(client.fetch(&[partition]).is_empty());
    }
}

/// Processor time of the broker so far, in hundredths of a second.
fn ticks(broker: &Broker) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_idle_session_of_a_thousand_partitions_costs_what_one_of_one_costs() {
    const REQUESTS: u64 = 1_500;
    let broker = Broker::start(&[]);
    create_topic(&mut RawClient::connect(&broker.address()), TOPIC, 1_000, &[]);
    let [one, thousand] = [1, 1_000].map(|partitions| {
        let mut client = Client::open(&broker, partitions);
        (0..5).for_each(|_| drop(client.fetch(&[])));
        let before = ticks(&broker);
        for _ in 0..REQUESTS {
            assert!(client.fetch(&[]).is_empty());
        }
        (ticks(&broker) - before) as f64 * 10_000.0 / REQUESTS as f64
    });
    println!(
        "FIGURE idle fetch in a session: {one:.0} us of processor with 1 partition, {thousand:.0} us with 1000"
    );
    assert!(thousand <= 3.0 * one + 30.0, "{thousand} us with 1000 partitions, {one} us with one");
}
