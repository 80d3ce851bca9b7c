//! What compaction promises: of each key the last record, every offset where it was, whoever reads meanwhile and
//! whenever the power goes.
//!
//! Random logs against a simple model. `LOGSPINE_SEED=7` replays one log, `LOGSPINE_SEEDS=1000` widens the run.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod crash;
mod kafka;
mod life;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use life::{DELETE_RETENTION_MS, Life, ROOMY, collect, compact, open_args, within};
use logspine_protocol::types::Offset;
use logspine_storage::LogReader;
use logspine_storage::sim_disk::SimDisk;
use logspine_storage::{CompactionError, Disk, KeyMemory, Log, OpenLog, RealDisk};
use support::NOW_MS;

const DATA: &str = "/data";
const LATER_MS: i64 = NOW_MS + 1_000_000;

fn seeds() -> Vec<u64> {
    let env = |name: &str| std::env::var(name).ok().map(|value| value.parse().expect("a number"));
    match env("LOGSPINE_SEED") {
        Some(seed) => vec![seed],
        None => (0..env("LOGSPINE_SEEDS").unwrap_or(40)).collect(),
    }
}

/// Whatever is wrong with a read is a failure here.
fn read(reader: &LogReader, max_bytes: u32) -> Vec<life::Record> {
    life::read(reader, max_bytes).unwrap()
}

fn sim() -> (SimDisk, Arc<dyn Disk>) {
    let disk = SimDisk::new();
    (disk.clone(), Arc::new(disk))
}

/// Sequences and epochs of the producers; batches older than the newest are not promised.
fn producers(log: &Log) -> Vec<(i64, i32, i16)> {
    log.producers().iter().map(|(id, state)| (id.0, state.last_sequence(), state.epoch.0)).collect()
}

/// The names of all files that are not on their way out, and what tells their contents apart.
fn contents(disk: &SimDisk) -> Vec<(String, usize, u32)> {
    let mut files = disk.dump();
    files.retain(|(path, _)| !path.to_string_lossy().ends_with(".deleted"));
    let told = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
        (path.display().to_string(), bytes.len(), logspine_protocol::batch::crc32c(&bytes))
    };
    files.into_iter().map(told).collect()
}

/// Compacts until nothing is dirty; returns the end of the cleaned part.
fn compact_fully(life: &mut Life, memory: KeyMemory, now_ms: i64) -> (Offset, u32) {
    let (mut checkpoint, last_stable, mut passes) = (None, life.last_stable(), 0);
    loop {
        let scope = life.log.compaction_scope(last_stable);
        let cleanable = scope.cleanable(checkpoint, now_ms);
        if cleanable.first_dirty >= cleanable.first_uncleanable {
            return (cleanable.first_uncleanable, passes);
        }
        compact(&mut life.log, &mut checkpoint, last_stable, memory, now_ms, |_| {}).unwrap();
        passes += 1;
    }
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    let (mut logs, mut before, mut after) = (0, 0, 0);
    for seed in seeds() {
        let (disk, shared) = sim();
        let mut life = Life::live(seed, &shared, Path::new(DATA), 60);
        let was = (life.log.log_start(), life.log.log_end(), producers(&life.log));
        before += life.log.reader().size_bytes();
        let (end, _) = compact_fully(&mut life, ROOMY, LATER_MS);
        after += life.log.reader().size_bytes();
        let expected = life.expected(end);
        for max_bytes in [1, 700, 1 << 20] {
            assert_eq!(read(&life.log.reader(), max_bytes), expected, "LOGSPINE_SEED={seed}");
        }
        assert_eq!(
            (life.log.log_start(), life.log.log_end(), producers(&life.log)),
            was,
            "LOGSPINE_SEED={seed}"
        );
        // Small segments are joined, and markers of transactions that are gone get their horizon. Then, however
        // often and with everything dirty, not a byte changes.
        let settled = (0..5).any(|_| {
            let before = contents(&disk);
            compact_fully(&mut life, ROOMY, LATER_MS);
            contents(&disk) == before
        });
        assert!(settled, "LOGSPINE_SEED={seed}: it changes with every compaction");
        // Nor does a restart, whether what was closed is believed or read again.
        let mut args = open_args(&shared, Path::new(DATA));
        let open = |args: OpenLog| {
            let (log, recovered) = Log::open(args).unwrap();
            assert_eq!((recovered.damage, recovered.truncated_bytes), (None, 0), "LOGSPINE_SEED={seed}");
            assert_eq!(read(&log.reader(), 700), expected, "LOGSPINE_SEED={seed}");
            assert_eq!((log.log_start(), log.log_end(), producers(&log)), was, "LOGSPINE_SEED={seed}");
            log
        };
        let log = open(args.clone());
        args.recovery_point = log.close(true).unwrap();
        args.clean = true;
        open(args);
        logs += 1;
    }
    println!("FIGURE compacted logs: {logs}, {before} bytes to {after}");
}

