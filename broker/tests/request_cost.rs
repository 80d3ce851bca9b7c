//! What one request costs the broker: allocations and system calls, each under a gate that may only fall.
//!
//! One client on one loopback connection asks, waits for the answer, and asks again. Allocations are the
//! difference of the process's own counter (cargo feature `count-allocations`), system calls are strace's, over
//! all threads: the committer's and the sync are in the figure. The gates are in `request_cost.gates`. The
//! judge is first shown a gate just below what was measured.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use logspine_protocol::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use logspine_protocol::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use logspine_protocol::types::{ProducerEpoch, ProducerId, TopicId};
use logspine_protocol::wire::Records;
use support::Broker;
use support::raw::{RawClient, request_bytes};

/// The gates, as they are today.
const GATES: &str = include_str!("request_cost.gates");

/// The promise: no gate may ever be above these.
const PRODUCE_MAX: Cost = Cost { allocations: 8.0, system_calls: 10.0 };
const FETCH_MAX: Cost = Cost { allocations: 8.0, system_calls: 8.0 };

/// Requests of a measurement, and of the warm-up before it.
const REQUESTS: usize = 400;
const WARM_UP: usize = 50;

const BATCH_BYTES: usize = 64 * 1024;
const FETCH_BYTES: usize = 1024 * 1024;

const PRODUCE_VERSION: i16 = 13;
const FETCH_VERSION: i16 = 18;

/// Of one request, on average.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    allocations: f64,
    system_calls: f64,
}

impl Cost {
    fn is_within(self, gate: Cost) -> bool {
        self.allocations <= gate.allocations && self.system_calls <= gate.system_calls
    }

    /// To a tenth: what the process does beside the requests, timers and housekeeping, is far below.
    fn rounded(self) -> Cost {
        let tenth = |value: f64| (value * 10.0).round() / 10.0;
        Cost { allocations: tenth(self.allocations), system_calls: tenth(self.system_calls) }
    }
}

/// A topic of one partition on a broker of its own, and a connection.
struct Bench {
    broker: Broker,
    topic_id: TopicId,
    client: RawClient,
}

