//! A damaged batch is never served: whichever bit of a sealed segment flips, a read gives the bytes that were
//! appended or an error, never anything else; the batches before and after the damaged one are served.
//!
//! Each flip is made while the log is closed (nothing is trusted after a start) or while it is open and the file
//! has left the page cache. The judge compares with the file as it was written, not with checksums.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::{HEADER_LEN, iter_batches};
use logspine_protocol::types::Offset;
use logspine_storage::disk::Access;
use logspine_storage::{Disk, Log, LogConfig, LogReader, ReadError, RealDisk};
use support::*;

const BUDGETS: [u32; 3] = [1, 700, 40_000];

/// Where a batch of the first segment is, and which offsets it has.
#[derive(Debug, Clone, Copy)]
struct Spot {
    position: u64,
    len: u64,
    base: i64,
    last: i64,
}

/// A log of two segments on a real file system; the first one is sealed and is the one that rots.
struct Rotting {
    data: tempfile::TempDir,
    disk: Arc<dyn Disk>,
    config: LogConfig,
    end: Offset,
    /// The first segment as it was written.
    sound: Vec<u8>,
    spots: Vec<Spot>,
}

impl Rotting {
    fn new(index_interval_bytes: i32) -> Rotting {
        let data = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let config = LogConfig { segment_bytes: 5_000, index_interval_bytes, ..LogConfig::default() };
        let mut log = Log::open(args_in(&disk, data.path(), &config)).unwrap().0;
        let mut tag = 0;
        while log.reader().segment_count() < 2 {
            log.append_as_leader(
                &batch(tag, 1 + tag as usize % 5, 40 + 10 * (tag as usize % 3)),
                EPOCH,
                NOW_MS,
            )
            .unwrap();
            tag += 1;
        }
        let end = log.close(true).unwrap();
        let sound = std::fs::read(segment(data.path())).unwrap();
        let mut position = 0;
        let spots = iter_batches(&sound).map(|batch| {
            let batch = batch.unwrap();
            let len = batch.total_len() as u64;
            position += len;
            Spot { position: position - len, len, base: batch.base_offset().0, last: batch.last_offset().0 }
        });
        let spots = spots.collect();
        Rotting { data, disk, config, end, sound, spots }
    }

    fn open(&self) -> Log {
        let mut args = args_in(&self.disk, self.data.path(), &self.config);
        (args.recovery_point, args.clean) = (self.end, true);
        Log::open(args).unwrap().0
    }

