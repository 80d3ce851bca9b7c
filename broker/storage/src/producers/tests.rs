//! What a producer may send next, and what it is told otherwise.

use logspine_protocol::batch::{BatchBuilder, BatchView};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};

use super::snapshot::SnapshotError;
use super::*;

fn batch(epoch: i16, first_sequence: i32, records: i32, base_offset: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(9), ProducerEpoch(epoch), first_sequence)
        .base_offset(Offset(base_offset));
    for n in 0..records {
        builder.append(1_000 + i64::from(n), None, Some(b"v"), &[]);
    }
    builder.build()
}

fn check(producers: &Producers, bytes: &[u8]) -> Result<Option<i64>, &'static str> {
    match producers.check(&BatchView::parse(bytes).unwrap().0) {
        Ok(known) => Ok(known.map(|batch| batch.first_offset().0)),
        Err(AppendError::OutOfOrderSequence { .. }) => Err("out of order"),
        Err(AppendError::InvalidProducerEpoch { .. }) => Err("fenced"),
        Err(error) => panic!("{error}"),
    }
}

fn apply(producers: &mut Producers, bytes: &[u8]) {
    producers.apply(&BatchView::parse(bytes).unwrap().0, None);
}

#[test]
fn a_retry_of_the_last_five_batches_gets_its_old_offset() {
    let mut producers = Producers::default();
    for n in 0..7 {
        let next = batch(0, n * 10, 10, i64::from(n) * 100);
        assert_eq!(check(&producers, &next), Ok(None));
        apply(&mut producers, &next);
    }
    for n in 2..7 {
        assert_eq!(check(&producers, &batch(0, n * 10, 10, 0)), Ok(Some(i64::from(n) * 100)));
    }
    assert_eq!(check(&producers, &batch(0, 10, 10, 0)), Err("out of order"));
    assert_eq!(check(&producers, &batch(0, 60, 9, 0)), Err("out of order"));
}

#[test]
fn sequences_continue_without_gap_and_wrap_to_zero() {
    let mut producers = Producers::default();
    apply(&mut producers, &batch(3, 5, 1, 0));
    assert_eq!(check(&producers, &batch(3, 6, 1, 0)), Ok(None));
    assert_eq!(check(&producers, &batch(3, 7, 1, 0)), Err("out of order"));
    apply(&mut producers, &batch(3, i32::MAX, 1, 1));
    assert_eq!(check(&producers, &batch(3, 0, 1, 0)), Ok(None));
    assert_eq!(check(&producers, &batch(3, 1, 1, 0)), Err("out of order"));
}

#[test]
fn an_older_epoch_is_fenced_and_a_newer_one_starts_at_zero() {
    let mut producers = Producers::default();
    apply(&mut producers, &batch(3, 5, 1, 0));
    assert_eq!(check(&producers, &batch(2, 6, 1, 0)), Err("fenced"));
    assert_eq!(check(&producers, &batch(4, 6, 1, 0)), Err("out of order"));
    assert_eq!(check(&producers, &batch(4, 0, 1, 0)), Ok(None));
    apply(&mut producers, &batch(4, 0, 1, 1));
    assert_eq!(check(&producers, &batch(4, 0, 1, 0)), Ok(Some(1)));
    assert_eq!(check(&producers, &batch(4, 1, 1, 0)), Ok(None));
}

#[test]
fn silence_makes_a_producer_unknown_and_unknown_ones_may_start_anywhere() {
    let mut producers = Producers::default();
    apply(&mut producers, &batch(3, 5, 1, 0));
    producers.expire(1_000 + 99, 100);
    assert_eq!(check(&producers, &batch(3, 77, 1, 0)), Err("out of order"));
    producers.expire(1_000 + 100, 100);
    assert_eq!(check(&producers, &batch(3, 77, 1, 0)), Ok(None));
}

#[test]
fn a_transaction_holds_the_stable_offset_until_its_marker() {
    let mut producers = Producers::default();
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(9), ProducerEpoch(0), 0)
        .transactional()
        .base_offset(Offset(50));
    builder.append(1, None, None, &[]);
    apply(&mut producers, &builder.build());
    assert_eq!(producers.first_unstable_offset(), Some(Offset(50)));
    producers.expire(i64::MAX, 1);
    assert_eq!(producers.first_unstable_offset(), Some(Offset(50)));
    let marker = ControlRecord { kind: ControlRecordType::Commit, coordinator_epoch: 4 };
    let (key, value) = marker.encode();
    let mut builder = BatchBuilder::new(Codec::None)
        .producer(ProducerId(9), ProducerEpoch(0), -1)
        .transactional()
        .control()
        .base_offset(Offset(51));
    builder.append(2, Some(&key), Some(&value), &[]);
    let bytes = builder.build();
    producers.apply(&BatchView::parse(&bytes).unwrap().0, Some(marker));
    assert_eq!(producers.first_unstable_offset(), None);
    assert_eq!(producers.iter().next().unwrap().1.coordinator_epoch, 4);
}

#[test]
fn a_snapshot_gives_back_the_last_batch_and_a_torn_one_is_refused() {
    let mut producers = Producers::default();
    apply(&mut producers, &batch(3, i32::MAX - 1, 5, 40));
    let bytes = producers.encode();
    assert_eq!(bytes.len(), 2 + 4 + 4 + 46);
    let read = Producers::decode(&bytes).unwrap();
    assert_eq!(read, producers);
    assert_eq!(check(&read, &batch(3, i32::MAX - 1, 5, 0)), Ok(Some(40)));
    assert_eq!(Producers::decode(&bytes[..bytes.len() - 1]), Err(SnapshotError::Corrupt));
    assert_eq!(Producers::decode(&[0, 2, 0, 0, 0, 0]), Err(SnapshotError::Version(2)));
    assert_eq!(Producers::decode(&[]), Err(SnapshotError::Corrupt));
    let mut rotten = bytes;
    rotten[20] ^= 1;
    assert_eq!(Producers::decode(&rotten), Err(SnapshotError::Corrupt));
}
