//! Promise: a compacted topic holds the last value of each key, whoever wrote it, across cleanings, clean stops and
//! kills; committed offsets survive the compaction of `__consumer_offsets`; a damaged batch is named and served
//! around.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::messages::find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
use logspine_protocol::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use logspine_protocol::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use support::calls::{create_topic, fetch, fetch_request, offsets, produce};
use support::raw::RawClient;
use support::{Broker, kcat, kcat_with_input, needs};

const DEADLINE: Duration = Duration::from_secs(30);

/// Compacts whatever is dirty, at once.
const EAGER: &[&str] = &["log.cleaner.backoff.ms=20", "log.cleaner.min.cleanable.ratio=0"];

const SEGMENTED: &[(&str, &str)] = &[("cleanup.policy", "compact"), ("segment.bytes", "1048576")];

fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("{name} is not exported"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Polls the metrics until they say what is waited for.
fn wait_until(broker: &Broker, what: &str, holds: impl Fn(&str) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let (_, page) = broker.http("/metrics").unwrap();
        if holds(&page) {
            return;
        }
        assert!(Instant::now() < deadline, "{what} does not come:\n{}", broker.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Everything that can be cleaned is clean, after so many runs at least.
fn wait_clean(broker: &Broker, runs: f64) {
    wait_until(broker, "the end of cleaning", |page| {
        metric(page, "kafka_log_logcleaner_runs_total") >= runs
            && metric(page, "kafka_log_logcleanermanager_max_dirty_percent") == 0.0
    });
}

/// Writes `count` records over 500 keys with kcat, every ninth a tombstone; notes the last of each.
fn write(broker: &Broker, round: usize, count: usize, last: &mut BTreeMap<String, Option<String>>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for n in 0..count {
        let key = format!("key-{}", n * 7 % 500);
        let value = (n % 9 != 0).then(|| format!("{round}-{n}-{}", "v".repeat(n % 120)));
        writeln!(file, "{key}\t{}", value.as_deref().unwrap_or_default()).unwrap();
        last.insert(key, value);
    }
    kcat_with_input(broker, &["-P", "-t", "t", "-p", "0", "-K", "\\t", "-Z"], Some(file.path()));
}

/// Reads from the beginning: the last of each key, and how many records there were.
fn read(broker: &Broker) -> (BTreeMap<String, Option<String>>, usize) {
    let format = "%k\\t%S\\t%s\\n";
    let read = kcat(broker, &["-C", "-t", "t", "-p", "0", "-o", "beginning", "-e", "-f", format]);
    let text = String::from_utf8(read).unwrap();
    let mut last = BTreeMap::new();
    for line in text.lines() {
        let [key, len, value] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        last.insert(key.to_owned(), (len != "-1").then(|| value.to_owned()));
    }
    (last, text.lines().count())
}

#[test]
fn a_compacted_topic_holds_the_last_value_of_each_key_across_restarts() {
    if !needs("a_compacted_topic_holds_the_last_value_of_each_key_across_restarts", "kcat") {
        return;
    }
    let mut broker = Broker::start(EAGER);
    create_topic(&mut RawClient::connect(&broker.address()), "t", 1, SEGMENTED);
    let mut last = BTreeMap::new();
    for round in 0..3 {
        write(&broker, round, 30_000, &mut last);
        wait_clean(&broker, 1.0);
        let (read_back, records) = read(&broker);
        assert_eq!(read_back, last, "round {round}");
        // The active segment is not compacted; before it there is one record a key.
        assert!(records < 15_000, "{records} records in round {round}");
        println!(
            "FIGURE compacted topic, round {round}: {} records written, {records} read",
            (round + 1) * 30_000
        );
        match round {
            0 => assert!(broker.stop().success()),
            1 => broker.kill(),
            _ => break,
        }
        broker.start_again();
        assert_eq!(read(&broker), (last.clone(), records), "after the restart of round {round}");
    }
    let (_, page) = broker.http("/metrics").unwrap();
    assert!(metric(&page, "kafka_log_logcleaner_reclaimed_bytes_total") > 1e6, "{page}");
    let checkpoint = std::fs::read_to_string(broker.data_dir().join("cleaner-offset-checkpoint")).unwrap();
    assert!(checkpoint.starts_with("0\n1\nt 0 "), "{checkpoint}");
}

const GROUP_PARTITIONS: i32 = 40;

fn commit(client: &mut RawClient, offset: i64) {
    let partition = |index| OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: offset + i64::from(index),
        committed_metadata: Some("m".repeat(2_000).into()),
        ..Default::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "t".into(),
        partitions: (0..GROUP_PARTITIONS).map(partition).collect(),
        ..Default::default()
    };
    let request = OffsetCommitRequest { group_id: "g".into(), topics: vec![topic], ..Default::default() };
    let response: OffsetCommitResponse<'_> = client.call(&request, ApiKey::OffsetCommit, 8);
    let is_fine = response.topics[0].partitions.iter().all(|partition| partition.error_code == 0);
    assert!(is_fine, "{response:?}");
}

/// The group's committed offsets; waits while the coordinator is loading.
fn committed(broker: &Broker) -> Vec<(i32, i64)> {
    let deadline = Instant::now() + DEADLINE;
    let mut client = RawClient::connect(&broker.address());
    loop {
        let topic = OffsetFetchRequestTopics {
            name: "t".into(),
            partition_indexes: (0..GROUP_PARTITIONS).collect(),
            ..Default::default()
        };
        let group =
            OffsetFetchRequestGroup { group_id: "g".into(), topics: Some(vec![topic]), ..Default::default() };
        let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
        let response: OffsetFetchResponse<'_> = client.call(&request, ApiKey::OffsetFetch, 8);
        let group = &response.groups[0];
        if group.error_code == 0 {
            let partitions = &group.topics[0].partitions;
            return partitions.iter().map(|found| (found.partition_index, found.committed_offset)).collect();
        }
        assert!(Instant::now() < deadline, "{response:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn committed_offsets_are_the_same_after_their_log_was_compacted() {
    let overrides = ["offsets.topic.num.partitions=1", "offsets.topic.segment.bytes=1048576"];
    let mut broker = Broker::start(&[EAGER, &overrides].concat());
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", GROUP_PARTITIONS, &[]);
    // Creates the offsets topic.
    let find = FindCoordinatorRequest { key: "g".into(), ..Default::default() };
    let _: FindCoordinatorResponse<'_> = client.call(&find, ApiKey::FindCoordinator, 2);
    committed(&broker);
    // 80 KB each: four segments.
    (0..50).for_each(|round| commit(&mut client, round * 100));
    let expected: Vec<_> = (0..GROUP_PARTITIONS).map(|index| (index, 4_900 + i64::from(index))).collect();
    assert_eq!(committed(&broker), expected);
    wait_clean(&broker, 1.0);
    assert_eq!(committed(&broker), expected);
    assert!(broker.stop().success());
    broker.start_again();
    assert_eq!(committed(&broker), expected, "after a clean stop");
    broker.kill();
    broker.start_again();
    assert_eq!(committed(&broker), expected, "after a kill");
    let (_, page) = broker.http("/metrics").unwrap();
    let size = page.lines().find(|line| line.starts_with("kafka_log_log_size{topic=\"__consumer_offsets\""));
    let size: f64 = size.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(size < 1.5e6, "4 MB were written, {size} are left");
}

#[test]
fn a_damaged_batch_is_named_and_the_partition_goes_on() {
    // Off at first, so that the damage is there before the cleaner is.
    let mut broker = Broker::start(&["log.cleaner.enable=false"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 1, SEGMENTED);
    let send = |client: &mut RawClient| {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.append(1_000, Some(b"k"), Some(&vec![7; 300_000]), &[]);
        let answer = produce(client, "t", 0, &builder.build());
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.base_offset
    };
    for offset in 0..8 {
        assert_eq!(send(&mut client), offset);
    }
    assert!(broker.stop().success());
    let path = broker.data_dir().join("t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[400_000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    broker.reconfigure(EAGER);
    broker.start_again();
    wait_until(&broker, "the mark", |page| {
        metric(page, "kafka_log_logcleanermanager_uncleanable_partitions_count") == 1.0
            && page
                .contains("kafka_log_logcleanermanager_uncleanable_partition{topic=\"t\",partition=\"0\"} 1")
    });
    assert!(broker.log().contains("is not compacted any more"), "{}", broker.log());
    let mut client = RawClient::connect(&broker.address());
    let offset = send(&mut client);
    let read = fetch(&mut client, &fetch_request("t", 0, offset, 1 << 20));
    assert_eq!(offsets(&read), [(offset, offset)]);
}

/// The time is a lower bound: a slow machine only makes it longer.
#[test]
fn two_cleaner_threads_keep_to_one_rate_together() {
    const RATE: f64 = 2_000_000.0;
    let settings = ["log.cleaner.threads=2", &format!("log.cleaner.io.max.bytes.per.second={RATE}")];
    let broker = Broker::start(&[EAGER, &settings].concat());
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "t", 2, SEGMENTED);
    let started = Instant::now();
    for partition in 0..2 {
        for round in 0..3_u8 {
            let mut builder = BatchBuilder::new(Codec::None);
            for key in 0..6_u8 {
                builder.append(1_700_000_000_000, Some(&[key]), Some(&[round; 100_000]), &[]);
            }
            assert_eq!(produce(&mut client, "t", partition, &builder.build()).error_code, 0);
        }
    }
    wait_until(&broker, "the second run", |_| broker.log().matches("bytes_before=").count() >= 2);
    let (took, log) = (started.elapsed(), broker.log());
    let bytes_before = |line: &str| {
        let figure = line.split("bytes_before=").nth(1)?.split_whitespace().next()?;
        figure.parse::<f64>().ok()
    };
    let cleaned: Vec<f64> = log.lines().filter_map(bytes_before).collect();
    // Each run reads what it cleans twice: for the map of keys, and to copy what stays.
    let least = Duration::from_secs_f64(2.0 * cleaned.iter().sum::<f64>() / RATE);
    println!("FIGURE two throttled cleaners: {cleaned:?} bytes in {took:?}, at least {least:?}");
    assert!(least > Duration::from_secs(1), "{cleaned:?}");
    assert!(took > least.mul_f64(0.9), "{took:?} for {cleaned:?} bytes");
}