impl Bench {
    fn start() -> Bench {
        // The checkpoint's own work is not a request's.
        let broker = Broker::start(&["log.flush.offset.checkpoint.interval.ms=600000"]);
        let mut client = RawClient::connect(&broker.address());
        let topic = CreatableTopic {
            name: "cost".into(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        let response: CreateTopicsResponse<'_> = client.call(&request, ApiKey::CreateTopics, 7);
        assert_eq!(response.topics[0].error_code, 0, "{response:?}");
        Bench { topic_id: response.topics[0].topic_id, broker, client }
    }

    fn produce_frame(&self, acks: i16, batch: Vec<u8>) -> Vec<u8> {
        let partition = PartitionProduceData { index: 0, records: Some(Records::Bytes(batch.into())) };
        let request = ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                topic_id: self.topic_id,
                partition_data: vec![partition],
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        request_bytes(&request, ApiKey::Produce, PRODUCE_VERSION, 1)
    }

    fn fetch_frame(&self, session_id: i32, session_epoch: i32) -> Vec<u8> {
        let partition = FetchPartition {
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: FETCH_BYTES as i32,
            ..FetchPartition::default()
        };
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: FETCH_BYTES as i32,
            session_id,
            session_epoch,
            topics: vec![FetchTopic {
                topic_id: self.topic_id,
                partitions: vec![partition],
                ..FetchTopic::default()
            }],
            ..FetchRequest::default()
        };
        request_bytes(&request, ApiKey::Fetch, FETCH_VERSION, 1)
    }

    /// Fills the partition with a little more than one fetch takes.
    fn fill(&mut self) {
        let frame = self.produce_frame(-1, batch(None));
        for _ in 0..=FETCH_BYTES / BATCH_BYTES {
            ask(&mut self.client.stream, &frame);
        }
    }

    /// Sends each frame and reads its answer; the counters before and after say what that cost.
    fn measure(&mut self, frames: &[Vec<u8>], answer_bytes_min: usize) -> Cost {
        assert_eq!(frames.len(), WARM_UP + 2 * REQUESTS);
        let mut run = |frames: &[Vec<u8>]| {
            for frame in frames {
                // A broker that went back to sleep pays for waking up: the dearer case, and the usual one.
                std::thread::sleep(Duration::from_millis(1));
                let answered = ask(&mut self.client.stream, frame);
                assert!(answered >= answer_bytes_min, "an answer of {answered} bytes");
            }
        };
        let (warm_up, measured) = frames.split_at(WARM_UP);
        let (first, second) = measured.split_at(REQUESTS);
        run(warm_up);
        // What a scrape allocates between its own reading and the next one's is not the requests'.
        let (before, again) = (allocations(&self.broker), allocations(&self.broker));
        run(first);
        let allocated = (allocations(&self.broker) - again).saturating_sub(again - before);
        let strace = Strace::attach(self.broker.id(), &self.broker.dir.path().join("strace.out"));
        run(second);
        let calls = strace.stop();
        for (name, count) in &calls {
            println!("  {name:<20} {:.2}", *count as f64 / REQUESTS as f64);
        }
        Cost {
            allocations: allocated as f64 / REQUESTS as f64,
            system_calls: calls.values().sum::<u64>() as f64 / REQUESTS as f64,
        }
    }
}

/// One batch of exactly `BATCH_BYTES`, idempotent if it has a sequence.
fn batch(sequence: Option<i32>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some(sequence) = sequence {
        builder = builder.producer(ProducerId(7), ProducerEpoch(0), sequence);
    }
    let value = [b'v'; BATCH_BYTES];
    for _ in 0..63 {
        builder.append(1_700_000_000_000, None, Some(&value[..1000]), &[]);
    }
    let mut last = builder.clone();
    last.append(1_700_000_000_000, None, Some(&value[..1000]), &[]);
    let missing = BATCH_BYTES - last.estimated_len();
    builder.append(1_700_000_000_000, None, Some(&value[..1000 + missing]), &[]);
    let batch = builder.build();
    assert_eq!(batch.len(), BATCH_BYTES);
    batch
}

/// Sends a frame and reads its answer; returns the answer's length.
fn ask(stream: &mut TcpStream, frame: &[u8]) -> usize {
    stream.write_all(frame).unwrap();
    let mut prefix = [0_u8; 4];
    stream.read_exact(&mut prefix).unwrap();
    let length = u64::from(u32::from_be_bytes(prefix));
    std::io::copy(&mut stream.take(length), &mut std::io::sink()).unwrap() as usize
}

fn allocations(broker: &Broker) -> u64 {
    let (_, page) = broker.http("/metrics").expect("metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("logspine_allocations_total "));
    line.expect("the broker counts its allocations").parse().unwrap()
}

/// `strace -c` on every thread of a process.
struct Strace {
    child: Child,
    out: std::path::PathBuf,
}

impl Strace {
    fn attach(process: u32, out: &Path) -> Strace {
        let child = Command::new("strace")
            .args(["-f", "-c", "-p", &process.to_string(), "-o"])
            .arg(out)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_traced(process) {
            assert!(Instant::now() < deadline, "strace did not attach");
            std::thread::sleep(Duration::from_millis(10));
        }
        Strace { child, out: out.to_owned() }
    }

    /// Detaches; calls by name.
    fn stop(mut self) -> BTreeMap<String, u64> {
        let interrupted = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(interrupted.success());
        self.child.wait().unwrap();
        summary(&std::fs::read_to_string(&self.out).unwrap())
    }
}

/// The kernel names a tracer for every thread.
fn is_traced(process: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let statuses = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")));
    statuses
        .flatten()
        .all(|status| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")))
}

/// The table of `strace -c`: share, seconds, microseconds a call, calls, perhaps errors, name.
fn summary(text: &str) -> BTreeMap<String, u64> {
    let rows = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let calls = words.get(3)?.parse().ok()?;
        words[0].parse::<f64>().ok()?;
        Some(((*words.last()?).to_owned(), calls))
    });
    rows.filter(|(name, _)| name != "total").collect()
}

/// The row of `request_cost.gates` for a request.
fn gate(request: &str) -> Cost {
    let rows = GATES.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let mut rows = rows.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row[0] == request).unwrap_or_else(|| panic!("no gate for {request}"));
    Cost { allocations: row[1].parse().unwrap(), system_calls: row[2].parse().unwrap() }
}

