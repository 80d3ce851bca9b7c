//! What a log promises to its owner, one promise each.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::{BatchView, iter_batches};
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_storage::config::CleanupPolicy;
use logspine_storage::disk::Access;
use logspine_storage::sim_disk::{Op, Replay, SimDisk};
use logspine_storage::{AppendError, Disk, LogConfig, ReadError};
use support::*;

fn sim() -> (SimDisk, Arc<dyn Disk>) {
    let sim = SimDisk::new();
    (sim.clone(), Arc::new(sim))
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 1_000, index_interval_bytes: 200, ..LogConfig::default() }
}

#[test]
fn a_leader_assigns_offsets_and_stores_the_rest_verbatim() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    let (first, second) = (batch(1, 3, 10), batch(2, 2, 10));
    assert_eq!(log.append_as_leader(&first, LeaderEpoch(4), NOW_MS).unwrap().last_offset, Offset(2));
    let info = log.append_as_leader(&second, LeaderEpoch(4), NOW_MS).unwrap();
    assert_eq!(
        (info.first_offset, info.last_offset, info.duplicate, info.rolled),
        (Offset(3), Offset(4), false, false)
    );
    let stored = read_all(&log.reader(), Offset(5), 1 << 20);
    let batches: Vec<_> = iter_batches(&stored).map(|batch| batch.unwrap()).collect();
    for (batch, original) in batches.iter().zip([&first, &second]) {
        batch.verify_crc().unwrap();
        assert_eq!(batch.partition_leader_epoch(), LeaderEpoch(4));
        assert_eq!(batch.bytes()[16..], original[16..]);
    }
    assert_eq!(log.leader_epoch(), Some(LeaderEpoch(4)));
}

#[test]
fn a_read_starts_with_the_batch_that_contains_the_offset_and_stops_below_the_limit() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    for tag in 0..10 {
        log.append_as_leader(&batch(tag, 10, 4), EPOCH, NOW_MS).unwrap();
    }
    let reader = log.reader();
    let slice = reader.read(Offset(35), Offset(70), 1 << 20, true).unwrap();
    let content = slice.to_vec().unwrap();
    let ends: Vec<_> = iter_batches(&content).map(|batch| batch.unwrap().next_offset().0).collect();
    assert_eq!((slice.first_offset, ends), (Offset(30), vec![40, 50, 60, 70]));
    // A limit inside of a batch hides it.
    let content = reader.read(Offset(30), Offset(45), 1 << 20, true).unwrap().to_vec().unwrap();
    assert_eq!(iter_batches(&content).count(), 1);
    assert!(reader.read(Offset(30), Offset(39), 1 << 20, true).unwrap().is_empty());
    assert!(reader.read(Offset(30), Offset(30), 1 << 20, true).unwrap().is_empty());
    assert!(reader.read(Offset(100), Offset(100), 1 << 20, true).unwrap().is_empty());
    assert!(reader.read(Offset(30), Offset(70), 10, false).unwrap().is_empty());
    assert!(matches!(reader.read(Offset(101), Offset(200), 1, true), Err(ReadError::OutOfRange { .. })));
}

#[test]
fn retries_are_answered_with_their_old_offsets_even_after_recovery() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for n in 0..20 {
        log.append_as_leader(&produced(1, 0, n * 10, 10), EPOCH, NOW_MS).unwrap();
    }
    let retry = |log: &mut logspine_storage::Log, n: i32| {
        let info = log.append_as_leader(&produced(1, 0, n * 10, 10), EPOCH, NOW_MS).unwrap();
        assert!(info.duplicate);
        info.first_offset
    };
    assert_eq!(retry(&mut log, 15), Offset(150));
    assert!(matches!(
        log.append_as_leader(&produced(1, 0, 0, 10), EPOCH, NOW_MS),
        Err(AppendError::OutOfOrderSequence { sequence: 0, last_sequence: 199, .. })
    ));
    assert!(log.reader().segment_count() > 3);
    drop(log);
    for clean in [false, true] {
        let (mut log, recovered) = reopen(&disk, &small_segments(), Offset(0), Offset(0), clean).unwrap();
        assert_eq!(recovered.truncated_bytes, 0);
        assert_eq!(retry(&mut log, 19), Offset(190));
        log.close(true).unwrap();
    }
}

