//! Thousands of partitions on one broker: what creating, keeping, writing and opening them costs, beside what the
//! file system alone takes for the same.
//!
//! `LOGSPINE_PARTITIONS=10000` (or 100000) asks the same of more; figures are worth something in a release build. The
//! process gets fewer descriptors than there are partitions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use logspine_protocol::wire::Records;
use support::Broker;
use support::calls::{PRODUCE, batch, create_topic};
use support::raw::RawClient;

/// Partitions without an order to the contrary.
const PARTITIONS: i32 = 2_000;

/// Descriptors that a process with `PARTITIONS` partitions gets.
const DESCRIPTORS: u64 = 1_000;

/// Partitions that one produce request writes to.
const IN_ONE_REQUEST: i32 = 100;

fn partitions() -> i32 {
    std::env::var("LOGSPINE_PARTITIONS").map_or(PARTITIONS, |text| text.parse().unwrap())
}

/// What nobody can do without: a directory, two small files in it, and one sync of the directory above.
fn raw_cost(dir: &Path, count: i32) -> Duration {
    let started = Instant::now();
    for number in 0..count {
        let partition = dir.join(format!("raw-{number}"));
        std::fs::create_dir(&partition).unwrap();
        File::create(partition.join("00000000000000000000.log")).unwrap();
        std::fs::write(partition.join("partition.metadata"), [b'x'; 43]).unwrap();
    }
    File::open(dir).unwrap().sync_all().unwrap();
    started.elapsed()
}

/// CPU time of each thread, in nanoseconds.
fn cpu(process: u32) -> BTreeMap<OsString, u64> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let nanos = |text: String| text.split_whitespace().next().map_or(0, |nanos| nanos.parse().unwrap());
    tasks
        .filter_map(|task| {
            Some((task.file_name(), std::fs::read_to_string(task.path().join("schedstat")).ok()?))
        })
        .map(|(task, text)| (task, nanos(text)))
        .collect()
}

/// What the threads that are still there took since `before`.
fn cpu_since(before: &BTreeMap<OsString, u64>, process: u32) -> Duration {
    let spent = |(task, now): (OsString, u64)| now - before.get(&task).copied().unwrap_or(0);
    Duration::from_nanos(cpu(process).into_iter().map(spent).sum())
}

/// Descriptors by what they are: the extension of a file, or the kind of anything else.
fn open_files(process: u32) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for fd in std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten() {
        let Ok(target) = std::fs::read_link(fd.path()) else { continue };
        let target = target.to_string_lossy();
        let kind = target.rsplit(['.', '/']).next().unwrap_or_default().split(':').next().unwrap_or_default();
        *counts.entry(kind.to_owned()).or_default() += 1;
    }
    counts
}

/// The broker's command line in a shell that lowers its number of descriptors first.
fn with_descriptors(broker: &Broker, descriptors: u64) -> Command {
    let command = broker.command();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

/// One small batch to every partition.
fn produce_to_all(client: &mut RawClient, topic: &str, count: i32, acks: i16) {
    let records = batch(1_700_000_000_000, &["a record of a partition that is one of many"]);
    for first in (0..count).step_by(IN_ONE_REQUEST as usize) {
        let indexes = first..count.min(first + IN_ONE_REQUEST);
        let data = |index| PartitionProduceData { index, records: Some(Records::from(&records[..])) };
        let request = ProduceRequest {
            acks,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic.into(),
                partition_data: indexes.map(data).collect(),
                ..TopicProduceData::default()
            }],
            ..ProduceRequest::default()
        };
        let response: ProduceResponse<'_> = client.call(&request, ApiKey::Produce, PRODUCE);
        for partition in &response.responses[0].partition_responses {
            assert_eq!(
                partition.error_code, 0,
                "partition {}: {:?}",
                partition.index, partition.error_message
            );
        }
    }
}

fn ready_after(broker: &mut Broker, command: Command) -> Duration {
    let started = Instant::now();
    broker.spawn(command);
    broker.wait_ready();
    started.elapsed()
}

#[test]
fn thousands_of_partitions_cost_little_to_create_to_keep_to_write_and_to_open() {
    let count = partitions();
    let descriptors = DESCRIPTORS.max(count as u64 / 5).min(20_000);
    let mut broker = Broker::prepared(&["log.retention.check.interval.ms=600000"]);
    let command = with_descriptors(&broker, descriptors);
    ready_after(&mut broker, command);
    let mut client = RawClient::connect(&broker.address());
    client.patience(Duration::from_secs(60));
    let raw = raw_cost(broker.dir.path(), count);

    let before_kib = broker.resident_kib();
    let started = Instant::now();
    create_topic(&mut client, "many", count, &[]);
    let created = started.elapsed();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(count);
    println!(
        "FIGURE create-partitions: {count} in {:.2} s, {:.0} us each; raw {:.0} us each",
        created.as_secs_f64(),
        each(created),
        each(raw)
    );
    let idle_bytes = (broker.resident_kib() - before_kib) * 1024 / count as u64;
    println!("FIGURE idle-partition: {idle_bytes} bytes of memory");

    let (started, before) = (Instant::now(), cpu(broker.id()));
    std::thread::sleep(Duration::from_secs(6));
    let share = cpu_since(&before, broker.id()).as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    println!("FIGURE idle-broker: {share:.3} % of a core with {count} partitions");

    for acks in [1, -1] {
        let started = Instant::now();
        produce_to_all(&mut client, "many", count, acks);
        println!("FIGURE one-batch-to-each: acks={acks} {:.0} us a partition", each(started.elapsed()));
    }
    let open = open_files(broker.id());
    println!("FIGURE descriptors: {open:?} of {descriptors}, for {count} partitions");
    assert!(open.values().sum::<usize>() < descriptors as usize);

    drop(client);
    let started = Instant::now();
    assert!(broker.stop().success());
    println!("FIGURE clean-stop: {:.2} s", started.elapsed().as_secs_f64());
    let command = with_descriptors(&broker, descriptors);
    println!("FIGURE start-after-stop: {:.2} s", ready_after(&mut broker, command).as_secs_f64());
    let mut client = RawClient::connect(&broker.address());
    client.patience(Duration::from_secs(60));
    produce_to_all(&mut client, "many", count, -1);
    broker.kill();
    let command = with_descriptors(&broker, descriptors);
    println!("FIGURE start-after-kill: {:.2} s", ready_after(&mut broker, command).as_secs_f64());
    let mut client = RawClient::connect(&broker.address());
    client.patience(Duration::from_secs(60));
    produce_to_all(&mut client, "many", count, -1);

    // A debug build is several times slower; what these catch is a cost of another kind.
    assert!(created < raw * 20 + Duration::from_secs(1), "created in {created:?}, raw {raw:?}");
    assert!(idle_bytes < 8 * 1024, "an idle partition takes {idle_bytes} bytes");
    assert!(share < 1.0, "idle, {share:.3} % of a core");
}