fn judge(request: &str, cost: Cost, promised: Cost) {
    let gate = gate(request);
    println!("FIGURE {request}: {:.2} allocations, {:.2} system calls", cost.allocations, cost.system_calls);
    let cost = cost.rounded();
    let Cost { allocations, system_calls } = cost;
    assert!(gate.is_within(promised), "{request}: the gate {gate:?} was raised above {promised:?}");
    for blind in
        [Cost { allocations: allocations - 0.1, ..gate }, Cost { system_calls: system_calls - 0.1, ..gate }]
    {
        assert!(!cost.is_within(blind), "{request}: the judge lets {cost:?} through {blind:?}");
    }
    assert!(cost.is_within(gate), "{request}: {cost:?} is above the gate {gate:?}");
}

fn needs_strace(test: &str) -> bool {
    support::needs(test, "strace")
}

#[test]
fn produce_of_64_kib() {
    if !needs_strace("produce_of_64_kib") {
        return;
    }
    for (name, acks) in [("produce-acks-1", 1), ("produce-acks-all", -1)] {
        let mut bench = Bench::start();
        let frames = vec![bench.produce_frame(acks, batch(None)); WARM_UP + 2 * REQUESTS];
        let cost = bench.measure(&frames, 40);
        judge(name, cost, PRODUCE_MAX);
    }
}

#[test]
fn idempotent_produce_of_64_kib_as_stock_clients_send_it() {
    if !needs_strace("idempotent_produce_of_64_kib_as_stock_clients_send_it") {
        return;
    }
    let mut bench = Bench::start();
    let numbers = 0..(WARM_UP + 2 * REQUESTS) as i32;
    let frames: Vec<_> = numbers.map(|number| bench.produce_frame(-1, batch(Some(number * 64)))).collect();
    let cost = bench.measure(&frames, 40);
    judge("produce-idempotent", cost, PRODUCE_MAX);
}

/// What a client has in flight while the broker is busy is answered together: the broker is held still meanwhile.
#[test]
fn answers_to_pipelined_requests_share_a_write() {
    const PIPELINED: usize = 4;
    if !needs_strace("answers_to_pipelined_requests_share_a_write") {
        return;
    }
    let mut bench = Bench::start();
    let mut builder = BatchBuilder::new(Codec::None);
    builder.append(1_700_000_000_000, None, Some(&[b'v'; 10_000]), &[]);
    let frame = bench.produce_frame(1, builder.build());
    ask(&mut bench.client.stream, &frame);

    let strace = Strace::attach(bench.broker.id(), &bench.broker.dir.path().join("strace.out"));
    bench.broker.signal("STOP");
    for _ in 0..PIPELINED {
        bench.client.stream.write_all(&frame).unwrap();
    }
    bench.broker.signal("CONT");
    for _ in 0..PIPELINED {
        ask(&mut bench.client.stream, &[]);
    }
    let calls = strace.stop();
    let sends = calls.get("sendto").copied().unwrap_or(0);
    println!("FIGURE writes for {PIPELINED} pipelined answers: {sends}");
    assert!((1..PIPELINED as u64).contains(&sends), "{calls:?}");
}

#[test]
fn fetch_of_1_mib() {
    if !needs_strace("fetch_of_1_mib") {
        return;
    }
    let mut bench = Bench::start();
    bench.fill();
    let frames = vec![bench.fetch_frame(0, -1); WARM_UP + 2 * REQUESTS];
    let cost = bench.measure(&frames, FETCH_BYTES);
    judge("fetch-sessionless", cost, FETCH_MAX);

    bench.client.send_bytes(&bench.fetch_frame(0, 0));
    let opened: FetchResponse<'_> = bench.client.answer(ApiKey::Fetch, FETCH_VERSION, 1);
    let session_id = opened.session_id;
    assert_ne!(session_id, 0, "a session is opened");
    let epochs = 1..=(WARM_UP + 2 * REQUESTS) as i32;
    let frames: Vec<_> = epochs.map(|epoch| bench.fetch_frame(session_id, epoch)).collect();
    let cost = bench.measure(&frames, FETCH_BYTES);
    judge("fetch-in-session", cost, FETCH_MAX);
}

#[test]
fn the_summary_of_strace_is_read_with_and_without_errors() {
    let text = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 90.00    0.001000           5       200           sendto
 10.00    0.000100           1       100        50 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001100           3       300        50 total
";
    assert_eq!(summary(text), BTreeMap::from([("sendto".to_owned(), 200), ("recvfrom".to_owned(), 100)]));
}