#[test]
fn a_clean_close_lets_the_next_start_believe_everything() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for tag in 0..30 {
        log.append_as_leader(&batch(tag, 2, 30), LeaderEpoch(tag as i32 / 10), NOW_MS + tag as i64).unwrap();
    }
    let before = read_all(&log.reader(), Offset(60), 100);
    assert_eq!(log.close(true).unwrap(), Offset(60));
    let (mut log, recovered) = reopen(&disk, &small_segments(), Offset(60), Offset(0), true).unwrap();
    assert_eq!((recovered.scanned_bytes, log.log_end(), log.durable_end()), (0, Offset(60), Offset(60)));
    for max_bytes in [1, 100, 40_000] {
        assert_eq!(read_all(&log.reader(), Offset(60), max_bytes), before);
    }
    assert_eq!(log.reader().end_offset_for_epoch(LeaderEpoch(1)).unwrap().end_offset, Offset(40));
    log.append_as_leader(&batch(99, 1, 30), LeaderEpoch(2), NOW_MS).unwrap();
    assert_eq!(read_all(&log.reader(), Offset(61), 40_000).len(), before.len() + batch(99, 1, 30).len());
}

#[test]
fn the_durable_end_moves_with_a_finished_flush_and_not_before() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    let job = log.begin_flush().unwrap();
    log.append_as_leader(&batch(2, 5, 4), EPOCH, NOW_MS).unwrap();
    assert!(log.begin_flush().is_none(), "one flush at a time");
    let done = job.run();
    assert_eq!(log.durable_end(), Offset(0));
    assert_eq!(log.end_flush(done).unwrap().offset, Offset(5));
    assert_eq!(log.durable_end(), Offset(5));
    assert!(flush(&mut log));
    assert_eq!(log.durable_end(), Offset(10));
    assert!(log.begin_flush().is_none(), "nothing is dirty");
}

#[test]
fn a_flush_of_what_is_sealed_ends_where_the_active_segment_begins_and_does_not_touch_its_file() {
    let (sim, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    assert!(log.begin_flush_of_sealed().is_none(), "nothing is sealed");
    for seed in 0..12 {
        log.append_as_leader(&batch(seed, 5, 30), EPOCH, NOW_MS).unwrap();
    }
    let job = log.begin_flush_of_sealed().unwrap();
    assert!(!job.holds_appends());
    log.append_as_leader(&batch(12, 5, 30), EPOCH, NOW_MS).unwrap();
    let done = job.run();
    let vouched_for = log.end_flush(done).unwrap().offset;
    assert!(Offset(0) < vouched_for && vouched_for < Offset(60), "{vouched_for}");
    let sealed = read_all(&log.reader(), vouched_for, 40_000);
    drop(log);
    sim.power_cut(7);
    let (log, _) = reopen(&disk, &small_segments(), Offset(0), Offset(0), false).unwrap();
    assert_eq!(read_all(&log.reader(), vouched_for, 40_000), sealed);
}

#[test]
fn a_flush_overtaken_by_a_truncation_vouches_only_for_what_is_left() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    log.append_as_leader(&batch(2, 5, 4), EPOCH, NOW_MS).unwrap();
    let done = log.begin_flush().unwrap().run();
    assert!(log.truncate_to(Offset(5)).unwrap());
    log.append_as_leader(&batch(3, 5, 4), EPOCH, NOW_MS).unwrap();
    assert_eq!(log.end_flush(done).unwrap().offset, Offset(5));
}

