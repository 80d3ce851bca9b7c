//! Bit rot under a whole broker: a damaged batch is never served, the batches around it are, others are not
//! concerned, and partition, file and position are named in the log, in the metrics and at `/status`.
//!
//! The judge compares contents with what was produced and computes each batch's checksum as a client does.

#![allow(clippy::unwrap_used, reason = "a test that meets an error has failed")]

mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use logspine_protocol::batch::{BatchError, BatchView, HEADER_LEN, iter_batches, patch_offset_and_epoch};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_protocol::wire::Records;
use support::Broker;
use support::calls::{batch, create_topic, fetch, fetch_request, produce};
use support::page_cache;
use support::raw::RawClient;

/// Batches of one record, larger than a page, so that a damaged one shares few pages with its neighbours.
const VALUE_BYTES: usize = 9_000;
const RECORDS: i64 = 160;
/// The smallest that the broker takes: the first segment is sealed after this.
const SEGMENT_BYTES: &str = "1048576";

fn value(offset: i64) -> String {
    format!("{offset:09}").repeat(VALUE_BYTES / 9)
}

struct Rotting {
    broker: Broker,
    client: RawClient,
}

impl Rotting {
    /// Two topics whose first segment is sealed.
    fn start(overrides: &[&str]) -> Rotting {
        let broker = Broker::start(overrides);
        let mut client = RawClient::connect(&broker.address());
        create_topic(&mut client, "written", 1, &[]);
        for topic in ["rotten", "sound"] {
            create_topic(&mut client, topic, 1, &[("segment.bytes", SEGMENT_BYTES)]);
            for offset in 0..RECORDS {
                let produced = produce(&mut client, topic, 0, &batch(1_000 + offset, &[&value(offset)]));
                assert_eq!((produced.error_code, produced.base_offset), (0, offset));
            }
        }
        Rotting { broker, client }
    }

    fn segment(&self, topic: &str) -> PathBuf {
        self.broker.data_dir().join(format!("{topic}-0")).join("00000000000000000000.log")
    }

    /// Flips one bit on the disk: the page cache forgets the file before and after.
    fn flip(&self, topic: &str, position: u64) {
        let file = File::options().read(true).write(true).open(self.segment(topic)).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, position).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], position).unwrap();
        file.sync_all().unwrap();
        page_cache::drop_file(&file);
    }

    /// Reads one answer at an offset: the offsets that came and the error code. Each byte that comes is judged.
    fn read(&mut self, topic: &str, from: i64, bytes_max: i32) -> (Vec<i64>, i16) {
        let response = fetch(&mut self.client, &fetch_request(topic, 0, from, bytes_max));
        let partition = &response.responses[0].partitions[0];
        let bytes = partition.records.as_ref().and_then(Records::as_bytes).unwrap_or_default();
        (judge(bytes).unwrap_or_else(|found| panic!("{topic} from {from}: {found}")), partition.error_code)
    }

    /// Reads on and on as a consumer does: everything that came, and the error that ended it.
    fn consume(&mut self, topic: &str, mut from: i64, bytes_max: i32) -> (Vec<i64>, i16) {
        let mut seen = Vec::new();
        while from < RECORDS {
            let (offsets, error) = self.read(topic, from, bytes_max);
            let Some(last) = offsets.last() else { return (seen, error) };
            from = last + 1;
            seen.extend(offsets);
        }
        (seen, 0)
    }

    /// What the broker says of damage.
    fn status(&self) -> String {
        let (_, body) = self.broker.http("/status").unwrap();
        body[body.find("damagedBatches").unwrap()..].to_owned()
    }

    fn judge_names(&self, position: u64) {
        let status = self.status();
        for word in ["rotten", "00000000000000000000.log", &format!("\"position\":{position}")] {
            assert!(status.contains(word), "{word} in {status}");
        }
        let (_, metrics) = self.broker.http("/metrics").unwrap();
        let series = format!(
            "logspine_damaged_batch_offset{{topic=\"rotten\",partition=\"0\",file=\"00000000000000000000.log\",position=\"{position}\"}}"
        );
        assert!(metrics.contains(&series), "{series}");
        let log = self.broker.log();
        assert!(
            log.contains(&format!("rotten-0/00000000000000000000.log is damaged at byte {position}")),
            "{log}"
        );
    }
}

