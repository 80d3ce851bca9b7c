//! A replay of old data does not push the newest out of the page cache: what it brought in is dropped again, and the
//! tail of the log stays. Judged by what is resident, not by time.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::path::PathBuf;

use logspine_protocol::batch::iter_batches;
use logspine_protocol::wire::Records;
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, produce};
use support::page_cache::{drop_file, resident_bytes};
use support::raw::RawClient;

const RECORDS: i64 = 112;
const VALUE_BYTES: usize = 1_000_000;
const SEGMENT_BYTES: &str = "8388608";
const CACHE_BYTES: u64 = 12 << 20;
/// The broker never drops what lies within so many bytes of the end.
const TAIL_BYTES: u64 = 64 << 20;

/// The segments, oldest first, with their sizes.
fn segments(broker: &Broker) -> Vec<(PathBuf, u64)> {
    let dir = broker.data_dir().join("replayed-0");
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    logs.sort();
    logs.into_iter().map(|path| (path.clone(), std::fs::metadata(path).unwrap().len())).collect()
}

/// Reads from the start to the end; the records must come one after the other.
fn replay(client: &mut RawClient) {
    let mut next = 0;
    while next < RECORDS {
        let response = fetch(client, &fetch_request("replayed", 0, next, 1 << 20));
        let bytes = response.responses[0].partitions[0].records.as_ref().and_then(Records::as_bytes);
        for batch in iter_batches(bytes.unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            assert_eq!(batch.base_offset().0, next);
            next += 1;
        }
    }
}

#[test]
fn a_replay_leaves_little_of_the_old_data_in_the_page_cache_and_all_of_the_tail() {
    let cache = format!("fetch.replay.cache.bytes={CACHE_BYTES}");
    let broker = Broker::start(&[&cache, "log.scrub.interval.ms=0"]);
    let mut client = RawClient::connect(&broker.address());
    create_topic(&mut client, "replayed", 1, &[("segment.bytes", SEGMENT_BYTES)]);
    let value = "v".repeat(VALUE_BYTES);
    for offset in 0..RECORDS {
        assert_eq!(produce(&mut client, "replayed", 0, &batch(1_000, &[&value])).base_offset, offset);
    }
    let segments = segments(&broker);
    let total: u64 = segments.iter().map(|(_, len)| len).sum();
    assert!(total > TAIL_BYTES + 4 * CACHE_BYTES / 2, "{total} bytes");
    for (path, _) in &segments {
        drop_file(&std::fs::File::open(path).unwrap());
    }
    let dropped: u64 = segments.iter().map(|(path, _)| resident_bytes(path)).sum();
    if dropped > total / 2 {
        support::skip("a_replay_leaves_little", "this file system keeps what it is told to drop");
        return;
    }
    replay(&mut client);
    // Whole segments that lie before the tail, and whole segments that lie in it.
    let (mut behind, mut old_resident, mut old, mut tail_resident, mut tail) = (total, 0, 0, 0, 0);
    for (path, len) in &segments {
        behind -= len;
        if behind >= TAIL_BYTES {
            old += len;
            old_resident += resident_bytes(path);
        } else if behind + len <= TAIL_BYTES {
            tail += len;
            tail_resident += resident_bytes(path);
        }
    }
    println!(
        "FIGURE resident after a replay: {old_resident} of {old} old bytes, {tail_resident} of {tail} of the tail"
    );
    assert!(old >= 2 * CACHE_BYTES, "{old} old bytes");
    assert!(old_resident <= CACHE_BYTES, "{old_resident} of {old} old bytes stayed");
    assert!(tail_resident >= tail, "{tail_resident} of {tail} bytes of the tail");
    let (_, metrics) = broker.http("/metrics").unwrap();
    let line = metrics.lines().find(|line| line.starts_with("logspine_replay_cache_bytes ")).unwrap();
    assert!(line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() <= CACHE_BYTES, "{line}");
}