#[test]
fn a_failed_sync_poisons_the_log_for_good() {
    let (sim, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    sim.fail_syncs(1);
    assert!(!flush(&mut log));
    assert_eq!(log.durable_end(), Offset(0));
    assert!(log.begin_flush().is_none());
    let refused = log.append_as_leader(&batch(2, 5, 4), EPOCH, NOW_MS).unwrap_err();
    assert!(matches!(refused, AppendError::Poisoned(_)), "{refused}");
    assert!(log.truncate_to(Offset(0)).is_err());
    assert!(log.close(true).is_err());
}

#[test]
fn a_full_disk_refuses_the_batch_and_keeps_the_log() {
    let (sim, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    let before = files(&*disk);
    sim.set_free_bytes(Some(50));
    assert!(log.append_as_leader(&batch(2, 5, 4), EPOCH, NOW_MS).is_err());
    assert_eq!(files(&*disk), before);
    sim.set_free_bytes(None);
    log.append_as_leader(&batch(3, 5, 4), EPOCH, NOW_MS).unwrap();
    assert_eq!(iter_batches(&read_all(&log.reader(), Offset(10), 1 << 20)).count(), 2);
}

#[test]
fn what_a_refused_write_left_is_cut_before_the_next_append_and_poisons_nothing() {
    let (sim, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    assert!(flush(&mut log));
    sim.fail_operation(0, std::io::ErrorKind::StorageFull); // The write, of which a part arrives,
    sim.fail_operation(1, std::io::ErrorKind::ReadOnlyFilesystem); // and cutting that off.
    assert!(log.append_as_leader(&batch(2, 50, 400), EPOCH, NOW_MS).is_err());
    sim.fail_operation(0, std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(log.append_as_leader(&batch(3, 5, 4), EPOCH, NOW_MS).is_err(), "nothing is written over it");
    log.check_poison().unwrap();
    log.append_as_leader(&batch(3, 5, 4), EPOCH, NOW_MS).unwrap();
    assert!(flush(&mut log));
    assert_eq!(iter_batches(&read_all(&log.reader(), Offset(10), 1 << 20)).count(), 2);
    let size_bytes = log.reader().size_bytes();
    let on_disk = sim.dump().into_iter().find(|(path, _)| path.to_string_lossy().ends_with(".log"));
    assert_eq!(on_disk.unwrap().1.len() as u64, size_bytes, "no garbage behind the last batch");
}

#[test]
fn a_flush_that_finds_no_room_for_a_small_file_is_done_by_the_next() {
    let (sim, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    sim.set_free_bytes(Some(0));
    let done = log.begin_flush().unwrap().run();
    assert!(done.refused().is_some() && !done.is_ok());
    assert_eq!(log.end_flush(done).unwrap().offset, Offset(0));
    log.check_poison().unwrap();
    sim.set_free_bytes(None);
    assert!(flush(&mut log));
    assert_eq!(log.durable_end(), Offset(5));
}

#[test]
fn a_batch_larger_than_the_topic_takes_is_refused() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig { max_message_bytes: 200, ..LogConfig::default() });
    let error = log.append_as_leader(&batch(1, 1, 300), EPOCH, NOW_MS).unwrap_err();
    assert!(matches!(error, AppendError::RecordTooLarge { max_message_bytes: 200, .. }));
}

#[test]
fn log_append_time_is_set_and_reported() {
    let (_, disk) = sim();
    let mut config = LogConfig::default();
    config.set("message.timestamp.type", "LogAppendTime").unwrap();
    let mut log = fresh(&disk, &config);
    let info = log.append_as_leader(&batch_at(5, 1, 2, 4), EPOCH, NOW_MS).unwrap();
    assert_eq!((info.log_append_time_ms, info.max_timestamp), (NOW_MS, NOW_MS));
    let bytes = read_all(&log.reader(), Offset(2), 1 << 20);
    let (batch, _) = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    assert_eq!(batch.max_timestamp(), NOW_MS);
}

#[test]
fn a_follower_takes_what_continues_its_log_and_nothing_else() {
    let (_, disk) = sim();
    let mut leader = fresh(&disk, &LogConfig::default());
    for tag in 0..6 {
        leader.append_as_leader(&batch(tag, 2, 4), LeaderEpoch(tag as i32 / 2), NOW_MS).unwrap();
    }
    let bytes = read_all(&leader.reader(), Offset(12), 1 << 20);
    let (_, disk) = sim();
    let mut follower = fresh(&disk, &LogConfig::default());
    let half = bytes.len() / 2;
    assert_eq!(follower.append_as_follower(&bytes[..half]).unwrap().last_offset, Offset(5));
    assert!(matches!(
        follower.append_as_follower(&bytes[..half]),
        Err(AppendError::NotContiguous { expected: Offset(6), found: Offset(0) })
    ));
    let mut rotten = bytes[half..].to_vec();
    let last = rotten.len() - 1;
    rotten[last] ^= 1;
    assert!(matches!(follower.append_as_follower(&rotten), Err(AppendError::Batch(_))));
    assert_eq!(follower.log_end(), Offset(6));
    follower.append_as_follower(&bytes[half..]).unwrap();
    assert_eq!(read_all(&follower.reader(), Offset(12), 50), bytes);
    assert_eq!(follower.reader().end_offset_for_epoch(LeaderEpoch(1)).unwrap().end_offset, Offset(8));
}

#[test]
fn segments_roll_by_size_by_age_and_by_a_full_index() {
    let (_, disk) = sim();
    let config = LogConfig { segment_bytes: 300, segment_ms: 1_000, ..LogConfig::default() };
    let mut log = fresh(&disk, &config);
    let rolled: Vec<_> = (0..6)
        .map(|n| log.append_as_leader(&batch_at(NOW_MS, n, 1, 20), EPOCH, NOW_MS).unwrap().rolled)
        .collect();
    assert_eq!(rolled, [false, false, false, true, false, false]);
    log.update_config(LogConfig { segment_bytes: 1 << 20, ..config.clone() });
    assert!(!log.append_as_leader(&batch_at(NOW_MS + 1_000, 1, 1, 1), EPOCH, NOW_MS).unwrap().rolled);
    assert!(log.append_as_leader(&batch_at(NOW_MS + 1_001, 1, 1, 1), EPOCH, NOW_MS).unwrap().rolled);
    assert!(!log.roll_if_due(NOW_MS + 2_001).unwrap());
    assert!(log.roll_if_due(NOW_MS + 2_002).unwrap());
    assert!(!log.roll_if_due(i64::MAX).unwrap(), "an empty segment does not roll");
    log.update_config(LogConfig { segment_index_bytes: 48, index_interval_bytes: 0, ..LogConfig::default() });
    let rolled = (0..20)
        .filter(|n| log.append_as_leader(&batch_at(NOW_MS + n, 1, 1, 1), EPOCH, NOW_MS).unwrap().rolled)
        .count();
    assert!(rolled > 3, "{rolled}");
}

#[test]
fn retention_goes_by_age_by_size_and_by_log_start_but_never_past_the_watermark() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for n in 0..40 {
        log.append_as_leader(&batch_at(NOW_MS + n * 1_000, 1, 1, 100), EPOCH, NOW_MS).unwrap();
    }
    let segments = log.reader().segment_count();
    assert!(segments >= 6);
    let keep_all = LogConfig { retention_ms: -1, retention_bytes: -1, ..small_segments() };
    log.update_config(keep_all.clone());
    assert_eq!(log.enforce_retention(i64::MAX, Offset(40)).unwrap().deleted_segments, 0);
    // By age: what is older than 30 s at second 40.
    log.update_config(LogConfig { retention_ms: 30_000, ..keep_all.clone() });
    assert_eq!(log.enforce_retention(NOW_MS + 40_000, Offset(0)).unwrap().deleted_segments, 0);
    let retained = log.enforce_retention(NOW_MS + 40_000, Offset(40)).unwrap();
    assert!(retained.deleted_segments > 0 && log.log_start() <= Offset(10) && log.log_start() > Offset(0));
    // By size: down to 2,500 bytes, whole segments.
    log.update_config(LogConfig { retention_bytes: 2_500, ..keep_all.clone() });
    log.enforce_retention(NOW_MS, Offset(40)).unwrap();
    let size = log.reader().size_bytes();
    assert!((2_500..3_500).contains(&size), "{size}");
    // By log start, even for a compacted log.
    let compact = CleanupPolicy { delete: false, compact: true };
    log.update_config(LogConfig { cleanup_policy: compact, retention_ms: 1, retention_bytes: 1, ..keep_all });
    assert_eq!(log.enforce_retention(i64::MAX, Offset(40)).unwrap().deleted_segments, 0);
    assert!(log.advance_log_start(Offset(39)).unwrap());
    assert!(!log.advance_log_start(Offset(20)).unwrap());
    assert!(log.enforce_retention(NOW_MS, Offset(40)).unwrap().deleted_segments > 0);
    assert_eq!(log.log_start(), Offset(39));
    assert!(matches!(log.reader().read(Offset(38), Offset(40), 1, true), Err(ReadError::OutOfRange { .. })));
    assert_eq!(iter_batches(&read_all(&log.reader(), Offset(40), 100)).count(), 1);
}

#[test]
fn even_the_active_segment_goes_when_it_is_too_old_and_readers_keep_their_slices() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for n in 0..20 {
        log.append_as_leader(&batch(n, 1, 100), EPOCH, NOW_MS).unwrap();
    }
    let reader = log.reader();
    let slice = reader.read(Offset(0), Offset(20), 500, true).unwrap();
    let expected = slice.to_vec().unwrap();
    log.enforce_retention(NOW_MS + 8 * 24 * 3_600_000, Offset(20)).unwrap();
    assert_eq!((log.log_start(), log.log_end()), (Offset(20), Offset(20)));
    assert_eq!(log.reader().size_bytes(), 0);
    let unlinks = log.take_unlinks(i64::MAX);
    assert!(unlinks.len() >= 9);
    unlinks.into_iter().for_each(|unlink| unlink.run().unwrap());
    assert!(files(&*disk).iter().all(|(name, _)| !name.ends_with(".deleted")));
    assert_eq!(slice.to_vec().unwrap(), expected);
    assert_eq!(log.append_as_leader(&batch(1, 1, 4), EPOCH, NOW_MS).unwrap().first_offset, Offset(20));
}

#[test]
fn truncation_cuts_whole_batches_epochs_and_producers() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for n in 0..30 {
        log.append_as_leader(&produced(1, 0, n * 2, 2), LeaderEpoch(n / 10), NOW_MS).unwrap();
    }
    assert!(flush(&mut log));
    assert!(!log.truncate_to(Offset(60)).unwrap());
    for (to, end) in [(59, 58), (40, 40), (33, 32), (7, 6)] {
        assert!(log.truncate_to(Offset(to)).unwrap());
        assert_eq!((log.log_end(), log.durable_end()), (Offset(end), Offset(end)));
        assert_eq!(
            read_all(&log.reader(), Offset(end), 1).len(),
            (end / 2) as usize * produced(1, 0, 0, 2).len()
        );
        assert!(flush(&mut log));
    }
    assert_eq!(log.leader_epoch(), Some(LeaderEpoch(0)));
    let info = log.append_as_leader(&produced(1, 0, 6, 2), LeaderEpoch(5), NOW_MS).unwrap();
    assert_eq!((info.first_offset, info.duplicate), (Offset(6), false));
    assert!(log.append_as_leader(&produced(1, 0, 6, 2), LeaderEpoch(5), NOW_MS).unwrap().duplicate);
    assert!(flush(&mut log));
    log.truncate_fully_and_start_at(Offset(500)).unwrap();
    assert_eq!((log.log_start(), log.log_end()), (Offset(500), Offset(500)));
    log.append_as_leader(&batch(1, 1, 1), LeaderEpoch(6), NOW_MS).unwrap();
    assert_eq!(log.reader().read(Offset(500), Offset(501), 1, true).unwrap().first_offset, Offset(500));
}

