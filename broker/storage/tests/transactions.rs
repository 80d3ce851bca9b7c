//! What a log promises about transactions: where read_committed stops, and which records it must leave out,
//! before and after a crash.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, ControlRecord, ControlRecordType};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};
use logspine_storage::sim_disk::SimDisk;
use logspine_storage::{Disk, Log, LogConfig, LogReader, OpenLog};
use support::*;

/// Small enough for a roll every few batches.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 600, ..LogConfig::default() }
}

/// One record of an open transaction; returns its offset.
fn send(log: &mut Log, producer: i64, sequence: i32) -> i64 {
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(producer), ProducerEpoch(0), sequence)
        .transactional();
    builder.append(NOW_MS, None, Some(&[7; 80]), &[]);
    log.append_as_leader(&builder.build(), EPOCH, NOW_MS).unwrap().first_offset.0
}

fn end(log: &mut Log, producer: i64, kind: ControlRecordType) -> i64 {
    let (key, value) = ControlRecord { kind, coordinator_epoch: 1 }.encode();
    let mut marker = BatchBuilder::new(Codec::None)
        .producer(ProducerId(producer), ProducerEpoch(0), -1)
        .transactional()
        .control();
    marker.append(NOW_MS, Some(&key), Some(&value), &[]);
    log.append_as_leader(&marker.build(), EPOCH, NOW_MS).unwrap().first_offset.0
}

/// Producer and first offset of what a reader that walks the whole log is told to leave out, each once.
fn told(reader: &LogReader) -> Vec<(i64, i64)> {
    let (mut told, mut next) = (Vec::new(), reader.log_start());
    while next < reader.log_end() {
        let slice = reader.read(next, reader.log_end(), 1, true).unwrap();
        let aborted = reader.aborted_transactions(&slice, reader.log_end()).unwrap();
        let bytes = slice.to_vec().unwrap();
        next = logspine_protocol::batch::BatchView::parse(&bytes).unwrap().0.next_offset();
        assert!(aborted.iter().all(|txn| txn.first_offset < next && txn.last_offset >= slice.first_offset));
        told.extend(aborted.iter().map(|txn| (txn.producer_id.0, txn.first_offset.0)));
    }
    told.sort_unstable();
    told.dedup();
    told
}

/// Ten rounds of three producers: one commits, one aborts, one aborts every third round only, so that its
/// transactions span segments. Returns what readers must be told.
fn fill(log: &mut Log) -> Vec<(i64, i64)> {
    let (mut aborted, mut long) = (Vec::new(), None);
    for round in 0..10 {
        send(log, 1, round * 2);
        let first = send(log, 2, round);
        long.get_or_insert(send(log, 3, round));
        send(log, 1, round * 2 + 1);
        end(log, 1, ControlRecordType::Commit);
        end(log, 2, ControlRecordType::Abort);
        aborted.push((2, first));
        if round % 3 == 2 {
            end(log, 3, ControlRecordType::Abort);
            aborted.extend(long.take().map(|first| (3, first)));
        }
    }
    aborted.sort_unstable();
    aborted
}

#[test]
fn readers_are_told_every_aborted_transaction_that_their_slice_touches() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let mut log = fresh(&disk, &config());
    let aborted = fill(&mut log);
    assert!(log.reader().segment_count() > 5, "transactions must span segments to prove anything");
    assert_eq!(told(&log.reader()), aborted);
}

#[test]
fn a_power_cut_or_a_lost_index_changes_nothing_of_it() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let mut log = fresh(&disk, &config());
    let aborted = fill(&mut log);
    let unstable = log.first_unstable_offset();
    assert!(flush(&mut log));
    sim.power_cut(1);
    let reopened = Log::open(args(&disk, &config())).unwrap().0;
    assert_eq!(told(&reopened.reader()), aborted);
    let recovery_point = reopened.close(true).unwrap();

    // Believed as they are, then torn in the middle, and then gone.
    let mut indexes = disk.list(&args(&disk, &config()).dir).unwrap();
    indexes.retain(|entry| entry.name.ends_with(".txnindex"));
    assert!(indexes.len() > 3);
    let clean = OpenLog { recovery_point, clean: true, ..args(&disk, &config()) };
    for len_bytes in [None, Some(20)] {
        let path = clean.dir.join(&indexes[1].name);
        if let Some(len_bytes) = len_bytes {
            disk.open(&path, logspine_storage::disk::Access::Write).unwrap().truncate(len_bytes).unwrap();
        }
        let log = Log::open(clean.clone()).unwrap().0;
        assert_eq!(told(&log.reader()), aborted);
        assert_eq!(log.first_unstable_offset().is_some(), unstable.is_some());
        log.close(true).unwrap();
    }
}

#[test]
fn a_transaction_holds_the_stable_offset_back_until_its_marker_is_committed() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let mut log = fresh(&disk, &config());
    log.append_as_leader(&batch(1, 2, 8), EPOCH, NOW_MS).unwrap();
    assert_eq!(log.first_unstable_offset(), None);
    let (first, second) = (send(&mut log, 1, 0), send(&mut log, 2, 0));
    assert_eq!(log.first_unstable_offset(), Some(Offset(first)));
    let marker = end(&mut log, 1, ControlRecordType::Commit);
    log.high_watermark_moved(Offset(marker));
    assert_eq!(log.first_unstable_offset(), Some(Offset(first)), "the marker is not below the watermark");
    log.high_watermark_moved(Offset(marker + 1));
    assert_eq!(log.first_unstable_offset(), Some(Offset(second)));
}

#[test]
fn a_truncation_opens_what_its_lost_marker_had_ended() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let mut log = fresh(&disk, &config());
    let first = send(&mut log, 1, 0);
    let marker = end(&mut log, 1, ControlRecordType::Abort);
    log.high_watermark_moved(Offset(marker + 1));
    assert_eq!((told(&log.reader()), log.first_unstable_offset()), (vec![(1, first)], None));
    assert!(log.truncate_to(Offset(marker)).unwrap());
    assert_eq!((told(&log.reader()), log.first_unstable_offset()), (vec![], Some(Offset(first))));
    let marker = end(&mut log, 1, ControlRecordType::Abort);
    assert_eq!((told(&log.reader()), marker), (vec![(1, first)], 1));
}