#[test]
fn several_passes_over_few_keys_at_a_time_come_to_the_same() {
    for seed in seeds().into_iter().take(20) {
        let (_, shared) = sim();
        let mut life = Life::live(seed, &shared, Path::new(DATA), 60);
        let five_keys = KeyMemory { bytes: 24 * 6, load_factor: 0.9 };
        let (end, passes) = compact_fully(&mut life, five_keys, LATER_MS);
        assert_eq!(read(&life.log.reader(), 1 << 20), life.expected(end), "LOGSPINE_SEED={seed}");
        assert!(passes > 3, "LOGSPINE_SEED={seed}: {passes} passes");
    }
}

#[test]
fn a_tombstone_goes_when_its_time_is_over_and_not_before() {
    for seed in seeds().into_iter().take(20) {
        let (_, shared) = sim();
        let mut life = Life::live(seed, &shared, Path::new(DATA), 60);
        let (end, _) = compact_fully(&mut life, ROOMY, LATER_MS);
        let with = life.expected(end);
        compact_fully(&mut life, ROOMY, LATER_MS + DELETE_RETENTION_MS - 1);
        assert_eq!(read(&life.log.reader(), 1 << 20), with, "LOGSPINE_SEED={seed}");
        compact_fully(&mut life, ROOMY, LATER_MS + DELETE_RETENTION_MS);
        let without: Vec<_> =
            with.into_iter().filter(|record| record.offset >= end.0 || record.value.is_some()).collect();
        assert_eq!(read(&life.log.reader(), 1 << 20), without, "LOGSPINE_SEED={seed}");
    }
}

#[test]
fn a_log_goes_on_after_it_was_compacted() {
    let (_, shared) = sim();
    let mut life = Life::live(3, &shared, Path::new(DATA), 60);
    for _ in 0..5 {
        compact_fully(&mut life, ROOMY, LATER_MS);
        life.go_on(30);
    }
    let (end, _) = compact_fully(&mut life, ROOMY, LATER_MS);
    assert_eq!(read(&life.log.reader(), 700), life.expected(end));
}

/// A reader that takes one slice at every step of every swap, and one that holds on to what it got before.
#[test]
fn no_reader_skips_or_repeats_an_offset_across_a_swap() {
    for seed in seeds().into_iter().take(20) {
        let (_, shared) = sim();
        let mut life = Life::live(seed, &shared, Path::new(DATA), 60);
        let before = read(&life.log.reader(), 1 << 20);
        let reader = life.log.reader();
        let held = reader.read(Offset(0), reader.log_end(), 1 << 20, true).unwrap();
        let held_bytes = held.to_vec().unwrap();
        let (mut next, mut seen, mut checkpoint) = (Offset(0), Vec::new(), None);
        let end = reader.log_end();
        let mut walk = |log: &mut Log| {
            let reader = log.reader();
            let slice = reader.read(next, reader.log_end(), 300, true).unwrap();
            next = collect(&slice.to_vec().unwrap(), next, &mut seen).unwrap();
            assert_eq!(held.to_vec().unwrap(), held_bytes, "a slice outlives its segment");
            // Whoever starts now gets a log between the two.
            within(&read(&reader, 700), &before, &[]).unwrap();
            next < end
        };
        let last_stable = life.last_stable();
        let stats = compact(&mut life.log, &mut checkpoint, last_stable, ROOMY, LATER_MS, |log| {
            walk(log);
        })
        .unwrap();
        assert!(stats.bytes_after < stats.bytes_before);
        while walk(&mut life.log) {}
        let must = life.expected(checkpoint.unwrap());
        within(&seen, &before, &must).unwrap_or_else(|error| panic!("LOGSPINE_SEED={seed}: {error}"));
    }
}