#[test]
fn records_are_found_by_time() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for n in 0..30 {
        let mut builder =
            logspine_protocol::batch::BatchBuilder::new(logspine_protocol::compression::Codec::Lz4);
        for k in 0..3 {
            builder.append(NOW_MS + n * 100 + k * 10, None, Some(&[7; 40]), &[]);
        }
        log.append_as_leader(&builder.build(), LeaderEpoch(2), NOW_MS).unwrap();
    }
    let check = |log: &logspine_storage::Log| {
        let reader = log.reader();
        let at = |ms: i64| {
            reader
                .offset_for_timestamp(NOW_MS + ms)
                .unwrap()
                .map(|found| (found.offset.0, found.timestamp - NOW_MS))
        };
        assert_eq!(at(-5), Some((0, 0)));
        assert_eq!(at(0), Some((0, 0)));
        assert_eq!(at(1), Some((1, 10)));
        assert_eq!(at(1_215), Some((38, 1_220)));
        assert_eq!(at(1_221), Some((39, 1_300)));
        assert_eq!(at(2_920), Some((89, 2_920)));
        assert_eq!(at(2_921), None);
        let youngest = reader.max_timestamp().unwrap().unwrap();
        assert_eq!((youngest.offset, youngest.leader_epoch), (Offset(89), LeaderEpoch(2)));
    };
    check(&log);
    log.close(true).unwrap();
    let (mut log, _) = reopen(&disk, &small_segments(), Offset(90), Offset(0), true).unwrap();
    check(&log);
    log.advance_log_start(Offset(50)).unwrap();
    assert_eq!(log.reader().offset_for_timestamp(0).unwrap().unwrap().offset, Offset(50));
}

