//! What a scrape of /metrics costs with ten thousand partitions: milliseconds, bytes and allocations, printed.
//!
//! Contents are asserted, times are not: every partition has its series in every family that it belongs to, and
//! the figures of the whole broker say the same number. Allocations are shown by a build that counts them
//! (cargo feature `count-allocations`), and must not grow with the number of partitions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod support;

use std::collections::BTreeMap;
use std::time::Instant;

use logspine_protocol::api_key::ApiKey;
use logspine_protocol::messages::create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse};
use support::Broker;
use support::raw::RawClient;

const TOPICS: usize = 20;
const PARTITIONS_PER_TOPIC: usize = 500;
const PARTITIONS: usize = TOPICS * PARTITIONS_PER_TOPIC;

/// Families with one series per partition.
const PER_PARTITION: &[&str] = &[
    "kafka_topic_partition_current_offset",
    "kafka_topic_partition_oldest_offset",
    "kafka_log_log_size",
    "kafka_log_log_logendoffset",
    "kafka_topic_partition_leader",
    "kafka_topic_partition_leader_is_preferred",
    "kafka_topic_partition_replicas",
    "kafka_topic_partition_in_sync_replica",
    "kafka_topic_partition_under_replicated_partition",
    "kafka_cluster_partition_atminisr",
    "kafka_cluster_partition_underminisr",
];

/// Far below one allocation a partition.
const ALLOCATIONS_MAX: u64 = 2_000;

fn create(client: &mut RawClient, topic: usize) {
    let topic = CreatableTopic {
        name: format!("topic-{topic:02}").into(),
        num_partitions: PARTITIONS_PER_TOPIC as i32,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    let request =
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..CreateTopicsRequest::default() };
    client.patience(std::time::Duration::from_secs(60));
    let response: CreateTopicsResponse<'_> = client.call(&request, ApiKey::CreateTopics, 7);
    assert_eq!(response.topics[0].error_code, 0, "{response:?}");
}

/// Series by family.
fn series(page: &str) -> BTreeMap<&str, usize> {
    let mut families = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).unwrap();
        *families.entry(&line[..end]).or_default() += 1;
    }
    families
}

fn value(page: &str, name: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn ten_thousand_partitions_have_their_series_and_the_scrape_says_what_it_costs() {
    let mut broker = Broker::prepared(&[]);
    // The test is about the scrape: in memory, ten thousand new directories need not wait for a disk.
    if let Ok(dir) = tempfile::tempdir_in("/dev/shm") {
        broker.dir = dir;
    }
    broker.start_again();
    let mut client = RawClient::connect(&broker.address());
    let timer = Instant::now();
    (0..TOPICS).for_each(|topic| create(&mut client, topic));
    let create_ms = timer.elapsed().as_millis();

    let mut scrapes_ms = Vec::new();
    let mut pages = Vec::new();
    for _ in 0..5 {
        let timer = Instant::now();
        let (code, page) = broker.http("/metrics").unwrap();
        scrapes_ms.push(timer.elapsed().as_millis());
        assert_eq!(code, 200);
        pages.push(page);
    }
    scrapes_ms.sort_unstable();
    let page = &pages[4];
    let count = |page| value(page, "logspine_allocations_total");
    let allocations = count(&pages[3]).zip(count(&pages[4])).map(|(before, after)| after - before);
    let families = series(page);
    println!(
        "FIGURE scrape of {PARTITIONS} partitions: {} ms (median of 5), {} bytes, {} series, {} allocations; \
         created in {create_ms} ms; {} KiB resident",
        scrapes_ms[2],
        page.len(),
        families.values().sum::<usize>(),
        allocations.map_or("uncounted".to_owned(), |count| count.to_string()),
        broker.resident_kib(),
    );

    for family in PER_PARTITION {
        assert_eq!(families.get(family), Some(&PARTITIONS), "{family}");
    }
    assert_eq!(families["kafka_topic_partitions"], TOPICS);
    assert_eq!(value(page, "kafka_server_replicamanager_partitioncount"), Some(PARTITIONS as u64));
    assert!(page.contains("kafka_topic_partitions{topic=\"topic-07\"} 500\n"));
    assert!(page.contains("kafka_topic_partition_leader{topic=\"topic-19\",partition=\"499\"} 0\n"));
    if let Some(allocations) = allocations {
        assert!(allocations <= ALLOCATIONS_MAX, "{allocations} allocations a scrape");
    }
}
