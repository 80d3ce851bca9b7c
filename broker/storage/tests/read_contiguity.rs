//! A read is contiguous whatever its byte budget and wherever a segment ends, in one process and after a restart.
//!
//! Random logs are compared with a list of the batches that were appended: each slice holds exactly the batches
//! from the one that contains the offset, none left out, none at or above the limit, and small budgets are used
//! up as far as whole batches allow.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::Offset;
use logspine_storage::sim_disk::{Rng, SimDisk};
use logspine_storage::{Disk, KeyMemory, Log, LogConfig, LogReader, LogSlice, Unpaced};
use support::*;

const BUDGETS: [u32; 12] =
    [1, 60, 100, 333, 1_000, 4_096, 32 << 10, (32 << 10) + 1, 40_000, 64 << 10, 1 << 20, 10 << 20];

/// One batch as it was appended.
struct Appended {
    base: i64,
    last: i64,
    len: usize,
}

struct Model {
    batches: Vec<Appended>,
    segment_bases: Vec<i64>,
}

impl Model {
    fn append(&mut self, log: &mut Log, tag: u64, records: usize, value_len: usize) {
        let bytes = batch(tag, records, value_len);
        let info = log.append_as_leader(&bytes, EPOCH, NOW_MS).unwrap();
        if info.rolled {
            self.segment_bases.push(info.first_offset.0);
        }
        self.batches.push(Appended { base: info.first_offset.0, last: info.last_offset.0, len: bytes.len() });
    }

    /// Checks one read against the list; returns where the next one starts.
    fn check(&self, reader: &LogReader, from: i64, limit: i64, max_bytes: u32, min_one: bool) -> Option<i64> {
        let what = format!("from {from} below {limit} within {max_bytes}, min_one {min_one}");
        let slice = reader.read(Offset(from), Offset(limit), max_bytes, min_one).unwrap();
        let first = self.batches.partition_point(|batch| batch.last < from);
        let visible = self.batches.get(first).filter(|batch| batch.last < limit);
        let Some(expected) = visible.filter(|batch| min_one || batch.len <= max_bytes as usize) else {
            assert!(slice.is_empty(), "{what}: something where nothing is due");
            return None;
        };
        assert!(!slice.is_empty(), "{what}: nothing, where a batch is due");
        assert_eq!(slice.first_offset.0, expected.base, "{what}");
        let content = slice.to_vec().unwrap();
        let mut count = 0;
        for batch in iter_batches(&content) {
            let (batch, expected) = (batch.unwrap(), &self.batches[first + count]);
            assert_eq!(
                (batch.base_offset().0, batch.last_offset().0),
                (expected.base, expected.last),
                "{what}"
            );
            assert!(expected.last < limit, "{what}: a batch at the limit");
            count += 1;
        }
        assert!(content.len() <= max_bytes as usize || count == 1, "{what}: {} bytes", content.len());
        if let Some(next) = self.batches.get(first + count) {
            let could = next.last < limit
                && content.len() + next.len <= max_bytes as usize
                && !self.segment_bases.contains(&next.base);
            assert!(!could || max_bytes > 32 << 10, "{what}: one more batch would have fitted");
        }
        Some(self.batches[first + count - 1].last + 1)
    }

    fn check_everything(&self, reader: &LogReader, rng: &mut Rng) {
        let end = self.batches.last().map_or(0, |batch| batch.last + 1);
        for max_bytes in BUDGETS {
            let mut next = 0;
            while next < end {
                next = self.check(reader, next, end, max_bytes, true).expect("there is data below the end");
            }
            for _ in 0..10 {
                let from = rng.below(end as u64) as i64;
                let limit = rng.below(end as u64 + 1) as i64;
                self.check(reader, from, limit, max_bytes, rng.percent(50));
            }
        }
    }
}

fn run(seed: u64, segment_bytes: i32, batches: u64, value_len_max: u64) {
    println!("seed {seed}");
    let rng = &mut Rng::new(seed);
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let config = LogConfig {
        segment_bytes,
        index_interval_bytes: [0, 200, 4096][rng.below(3) as usize],
        max_message_bytes: 1 << 24,
        ..LogConfig::default()
    };
    let mut log = fresh(&disk, &config);
    let mut model = Model { batches: Vec::new(), segment_bases: vec![0] };
    let append = |log: &mut Log, model: &mut Model, rng: &mut Rng, tag| {
        let value_len = if rng.percent(90) { rng.below(60) } else { rng.below(value_len_max) };
        model.append(log, tag, 1 + rng.below(5) as usize, value_len as usize);
    };
    for tag in 0..batches {
        append(&mut log, &mut model, rng, tag);
    }
    model.check_everything(&log.reader(), rng);
    let end = log.close(true).unwrap();
    let mut log = reopen(&disk, &config, end, Offset(0), true).unwrap().0;
    model.check_everything(&log.reader(), rng);
    for tag in 0..batches / 4 {
        append(&mut log, &mut model, rng, tag);
    }
    model.check_everything(&log.reader(), rng);
    drop(log);
    let recovery_point = Offset(rng.below(end.0 as u64) as i64);
    let log = reopen(&disk, &config, recovery_point, Offset(0), false).unwrap().0;
    model.check_everything(&log.reader(), rng);
}

#[test]
fn with_tiny_segments() {
    for seed in 0..40 {
        run(seed, 2_000, 60, 5_000);
    }
}