#[test]
fn a_torn_tail_is_cut_and_its_bytes_are_kept_aside() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    for tag in 0..5 {
        log.append_as_leader(&batch(tag, 2, 50), EPOCH, NOW_MS).unwrap();
    }
    let whole = read_all(&log.reader(), Offset(10), 1 << 20);
    drop(log);
    let path = Path::new(DATA_DIR).join("topic-0/00000000000000000000.log");
    let file = disk.open(&path, Access::Write).unwrap();
    let cut_at = whole.len() as u64 - 20;
    file.truncate(cut_at).unwrap();
    let (log, recovered) = reopen(&disk, &LogConfig::default(), Offset(4), Offset(0), false).unwrap();
    assert_eq!((log.log_end(), log.durable_end()), (Offset(8), Offset(8)));
    assert_eq!(recovered.truncated_bytes, whole.len() as u64 / 5 - 20);
    let aside = logspine_storage::disk::read_file(&*disk, &recovered.cut_files[0]).unwrap().unwrap();
    assert_eq!(aside, whole[whole.len() / 5 * 4..cut_at as usize]);
    assert!(recovered.damage.is_none());
    assert_eq!(read_all(&log.reader(), Offset(8), 1), whole[..whole.len() / 5 * 4]);
}

#[test]
fn a_damage_below_the_recovery_point_is_served_up_to_and_never_cut() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &small_segments());
    for tag in 0..30 {
        log.append_as_leader(&batch(tag, 2, 50), EPOCH, NOW_MS).unwrap();
    }
    let whole = read_all(&log.reader(), Offset(60), 1 << 20);
    drop(log);
    let before = files(&*disk);
    let (base, _) = before.iter().filter(|(name, _)| name.ends_with(".log")).nth(2).unwrap();
    let path = Path::new(DATA_DIR).join("topic-0").join(base);
    let file = disk.open(&path, Access::Write).unwrap();
    file.write_at(&[IoSlice::new(b"rot")], 350).unwrap();
    // Scanned, because the recovery point lies in the same segment.
    let base: i64 = base[..20].parse().unwrap();
    let recovery_point = Offset(base + 8);
    let (mut log, recovered) = reopen(&disk, &small_segments(), recovery_point, Offset(0), false).unwrap();
    let damage = recovered.damage.unwrap();
    assert_eq!((recovered.truncated_bytes, &damage.path), (0, &path));
    assert!(damage.offset.0 > base && damage.offset < recovery_point);
    assert_eq!(log.log_end(), recovery_point);
    let good = read_all(&log.reader(), damage.offset, 1 << 20);
    assert_eq!(good, whole[..good.len()]);
    assert!(matches!(log.reader().read(damage.offset, recovery_point, 1, true), Err(ReadError::Damaged(_))));
    let refused = log.append_as_leader(&batch(1, 1, 1), EPOCH, NOW_MS).unwrap_err();
    assert!(matches!(refused, AppendError::Damaged(_)), "{refused}");
    log.close(true).unwrap();
    let logs = |files: Vec<(String, u64)>| {
        files.into_iter().filter(|(name, _)| name.contains(".log")).collect::<Vec<_>>()
    };
    assert_eq!(logs(files(&*disk)), logs(before));
}

