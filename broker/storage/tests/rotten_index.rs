//! An index file that lies deletes nothing, keeps nothing for ever, hides no record and answers no question.
//!
//! Index files carry no checksum, so an entry can be wrong and plausible. Each is wrong here on purpose, in a log that was
//! closed cleanly, where indexes are believed most.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::types::Offset;
use logspine_storage::sim_disk::SimDisk;
use logspine_storage::{Disk, Log, LogConfig};
use support::*;

const DAY_MS: i64 = 86_400_000;
const BATCHES: i64 = 40;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_500,
        index_interval_bytes: 100,
        retention_ms: 7 * DAY_MS,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// One record a batch, a second between two of them; closed.
fn filled() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut log = fresh(&disk, &config());
    for number in 0..BATCHES {
        let built = batch_at(NOW_MS + number * 1_000, number as u64, 1, 60);
        log.append_as_leader(&built, EPOCH, NOW_MS).unwrap();
    }
    assert!(log.reader().segment_count() > 2);
    assert_eq!(log.close(true).unwrap(), Offset(BATCHES));
    (sim, disk)
}

fn open(disk: &Arc<dyn Disk>) -> Log {
    reopen(disk, &config(), Offset(BATCHES), Offset(0), true).unwrap().0
}

fn first_segments(name: &str) -> PathBuf {
    Path::new(DATA_DIR).join("topic-0").join(format!("00000000000000000000.{name}"))
}

/// Overwrites bytes of the last entry of a file of `entry_len`-byte entries.
fn forge_last(sim: &SimDisk, name: &str, entry_len: usize, at: usize, value: &[u8]) {
    sim.damage(&first_segments(name), |bytes| {
        let start = bytes.len() - entry_len + at;
        bytes[start..start + value.len()].copy_from_slice(value);
    })
    .unwrap();
}

#[test]
fn a_timestamp_of_long_ago_in_an_index_deletes_nothing() {
    let (sim, disk) = filled();
    forge_last(&sim, "timeindex", 12, 0, &1_000_i64.to_be_bytes());
    let mut log = open(&disk);
    let retained = log.enforce_retention(NOW_MS + DAY_MS, log.log_end()).unwrap();
    assert_eq!((retained.deleted_segments, log.log_start()), (0, Offset(0)));
}

#[test]
fn an_index_that_was_cut_deletes_nothing() {
    let (sim, disk) = filled();
    sim.damage(&first_segments("timeindex"), |bytes| bytes.truncate(12)).unwrap();
    let mut log = open(&disk);
    // Between the age of the entry that is left and that of the segment.
    let now_ms = NOW_MS + 7 * DAY_MS + 4_000;
    assert_eq!(log.enforce_retention(now_ms, log.log_end()).unwrap().deleted_segments, 0);
}

#[test]
fn a_timestamp_of_the_far_future_in_an_index_keeps_nothing_for_ever() {
    let (sim, disk) = filled();
    forge_last(&sim, "timeindex", 12, 0, &(NOW_MS * 3).to_be_bytes());
    let mut log = open(&disk);
    let retained = log.enforce_retention(NOW_MS + 8 * DAY_MS, log.log_end()).unwrap();
    assert!(retained.deleted_segments > 0);
}

#[test]
fn what_is_asked_by_time_is_answered_from_the_records_whatever_the_index_says() {
    for forged in [1_000, NOW_MS + 7_500, NOW_MS * 3, i64::MAX] {
        for entry in 0..3 {
            let (sim, disk) = filled();
            sim.damage(&first_segments("timeindex"), |bytes| {
                bytes[entry * 12..entry * 12 + 8].copy_from_slice(&forged.to_be_bytes());
            })
            .unwrap();
            let reader = open(&disk).reader();
            for number in 0..BATCHES {
                let found = reader.offset_for_timestamp(NOW_MS + number * 1_000 - 500).unwrap().unwrap();
                assert_eq!(found.offset, Offset(number), "entry {entry} says {forged}");
            }
            let youngest = reader.max_timestamp().unwrap().unwrap();
            assert_eq!(youngest.offset, Offset(BATCHES - 1), "entry {entry} says {forged}");
        }
    }
}

#[test]
fn an_entry_that_leads_past_batches_hides_none_of_them() {
    let (sim, disk) = filled();
    let sound = sim.copy();
    let len = batch(0, 1, 60).len() as u32;
    let entries = disk.open(&first_segments("index"), logspine_storage::disk::Access::Read).unwrap();
    for entry in 0..entries.len_bytes().unwrap() as usize / 8 {
        for further in 1..4 {
            let sim = sound.copy();
            sim.damage(&first_segments("index"), |bytes| {
                let position: &mut [u8; 4] = (&mut bytes[entry * 8 + 4..entry * 8 + 8]).try_into().unwrap();
                *position = (u32::from_be_bytes(*position) + further * len).to_be_bytes();
            })
            .unwrap();
            let disk: Arc<dyn Disk> = Arc::new(sim);
            let reader = open(&disk).reader();
            // The second time every byte is known to be sound, and only the index could lead astray.
            for _ in 0..2 {
                for number in 0..BATCHES {
                    for budget in [1, 40_000] {
                        let slice = reader.read(Offset(number), reader.log_end(), budget, true).unwrap();
                        assert_eq!(slice.first_offset, Offset(number), "entry {entry}, {further} further");
                    }
                }
            }
        }
    }
}

#[test]
fn a_truncation_cuts_where_it_should_whatever_the_index_says() {
    let (sim, disk) = filled();
    let len = batch(0, 1, 60).len() as u32;
    let wrong = (5 * len).to_be_bytes();
    sim.damage(&first_segments("index"), |bytes| bytes[4..8].copy_from_slice(&wrong)).unwrap();
    let mut log = open(&disk);
    assert!(log.truncate_to(Offset(4)).unwrap());
    assert_eq!(log.log_end(), Offset(4));
    let bytes = read_all(&log.reader(), Offset(4), 100);
    assert_eq!(bytes.len() as u32, 4 * len);
}
