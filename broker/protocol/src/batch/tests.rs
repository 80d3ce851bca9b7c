//! What a record batch promises: layout, checksum, records, and that every mistake has its own name.

use super::*;
use crate::compression::Codec;
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use proptest::prelude::*;

fn three_records(codec: Codec) -> Vec<u8> {
    let mut builder = BatchBuilder::new(codec).base_offset(Offset(40)).leader_epoch(LeaderEpoch(3)).producer(
        ProducerId(7),
        ProducerEpoch(1),
        10,
    );
    builder.append(1_000, Some(b"k"), Some(b"v"), &[("h", Some(b"x")), ("n", None)]);
    builder.append(1_005, None, Some(&[9; 300]), &[]);
    builder.append(999, Some(b""), None, &[]);
    builder.build()
}

/// Recomputes the checksum, so that a test reaches the check behind it.
fn reseal(batch: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn the_header_says_what_was_built() {
    let bytes = three_records(Codec::None);
    let batch = validate_produced(&bytes).unwrap();
    assert_eq!(batch.base_offset(), Offset(40));
    assert_eq!(batch.last_offset(), Offset(42));
    assert_eq!(batch.next_offset(), Offset(43));
    assert_eq!(batch.partition_leader_epoch(), LeaderEpoch(3));
    assert_eq!(batch.total_len(), bytes.len());
    assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 1_005));
    assert_eq!((batch.base_sequence(), batch.last_sequence()), (10, 12));
    assert_eq!((batch.producer_id(), batch.producer_epoch()), (ProducerId(7), ProducerEpoch(1)));
    assert_eq!(batch.record_count(), 3);
}

#[test]
fn records_come_back_under_every_codec() {
    for codec in Codec::ALL {
        let bytes = three_records(codec);
        let batch = validate_produced(&bytes).unwrap();
        assert_eq!(batch.codec(), Ok(codec));
        let set = batch.records().unwrap();
        let records: Vec<_> = set.iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(records.len(), 3);
        assert_eq!((records[0].offset, records[0].timestamp), (Offset(40), 1_000));
        assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v"[..])));
        let headers: Vec<_> = records[0].headers.collect();
        assert_eq!(headers, [Header { key: b"h", value: Some(b"x") }, Header { key: b"n", value: None }]);
        assert_eq!((records[1].offset, records[1].key), (Offset(41), None));
        assert_eq!((records[2].timestamp, records[2].key, records[2].value), (999, Some(&b""[..]), None));
    }
}

#[test]
fn a_leader_assigns_offset_and_epoch_without_touching_the_checksum() {
    let mut bytes = three_records(Codec::Lz4);
    let header: &mut [u8; HEADER_LEN] = (&mut bytes[..HEADER_LEN]).try_into().unwrap();
    patch_offset_and_epoch(header, Offset(1 << 40), LeaderEpoch(9));
    let batch = validate_produced(&bytes).unwrap();
    assert_eq!((batch.base_offset(), batch.partition_leader_epoch()), (Offset(1 << 40), LeaderEpoch(9)));
}

#[test]
fn log_append_time_rewrites_the_header_and_holds_for_each_record() {
    let mut bytes = three_records(Codec::None);
    let (header, body) = bytes.split_at_mut(HEADER_LEN);
    rewrite_for_log_append_time(header.try_into().unwrap(), body, 77_000);
    let batch = validate_produced(&bytes).unwrap();
    assert_eq!((batch.timestamp_type(), batch.max_timestamp()), (TimestampType::LogAppendTime, 77_000));
    assert!(batch.records().unwrap().iter().all(|record| record.unwrap().timestamp == 77_000));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut builder = BatchBuilder::new(Codec::None).producer(ProducerId(1), ProducerEpoch(0), i32::MAX - 1);
    for _ in 0..3 {
        builder.append(0, None, None, &[]);
    }
    let bytes = builder.build();
    assert_eq!(BatchView::parse(&bytes).unwrap().0.last_sequence(), 0);
}