    fn flip(&self, position: u64, bit: u8) {
        let file = File::options().read(true).write(true).open(segment(self.data.path())).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << bit)], position).unwrap();
    }

    /// Reads at the first and last offset of each batch. What comes must be what was written; how many reads failed,
    /// by batch.
    fn judge(&self, reader: &LogReader, what: &str) -> Vec<usize> {
        let mut failed = vec![0; self.spots.len()];
        for budget in BUDGETS {
            for (number, spot) in self.spots.iter().enumerate() {
                for from in [spot.base, spot.last] {
                    let what = format!("{what}, from {from} within {budget}");
                    match reader.read(Offset(from), self.end, budget, true) {
                        Ok(slice) => {
                            assert_eq!(slice.first_offset.0, spot.base, "{what}");
                            assert_eq!(slice.position, spot.position, "{what}");
                            let (start, len) = (slice.position as usize, slice.len as usize);
                            assert!(len as u64 >= spot.len, "{what}: {len} bytes");
                            let bytes = slice.to_vec().unwrap();
                            assert!(
                                bytes == self.sound[start..start + len],
                                "{what}: damaged bytes were served"
                            );
                        }
                        Err(ReadError::Damaged(_)) => failed[number] += 1,
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
            }
        }
        failed
    }
}

fn segment(data: &Path) -> PathBuf {
    data.join("topic-0").join("00000000000000000000.log")
}

/// Failures at the damaged batch and, where its header no longer leads on, up to the next index entry.
fn check_failed(rotting: &Rotting, failed: &[usize], damaged: usize, reach_bytes: u64, what: &str) {
    let position = rotting.spots[damaged].position;
    assert_eq!(failed[damaged], 2 * BUDGETS.len(), "{what}: its every offset is refused");
    for (number, spot) in rotting.spots.iter().enumerate() {
        let within_reach = number >= damaged && spot.position < position + reach_bytes;
        assert!(
            within_reach || failed[number] == 0,
            "{what}: batch {number} at {} is refused",
            spot.position
        );
    }
}

#[test]
fn whichever_bit_of_a_header_flips_the_batch_is_refused_and_those_before_it_are_served() {
    let rotting = Rotting::new(1_000);
    let damaged = rotting.spots.len() / 2;
    let start = rotting.spots[damaged].position;
    for byte in 0..HEADER_LEN as u64 {
        for bit in [0, 3, 7] {
            let what = format!("bit {bit} of header byte {byte}");
            rotting.flip(start + byte, bit);
            let log = rotting.open();
            let failed = rotting.judge(&log.reader(), &what);
            check_failed(&rotting, &failed, damaged, 2_000, &what);
            let named = log.reader().damaged_batches();
            assert!(named.iter().any(|damage| damage.position == start), "{what}: {named:?}");
            rotting.flip(start + byte, bit);
        }
    }
}

#[test]
fn whichever_record_byte_flips_only_its_own_batch_is_refused() {
    let rotting = Rotting::new(1_000);
    for damaged in [0, 1, rotting.spots.len() / 2, rotting.spots.len() - 1] {
        let Spot { position, len, .. } = rotting.spots[damaged];
        for byte in (HEADER_LEN as u64..len).step_by(7) {
            let what = format!("byte {byte} of batch {damaged}");
            rotting.flip(position + byte, (byte % 8) as u8);
            let log = rotting.open();
            let failed = rotting.judge(&log.reader(), &what);
            check_failed(&rotting, &failed, damaged, 1, &what);
            rotting.flip(position + byte, (byte % 8) as u8);
        }
    }
}

#[test]
fn bytes_that_rot_on_the_disk_while_the_log_is_open_are_refused_and_served_again_once_they_are_whole() {
    let rotting = Rotting::new(1_000);
    let log = rotting.open();
    let reader = log.reader();
    assert!(rotting.judge(&reader, "sound").iter().all(|failed| *failed == 0));
    let file = rotting.disk.open(&segment(rotting.data.path()), Access::Read).unwrap();
    let leave_the_cache = || {
        file.sync_data().unwrap();
        file.evict(0, rotting.sound.len() as u64);
        !file.is_resident(0, rotting.sound.len() as u64)
    };
    let damaged = 7;
    rotting.flip(rotting.spots[damaged].position + 70, 3);
    if !leave_the_cache() {
        println!("the temporary directory's file system drops nothing from the page cache");
        return;
    }
    check_failed(&rotting, &rotting.judge(&reader, "rotten"), damaged, 1, "rotten");
    assert_eq!(reader.damaged_batches().len(), 1);
    rotting.flip(rotting.spots[damaged].position + 70, 3);
    assert!(leave_the_cache());
    assert!(rotting.judge(&reader, "whole again").iter().all(|failed| *failed == 0));
    assert!(reader.damaged_batches().is_empty());
}

#[test]
fn the_scrubber_finds_each_damage_without_a_reader_and_reads_every_byte_once() {
    let rotting = Rotting::new(1_000);
    let damaged = [3, 9, 10, 20];
    for batch in damaged {
        rotting.flip(rotting.spots[batch].position + 65, 0);
    }
    for piece in [1, 500, 2_000, 1 << 20] {
        let log = rotting.open();
        let (reader, mut from, mut bytes, mut steps) = (log.reader(), Offset(0), 0, 0);
        loop {
            let scrubbed = reader.scrub(from, piece).unwrap();
            bytes += scrubbed.bytes;
            steps += 1;
            match scrubbed.next {
                Some(next) => {
                    assert!(next > from, "{next} after {from}");
                    from = next;
                }
                None => break,
            }
        }
        let found: Vec<u64> = reader.damaged_batches().iter().map(|damage| damage.position).collect();
        assert_eq!(found, damaged.map(|batch| rotting.spots[batch].position), "in pieces of {piece}");
        assert!(bytes >= reader.size_bytes(), "{bytes} of {} bytes in {steps} steps", reader.size_bytes());
        if piece == 1 << 20 {
            assert_eq!((bytes, steps), (reader.size_bytes(), 2), "one step for each segment");
        }
    }
}