#[test]
fn a_log_that_ends_below_its_recovery_point_says_so_and_gives_no_offset_away() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    drop(log);
    let (log, recovered) = reopen(&disk, &LogConfig::default(), Offset(9), Offset(0), false).unwrap();
    assert_eq!(recovered.damage.unwrap().offset, Offset(5));
    assert_eq!(log.log_end(), Offset(9));
}

#[test]
fn what_a_crash_left_counts_as_durable_after_the_owners_flush_and_costs_the_start_no_sync() {
    let (sim, disk) = sim();
    sim.record();
    let config = LogConfig { is_flushed_after_open: true, ..LogConfig::default() };
    let mut log = fresh(&disk, &config);
    log.append_as_leader(&batch(1, 2, 50), EPOCH, NOW_MS).unwrap();
    assert!(flush(&mut log));
    log.append_as_leader(&batch(2, 2, 50), EPOCH, NOW_MS).unwrap();
    drop(log);
    let before = sim.recorded().len();
    let (mut log, recovered) = reopen(&disk, &config, Offset(2), Offset(0), false).unwrap();
    assert_eq!((log.log_end(), log.durable_end()), (Offset(4), Offset(2)), "{recovered:?}");
    let is_sync = |op: &Op| matches!(op, Op::SyncFile { .. } | Op::SyncDir { .. });
    assert!(!sim.recorded()[before..].iter().any(is_sync), "{:?}", &sim.recorded()[before..]);
    // A cut before the flush leaves what was durable, and perhaps the rest; one behind it leaves everything.
    let ends_after_cuts = |sim: &SimDisk| {
        let mut replay = Replay::new();
        sim.recorded().iter().for_each(|op| replay.apply(op));
        let end = |seed| {
            let disk: Arc<dyn Disk> = Arc::new(replay.power_cut(seed));
            let (log, recovered) = reopen(&disk, &config, Offset(2), Offset(0), false).unwrap();
            assert_eq!(recovered.damage, None);
            read_all(&log.reader(), log.log_end(), 1 << 20);
            log.log_end().0
        };
        (0..40).map(end).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(ends_after_cuts(&sim), [2, 4].into());
    assert!(flush(&mut log));
    assert_eq!(log.durable_end(), Offset(4));
    assert_eq!(ends_after_cuts(&sim), [4].into());
}

/// Replaces a file of the partition.
fn put(disk: &Arc<dyn Disk>, name: &str, bytes: &[u8]) {
    let file = disk.open(&Path::new(DATA_DIR).join("topic-0").join(name), Access::Write).unwrap();
    file.truncate(0).unwrap();
    file.write_at(&[IoSlice::new(bytes)], 0).unwrap();
}

#[test]
fn foreign_formats_stop_the_start_with_file_and_advice() {
    let (_, disk) = sim();
    drop(fresh(&disk, &LogConfig::default()));
    let mut old = vec![0; 40];
    old[11] = 28;
    old[16] = 1;
    put(&disk, "00000000000000000000.log", &old);
    let open = || reopen(&disk, &LogConfig::default(), Offset(1), Offset(0), false).unwrap_err().to_string();
    assert!(open().contains("00000000000000000000.log at byte 16: message format 1"), "{}", open());
    put(&disk, "00000000000000000000.log", b"");
    put(&disk, "partition.metadata", b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
    assert!(open().contains("holds topic id AAAAAAAAAAAAAAAAAAAAAQ"), "{}", open());
}

#[test]
fn a_file_that_the_log_can_do_without_is_set_aside_whole_and_rebuilt() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&produced(7, 0, 0, 3), LeaderEpoch(4), NOW_MS).unwrap();
    let end = log.close(true).unwrap();
    let snapshot = "00000000000000000003.snapshot";
    for (name, rot) in [
        ("leader-epoch-checkpoint", &b"7\n0\n"[..]),
        ("leader-epoch-checkpoint", b"\xff\xfe"),
        (snapshot, b"\0\x01 torn"),
        (snapshot, b"\0\x02 newer"),
        ("partition.metadata", b"\x07 rot"),
    ] {
        put(&disk, name, rot);
        let (log, recovered) = reopen(&disk, &LogConfig::default(), end, Offset(0), true).unwrap();
        let [aside] = &recovered.set_aside[..] else { panic!("{name}: {recovered:?}") };
        assert!(aside.path.ends_with(name), "{aside:?}");
        assert_eq!(logspine_storage::disk::read_file(&*disk, &aside.kept).unwrap().unwrap(), rot, "{name}");
        assert_eq!(log.leader_epoch(), Some(LeaderEpoch(4)), "{name}");
        assert_eq!(log.producers().iter().next().unwrap().1.last_sequence(), 2, "{name}");
        log.close(true).unwrap();
        let (_, again) = reopen(&disk, &LogConfig::default(), end, Offset(0), true).unwrap();
        assert_eq!(again.set_aside, [], "{name}: the second start finds nothing to mend");
    }
}