#[test]
fn readers_on_other_threads_see_every_surviving_record_while_it_is_compacted() {
    let data = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut life = Life::live(5, &disk, data.path(), 400);
    let before = read(&life.log.reader(), 1 << 20);
    let last_stable = life.last_stable();
    let end = life.log.compaction_scope(last_stable).cleanable(None, LATER_MS).first_uncleanable;
    let must = life.expected(end);
    let done = AtomicBool::new(false);
    let rounds: u32 = std::thread::scope(|scope| {
        let readers = [1, 400, 1 << 20].map(|max_bytes| {
            let (reader, done, before, must) = (life.log.reader(), &done, &before, &must);
            scope.spawn(move || {
                let mut rounds = 0;
                while !done.load(Ordering::Acquire) || rounds == 0 {
                    within(&read(&reader, max_bytes), before, must).unwrap();
                    assert!(reader.offset_for_timestamp(NOW_MS + 100).unwrap().is_some());
                    rounds += 1;
                }
                rounds
            })
        });
        let five_keys = KeyMemory { bytes: 24 * 6, load_factor: 0.9 };
        for memory in [five_keys, ROOMY, ROOMY, ROOMY] {
            compact_fully(&mut life, memory, LATER_MS);
            life.log.take_unlinks(i64::MAX).into_iter().for_each(|unlink| unlink.run().unwrap());
        }
        done.store(true, Ordering::Release);
        readers.map(|reader| reader.join().unwrap()).iter().sum()
    });
    println!("FIGURE whole reads beside a compaction: {rounds}");
    assert_eq!(read(&life.log.reader(), 700), must);
}

#[test]
fn a_damaged_batch_ends_the_attempt_by_name_and_the_log_serves_what_it_did() {
    let data = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut life = Life::live(1, &disk, data.path(), 60);
    let path = data.path().join("topic-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (last_stable, names) = (life.last_stable(), || {
        let names = std::fs::read_dir(data.path().join("topic-0")).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    });
    let before = names();
    let error = compact(&mut life.log, &mut None, last_stable, ROOMY, LATER_MS, |_| {}).unwrap_err();
    let CompactionError::Damaged(damage) = error else { panic!("{error}") };
    assert_eq!(damage.path, path);
    assert!(damage.position <= middle as u64, "{damage}");
    assert_eq!(names(), before, "nothing is left of the attempt");
    let reader = life.log.reader();
    let behind = reader.active_base_offset();
    assert!(!reader.read(behind, reader.log_end(), 1, true).unwrap().is_empty());
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was_and_a_later_attempt_succeeds() {
    let (disk, shared) = sim();
    let mut life = Life::live(2, &shared, Path::new(DATA), 60);
    let (before, last_stable) = (contents(&disk), life.last_stable());
    let all = read(&life.log.reader(), 1 << 20);
    // With 1,000 bytes a group or two find room; those are done.
    for free_bytes in [0, 1_000] {
        disk.set_free_bytes(Some(free_bytes));
        let error = compact(&mut life.log, &mut None, last_stable, ROOMY, LATER_MS, |_| {}).unwrap_err();
        assert!(matches!(error, CompactionError::Storage(_)), "{error}");
        let left = contents(&disk);
        assert!(free_bytes > 0 || left == before);
        assert!(left.iter().all(|(path, ..)| !path.ends_with(".cleaned")), "{left:?}");
        within(&read(&life.log.reader(), 700), &all, &life.expected(last_stable)).unwrap();
    }
    disk.set_free_bytes(None);
    let (end, _) = compact_fully(&mut life, ROOMY, LATER_MS);
    assert_eq!(read(&life.log.reader(), 700), life.expected(end));
}