#[test]
fn with_segments_of_a_megabyte() {
    for seed in 0..3 {
        run(seed, 1 << 20, 300, 150_000);
    }
}

#[test]
fn with_one_segment_of_many_small_batches() {
    run(7, 1 << 30, 3_000, 2_000);
}

#[test]
fn a_consumer_that_goes_on_where_it_stopped_never_makes_the_broker_read_the_log() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let config = LogConfig { segment_bytes: 3 << 20, ..LogConfig::default() };
    let mut log = fresh(&disk, &config);
    let rng = &mut Rng::new(1);
    for tag in 0..10_000 {
        let bytes = batch(tag, 1 + rng.below(4) as usize, rng.below(400) as usize);
        log.append_as_leader(&bytes, EPOCH, NOW_MS).unwrap();
    }
    let reader = log.reader();
    assert!(reader.segment_count() >= 2);
    let (mut next, mut slices) = (Offset(0), 0);
    while next < reader.log_end() {
        let reads = sim.reads();
        let slice = reader.read(next, reader.log_end(), 64 << 10, true).unwrap();
        assert_eq!(slice.first_offset, next);
        assert_eq!(sim.reads(), reads, "the log was read at {next}");
        next = iter_batches(&slice.to_vec().unwrap()).last().unwrap().unwrap().next_offset();
        slices += 1;
    }
    assert!(slices > 10);
}

/// A consumer that asks with one budget, and reads the bytes of each slice only after it asked for the next.
struct Consumer {
    max_bytes: u32,
    next: Offset,
    held: Option<LogSlice>,
    seen: Vec<i64>,
}

impl Consumer {
    fn step(&mut self, reader: &LogReader) {
        let held = self.held.take().map(|slice| slice.to_vec().unwrap()).unwrap_or_default();
        for batch in iter_batches(&held) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            self.next = self.next.max(batch.next_offset());
            let records = batch.records().unwrap();
            self.seen.extend(records.iter().map(|record| record.unwrap().offset.0));
        }
        let slice = reader.read(self.next, reader.log_end(), self.max_bytes, true).unwrap();
        assert!(!slice.is_empty() || self.next == reader.log_end(), "nothing at {}", self.next);
        self.held = (!slice.is_empty()).then_some(slice);
    }
}

/// Every record that must survive was seen, and none twice or out of order.
fn judge(seen: &[i64], must: &[i64]) -> Result<(), String> {
    if !seen.is_sorted_by(|a, b| a < b) {
        return Err("an offset was seen twice or out of order".to_owned());
    }
    match must.iter().find(|offset| seen.binary_search(offset).is_err()) {
        Some(missed) => Err(format!("offset {missed} was never seen")),
        None => Ok(()),
    }
}

/// Compacts; `between` runs before and after every step of every swap.
fn compact(log: &mut Log, mut between: impl FnMut(&LogReader)) -> u32 {
    let (end, reader, mut swaps) = (log.log_end(), log.reader(), 0);
    let cleanable = log.compaction_scope(end).cleanable(None, NOW_MS);
    let mut compaction = log.begin_compaction(cleanable, NOW_MS).unwrap();
    compaction.map_keys(KeyMemory { bytes: 1 << 20, load_factor: 0.9 }, &mut Unpaced).unwrap();
    while let Some(mut replacement) = compaction.clean_next(&mut Unpaced).unwrap() {
        between(&reader);
        while let Some(sync) = log.swap_step(&mut replacement, NOW_MS).unwrap() {
            between(&reader);
            sync.run().unwrap();
        }
        between(&reader);
        swaps += 1;
    }
    swaps
}

#[test]
fn a_consumer_with_any_budget_misses_no_survivor_while_segments_are_swapped_between_its_reads() {
    let mut swaps = 0;
    for seed in 0..10 {
        println!("seed {seed}");
        let rng = &mut Rng::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let config = LogConfig {
            segment_bytes: 40_000,
            index_interval_bytes: [0, 200, 4096][rng.below(3) as usize],
            file_delete_delay_ms: 0,
            ..LogConfig::default()
        };
        let mut log = fresh(&disk, &config);
        let mut last_of_key = std::collections::BTreeMap::new();
        for offset in 0..600 {
            let key = rng.below(200);
            let mut builder = BatchBuilder::new(Codec::None);
            let value = vec![7; rng.below(600) as usize];
            builder.append(NOW_MS, Some(&key.to_be_bytes()), Some(&value), &[]);
            log.append_as_leader(&builder.build(), EPOCH, NOW_MS).unwrap();
            last_of_key.insert(key, offset);
        }
        let mut must: Vec<i64> = last_of_key.into_values().collect();
        must.sort_unstable();
        let consumer = |max_bytes| Consumer { max_bytes, next: Offset(0), held: None, seen: Vec::new() };
        let mut consumers = BUDGETS.map(consumer);
        swaps += compact(&mut log, |reader| {
            for consumer in &mut consumers {
                consumer.step(reader);
            }
        });
        let reader = log.reader();
        for consumer in &mut consumers {
            while consumer.next < reader.log_end() {
                consumer.step(&reader);
            }
            judge(&consumer.seen, &must).unwrap_or_else(|found| panic!("{}: {found}", consumer.max_bytes));
        }
        let (first, rest) = must.split_first().unwrap();
        assert!(
            judge(rest, &must).is_err_and(|found| found.contains(&first.to_string())),
            "it misses nothing"
        );
    }
    assert!(swaps >= 30, "{swaps} swaps");
}