#[test]
fn a_deleted_log_frees_its_name_at_once() {
    let (_, disk) = sim();
    let mut log = fresh(&disk, &LogConfig::default());
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    let reader = log.reader();
    let deleted = log.delete().unwrap();
    assert_eq!(
        reader.read(Offset(0), Offset(5), 1, true).unwrap().to_vec().unwrap().len(),
        batch(1, 5, 4).len()
    );
    let again = reopen(&disk, &LogConfig::default(), Offset(0), Offset(0), false).unwrap().0;
    assert_eq!(again.log_end(), Offset(0));
    let data = logspine_storage::LogDir::open(disk.clone(), Path::new(DATA_DIR)).unwrap();
    assert_eq!(data.contents().unwrap().deleted, std::slice::from_ref(&deleted.dir));
    assert_eq!(data.contents().unwrap().partitions.len(), 1);
    deleted.unlink.run().unwrap();
    assert!(data.contents().unwrap().deleted.is_empty());
}

#[test]
fn a_new_partition_of_an_old_name_inherits_no_checkpoint() {
    let (_, disk) = sim();
    let dir = logspine_storage::LogDir::open(disk.clone(), Path::new(DATA_DIR)).unwrap();
    let old = std::collections::BTreeMap::from([
        (("topic".to_owned(), 0), Offset(500)),
        (("topic".to_owned(), 1), Offset(3)),
    ]);
    dir.write_recovery_points(|| old.clone()).unwrap();
    dir.write_log_starts(&old).unwrap();
    let (log, recovered) = reopen(&disk, &LogConfig::default(), Offset(500), Offset(500), false).unwrap();
    assert_eq!((recovered.damage, log.log_start(), log.log_end()), (None, Offset(0), Offset(0)));
    assert_eq!(dir.recovery_points().unwrap().len(), 1);
    assert_eq!(dir.log_starts().unwrap().len(), 1);
}