#[test]
fn retention_that_takes_the_segments_away_meanwhile_wins() {
    let (disk, shared) = sim();
    let mut life = Life::live(4, &shared, Path::new(DATA), 60);
    let last_stable = life.last_stable();
    let mut config = life.log.config().clone();
    config.retention_bytes = 0;
    life.log.update_config(config);
    let mut deleted = 0;
    let error = compact(&mut life.log, &mut None, last_stable, ROOMY, LATER_MS, |log| {
        deleted += log.enforce_retention(LATER_MS, last_stable).unwrap().deleted_segments;
    })
    .unwrap_err();
    assert!(matches!(error, CompactionError::Overtaken), "{error}");
    assert!(deleted > 0);
    let left = contents(&disk);
    assert!(left.iter().all(|(path, ..)| !path.contains(".swap")), "{left:?}");
    read(&life.log.reader(), 700);
}

#[test]
fn a_truncation_in_the_middle_of_a_swap_settles_it_first() {
    let mut settled = 0;
    for stop_at in 0..8 {
        let (disk, shared) = sim();
        let mut life = Life::live(4, &shared, Path::new(DATA), 60);
        let (last_stable, before) = (life.last_stable(), read(&life.log.reader(), 1 << 20));
        let (mut steps, cut) = (0, life.log.log_end() + -5);
        let result = compact(&mut life.log, &mut None, last_stable, ROOMY, LATER_MS, |log| {
            if steps == stop_at {
                assert!(log.truncate_to(cut).unwrap());
                let unfinished = contents(&disk).into_iter().find(|(path, ..)| path.ends_with(".swap"));
                assert_eq!(unfinished, None, "at step {stop_at}");
            }
            steps += 1;
        });
        settled += u32::from(matches!(result, Err(CompactionError::Overtaken)));
        let kept: Vec<_> = before.into_iter().filter(|record| record.offset < life.log.log_end().0).collect();
        let must: Vec<_> =
            life.expected(last_stable).into_iter().filter(|record| kept.contains(record)).collect();
        within(&read(&life.log.reader(), 700), &kept, &must)
            .unwrap_or_else(|error| panic!("{stop_at}: {error}"));
        let args = open_args(&shared, Path::new(DATA));
        within(&read(&Log::open(args).unwrap().0.reader(), 700), &kept, &must).unwrap();
    }
    assert!(settled > 0, "no swap was cut off");
}

#[test]
fn a_log_that_is_compacted_and_deleted_loses_its_old_segments_as_well() {
    let policy = |delete| logspine_storage::config::CleanupPolicy { delete, compact: true };
    for (delete, expected) in [(false, false), (true, true)] {
        let (_, shared) = sim();
        let mut life = Life::live(4, &shared, Path::new(DATA), 60);
        let mut config = life.log.config().clone();
        (config.cleanup_policy, config.retention_bytes) = (policy(delete), 0);
        life.log.update_config(config);
        compact_fully(&mut life, ROOMY, LATER_MS);
        let retained = life.log.enforce_retention(LATER_MS, life.last_stable()).unwrap();
        assert_eq!(retained.deleted_segments > 0, expected, "delete={delete}");
        assert_eq!(life.log.log_start() > Offset(0), expected);
        // What is left is compacted from the new log start on.
        compact_fully(&mut life, ROOMY, LATER_MS);
        read(&life.log.reader(), 700);
    }
}