/// The offsets of what came, if every byte is as it was produced.
fn judge(bytes: &[u8]) -> Result<Vec<i64>, String> {
    let offset = |batch: Result<BatchView<'_>, BatchError>| {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.verify_crc().map_err(|error| error.to_string())?;
        let records = batch.records().map_err(|error| error.to_string())?;
        let record = records.iter().next().ok_or("no record")?.map_err(|error| error.to_string())?;
        let offset = record.offset.0;
        let is_whole =
            record.value == Some(value(offset).as_bytes()) && batch.partition_leader_epoch().0 == 0;
        if is_whole { Ok(offset) } else { Err(format!("offset {offset} is not what was produced")) }
    };
    iter_batches(bytes).map(offset).collect()
}

#[test]
fn the_judge_sees_a_bit_that_flipped_anywhere_in_a_batch() {
    let mut sound = batch(1_000, &[&value(7)]);
    let header = sound.first_chunk_mut::<HEADER_LEN>().unwrap();
    patch_offset_and_epoch(header, Offset(7), LeaderEpoch(0));
    assert_eq!(judge(&sound), Ok(vec![7]));
    for position in (0..100).chain([5_000, sound.len() - 1]) {
        let mut flipped = sound.clone();
        flipped[position] ^= 0x10;
        assert!(judge(&flipped).is_err(), "byte {position}");
    }
}

fn batch_bytes() -> u64 {
    batch(1_000, &[&value(0)]).len() as u64
}

fn storage_error() -> i16 {
    ErrorCode::KafkaStorageError.code()
}

/// The whole story for one damage in the batch of offset 40, at `byte` of it.
fn story(rotting: &mut Rotting, byte: u64) {
    let position = 40 * batch_bytes();
    for bytes_max in [1, 100_000, i32::MAX] {
        let (seen, error) = rotting.consume("rotten", 0, bytes_max);
        assert_eq!(seen, (0..40).collect::<Vec<_>>(), "byte {byte}: everything before the damage");
        assert_eq!(error, storage_error());
        let (seen, error) = rotting.consume("rotten", 42, bytes_max);
        assert_eq!(
            seen,
            (42..RECORDS).collect::<Vec<_>>(),
            "byte {byte}: whoever asks from beyond is served"
        );
        assert_eq!(error, 0);
        let (seen, _) = rotting.consume("sound", 0, bytes_max);
        assert_eq!(seen.len() as i64, RECORDS, "another partition is not concerned");
    }
    rotting.judge_names(position);
    let next = produce(&mut rotting.client, "written", 0, &batch(1, &["x"]));
    assert_eq!(next.error_code, 0);
}

#[test]
fn a_bit_that_flips_on_the_disk_while_the_broker_runs_reaches_no_client() {
    let mut rotting = Rotting::start(&["log.scrub.interval.ms=0"]);
    let (seen, _) = rotting.consume("rotten", 0, i32::MAX);
    assert_eq!(seen.len() as i64, RECORDS, "all of it is read, and so verified, before it rots");
    let position = 40 * batch_bytes();
    for byte in [5_000, 8_999, 70, 6, 15, 9] {
        rotting.flip("rotten", position + byte);
        story(&mut rotting, byte);
        rotting.flip("rotten", position + byte);
        let (seen, _) = rotting.consume("rotten", 0, i32::MAX);
        assert_eq!(seen.len() as i64, RECORDS, "whole again");
        assert!(!rotting.status().contains("rotten"), "{}", rotting.status());
    }
}

#[test]
fn a_bit_that_flipped_while_the_broker_was_stopped_reaches_no_client() {
    let mut rotting = Rotting::start(&["log.scrub.interval.ms=0"]);
    for byte in [5_000, 6] {
        assert!(rotting.broker.stop().success());
        rotting.flip("rotten", 40 * batch_bytes() + byte);
        rotting.broker.start_again();
        rotting.client = RawClient::connect(&rotting.broker.address());
        story(&mut rotting, byte);
        rotting.flip("rotten", 40 * batch_bytes() + byte);
    }
}

#[test]
fn the_scrubber_finds_a_damage_that_nobody_reads() {
    let rotting = Rotting::start(&["log.scrub.interval.ms=1000"]);
    let position = 40 * batch_bytes();
    rotting.flip("rotten", position + 5_000);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !rotting.status().contains("rotten") {
        assert!(Instant::now() < deadline, "not found: {}", rotting.broker.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    rotting.judge_names(position);
    let (_, metrics) = rotting.broker.http("/metrics").unwrap();
    assert!(!metrics.contains("logspine_scrub_bytes_total 0"), "{metrics}");
}