#[test]
fn an_empty_partition_costs_no_sync_until_its_first_flush_which_has_its_names_too() {
    let (sim, disk) = sim();
    sim.record();
    logspine_storage::disk::create_dir_all(&*disk, Path::new(DATA_DIR)).unwrap();
    let syncs =
        || sim.recorded().iter().filter(|op| matches!(op, Op::SyncFile { .. } | Op::SyncDir { .. })).count();
    let before = syncs();
    let mut log = logspine_storage::Log::open(args(&disk, &LogConfig::default())).unwrap().0;
    assert_eq!(syncs() - before, 0, "a creation");
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    assert!(flush(&mut log));
    // The records, topic id, leader epochs, the directory and its own name.
    assert_eq!(syncs() - before, 5, "the first flush");
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    assert!(flush(&mut log));
    assert_eq!(syncs() - before, 6, "the second flush");
    drop(log);
    sim.power_cut(7);
    let (log, recovered) = reopen(&disk, &LogConfig::default(), Offset(10), Offset(0), false).unwrap();
    assert_eq!((recovered.damage, log.log_end()), (None, Offset(10)));
}

#[test]
fn a_log_that_is_as_it_was_opened_closes_without_a_write() {
    let (sim, disk) = sim();
    drop(fresh(&disk, &LogConfig::default()));
    let (log, _) = reopen(&disk, &LogConfig::default(), Offset(0), Offset(0), true).unwrap();
    let before = sim.operations();
    log.close(true).unwrap();
    assert_eq!(sim.operations() - before, 0, "an empty one");
    let mut log = reopen(&disk, &LogConfig::default(), Offset(0), Offset(0), true).unwrap().0;
    log.append_as_leader(&batch(1, 5, 4), EPOCH, NOW_MS).unwrap();
    log.close(true).unwrap();
    let (log, _) = reopen(&disk, &LogConfig::default(), Offset(5), Offset(0), true).unwrap();
    let before = sim.operations();
    assert_eq!(log.close(true).unwrap(), Offset(5));
    assert_eq!(sim.operations() - before, 0, "one with records");
}