#[test]
fn each_mistake_of_a_producer_has_its_name() {
    let good = three_records(Codec::None);
    let mistake = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        validate_produced(&bytes).map(|_| ()).unwrap_err()
    };
    assert_eq!(mistake(&|b| b.clear()), BatchError::Empty);
    assert_eq!(mistake(&|b| b.truncate(60)), BatchError::Truncated { needed: 61, have: 60 });
    let len = good.len();
    assert_eq!(mistake(&|b| b.truncate(len - 1)), BatchError::Truncated { needed: len, have: len - 1 });
    assert_eq!(mistake(&|b| b.push(0)), BatchError::NotOneBatch { trailing: 1 });
    assert_eq!(mistake(&|b| b[16] = 1), BatchError::Magic(1));
    assert_eq!(mistake(&|b| b[8..12].copy_from_slice(&48_i32.to_be_bytes())), BatchError::Length(48));
    assert!(matches!(mistake(&|b| b[len - 1] ^= 1), BatchError::Crc { .. }));
    let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        mistake(&|b| {
            change(b);
            reseal(b);
        })
    };
    assert_eq!(resealed(&|b| b[60] = 4), BatchError::Count { records: 4, last_offset_delta: 2 });
    assert_eq!(resealed(&|b| b[22] |= 1 << 5), BatchError::Control);
    assert_eq!(
        resealed(&|b| b[53] = 0xff),
        BatchError::Sequence { producer_id: 7, base_sequence: -16_777_206 }
    );
    assert_eq!(resealed(&|b| b[22] |= 7), BatchError::Codec(7));
    assert!(matches!(resealed(&|b| b[61] = 0x7e), BatchError::Record { index: 1 | 2, .. }));
    assert_eq!(
        resealed(&|b| {
            b[22] |= 1 << 4;
            b[43..51].fill(0xff);
        }),
        BatchError::TransactionalWithoutProducer
    );
}

#[test]
fn an_iterator_over_batches_ends_after_the_first_error() {
    let mut bytes = three_records(Codec::None);
    bytes.extend_from_slice(&three_records(Codec::Zstd));
    let whole = bytes.len();
    bytes.extend_from_slice(&three_records(Codec::None)[..70]);
    let found: Vec<_> = iter_batches(&bytes).map(|batch| batch.map(|b| b.total_len())).collect();
    assert_eq!(found.len(), 3);
    assert!(found[0].is_ok() && found[1].is_ok() && found[2].is_err());
    assert_eq!(iter_batches(&bytes[..whole]).filter(|batch| batch.is_ok()).count(), 2);
}

#[test]
fn a_control_record_round_trips() {
    let marker = ControlRecord { kind: ControlRecordType::Commit, coordinator_epoch: 12 };
    let (key, value) = marker.encode();
    let mut builder = BatchBuilder::new(Codec::None).control().transactional();
    builder.append(1, Some(&key), Some(&value), &[]);
    let bytes = builder.build();
    let (batch, _) = BatchView::parse(&bytes).unwrap();
    let set = batch.records().unwrap();
    assert_eq!(ControlRecord::parse(&set.iter().next().unwrap().unwrap()), Some(marker));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = validate_produced(&bytes);
        for batch in iter_batches(&bytes) {
            let _ = batch.map(|b| b.records_capped(1 << 16).map(|set| set.iter().count()));
        }
    }

    #[test]
    fn arbitrary_injuries_to_a_batch_never_panic(at in 0_usize..400, value in any::<u8>(), codec in 0_u8..5) {
        let mut bytes = three_records(Codec::from_id(codec).unwrap());
        let at = at % bytes.len();
        bytes[at] = value;
        if at >= 21 {
            reseal(&mut bytes);
        }
        let _ = validate_produced(&bytes);
        for batch in iter_batches(&bytes) {
            let _ = batch.map(|b| b.records_capped(1 << 16).map(|set| set.iter().count()));
        }
    }
}
