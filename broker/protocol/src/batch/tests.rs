//! What a record batch promises: layout, checksum, records, and that every mistake has its own name.

use super::*;
use crate::compression::{Codec, Level};
use crate::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use proptest::prelude::*;

fn three_records(codec: Codec) -> Vec<u8> {
    let mut builder =
        BatchBuilder::new(codec).leader_epoch(LeaderEpoch(3)).producer(ProducerId(7), ProducerEpoch(1), 10);
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
    assert_eq!(batch.base_offset(), Offset(0));
    assert_eq!(batch.last_offset(), Offset(2));
    assert_eq!(batch.next_offset(), Offset(3));
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
        assert_eq!((records[0].offset, records[0].timestamp), (Offset(0), 1_000));
        assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"v"[..])));
        let headers: Vec<_> = records[0].headers.collect();
        assert_eq!(headers, [Header { key: b"h", value: Some(b"x") }, Header { key: b"n", value: None }]);
        assert_eq!((records[1].offset, records[1].key), (Offset(1), None));
        assert_eq!((records[2].timestamp, records[2].key, records[2].value), (999, Some(&b""[..]), None));
    }
}

#[test]
fn a_leader_assigns_offset_and_epoch_without_touching_the_checksum() {
    let mut bytes = three_records(Codec::Lz4);
    let header: &mut [u8; HEADER_LEN] = (&mut bytes[..HEADER_LEN]).try_into().unwrap();
    patch_offset_and_epoch(header, Offset(1 << 40), LeaderEpoch(9));
    assert_eq!(
        validate_produced(&bytes).unwrap_err(),
        BatchError::BaseOffset(1 << 40),
        "the log's to assign"
    );
    let (batch, _) = BatchView::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
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

/// A topic without wishes, at a time shortly after the records of these tests.
fn plain() -> TopicRules {
    let window = TimestampWindow { now_ms: 1_000, before_max_ms: i64::MAX, after_max_ms: 3_600_000 };
    TopicRules {
        records: RecordRules { needs_keys: false, window: Some(window) },
        timestamp_type: TimestampType::CreateTime,
        codec: None,
        is_strict: true,
    }
}

fn admitted(bytes: &[u8], rules: &TopicRules) -> Result<Vec<u8>, Refused> {
    let batch = validate_produced(bytes)?;
    Ok(admit(&batch, rules, 1 << 20)?.into_owned())
}

/// Offset, timestamp, key and value.
type Stored = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

/// Every record of a stored batch.
fn stored(bytes: &[u8]) -> Vec<Stored> {
    let batch = validate_produced(bytes).unwrap();
    let set = batch.records().unwrap();
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    set.iter()
        .map(|record| record.unwrap())
        .map(|record| (record.offset.0, record.timestamp, owned(record.key), owned(record.value)))
        .collect()
}

#[test]
fn another_codec_changes_the_encoding_and_nothing_else() {
    for source in Codec::ALL {
        let bytes = three_records(source);
        for target in Codec::ALL {
            for level in [Level::DEFAULT, Level(1), Level(-1)] {
                let rules = TopicRules { codec: Some((target, level)), ..plain() };
                let kept = admitted(&bytes, &rules).unwrap();
                let batch = validate_produced(&kept).unwrap();
                assert_eq!(batch.codec(), Ok(target), "{source:?} to {target:?}");
                assert_eq!(stored(&kept), stored(&bytes));
                assert_eq!((batch.base_sequence(), batch.last_sequence()), (10, 12));
                assert_eq!((batch.producer_id(), batch.producer_epoch()), (ProducerId(7), ProducerEpoch(1)));
                assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 1_005));
                assert_eq!(kept == bytes, source == target, "the same codec keeps the producer's bytes");
            }
        }
    }
}

#[test]
fn a_batch_is_only_looked_into_where_somebody_asks() {
    let bytes = three_records(Codec::Zstd);
    let broken = {
        let mut bytes = bytes.clone();
        bytes[HEADER_LEN + 6..].fill(0xee);
        reseal(&mut bytes);
        bytes
    };
    let easy = TopicRules { is_strict: false, ..plain() };
    assert_eq!(admitted(&broken, &easy).unwrap(), broken, "nobody looks");
    let window = |now_ms, before_max_ms| {
        let window = TimestampWindow { now_ms, before_max_ms, after_max_ms: 3_600_000 };
        TopicRules { records: RecordRules { needs_keys: false, window: Some(window) }, ..easy }
    };
    for rules in [
        plain(),
        TopicRules { records: RecordRules { needs_keys: true, ..easy.records }, ..easy },
        TopicRules { codec: Some((Codec::Gzip, Level::DEFAULT)), ..easy },
        window(1_000, 1_000),
        window(-3_600_000, i64::MAX),
    ] {
        assert!(
            matches!(admitted(&broken, &rules), Err(Refused::Batch(BatchError::Compression(_)))),
            "{rules:?}"
        );
    }
}

#[test]
fn records_that_a_topic_does_not_want_are_named() {
    let mut builder = BatchBuilder::new(Codec::Gzip);
    builder.append(1_000, Some(b"k"), None, &[]).append(-1, None, None, &[]).append(
        9_000_000,
        None,
        None,
        &[],
    );
    let bytes = builder.build();
    let (keyless, ahead) = (RecordFault::NoKey, RecordFault::Timestamp(9_000_000));
    assert_eq!(admitted(&bytes, &plain()), Err(Refused::Records(vec![(2, ahead)])));
    let compacted = TopicRules { records: RecordRules { needs_keys: true, ..plain().records }, ..plain() };
    assert_eq!(admitted(&bytes, &compacted), Err(Refused::Records(vec![(1, keyless), (2, keyless)])));
    let by_broker = TopicRules {
        records: RecordRules { needs_keys: false, window: None },
        timestamp_type: TimestampType::LogAppendTime,
        ..plain()
    };
    assert_eq!(admitted(&bytes, &by_broker).unwrap(), bytes, "the producer's timestamps do not count");
}

#[test]
fn a_refusal_names_a_bounded_number_of_records() {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..FAULTS_MAX + 5 {
        builder.append(1_000, None, None, &[]);
    }
    let compacted = TopicRules { records: RecordRules { needs_keys: true, ..plain().records }, ..plain() };
    let Err(Refused::Records(named)) = admitted(&builder.build(), &compacted) else { panic!("no key") };
    assert_eq!(named.len(), FAULTS_MAX);
}

#[test]
fn offsets_are_counted_anew_and_a_largest_timestamp_that_lies_is_mended() {
    for codec in Codec::ALL {
        // The builder numbers records; batches of one record put side by side do not.
        let one = |value: &[u8]| {
            let mut builder = BatchBuilder::new(Codec::None);
            builder.append(1_000, None, Some(value), &[("h", None)]);
            builder.build()[HEADER_LEN..].to_vec()
        };
        let body = [one(b"a"), one(b"b"), one(b"c")].concat();
        let packed = crate::compression::compress(codec, &body).unwrap();
        let mut bytes = three_records(codec)[..HEADER_LEN].to_vec();
        bytes.extend_from_slice(&packed);
        let length = (bytes.len() - LOG_OVERHEAD) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[35..43].copy_from_slice(&7_777_i64.to_be_bytes());
        reseal(&mut bytes);
        let kept = admitted(&bytes, &plain()).unwrap();
        let records = stored(&kept);
        assert_eq!(records.iter().map(|record| record.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(records[2].3.as_deref(), Some(&b"c"[..]));
        assert_eq!(validate_produced(&kept).unwrap().max_timestamp(), 1_000);
    }
}

#[test]
fn a_bomb_is_refused_before_its_memory_is_spent() {
    let mut builder = BatchBuilder::new(Codec::Zstd);
    builder.append(1_000, None, Some(&vec![0; 8 << 20]), &[]);
    let bytes = builder.build();
    assert!(bytes.len() < 10_000);
    assert!(matches!(admitted(&bytes, &plain()), Err(Refused::Batch(BatchError::Compression(_)))));
}

/// Whatever is admitted, our strict reader can read whole: as many records as counted, offsets in order.
fn is_readable(bytes: &[u8]) -> Result<(), String> {
    let batch = validate_produced(bytes).map_err(|error| error.to_string())?;
    let set = batch.records().map_err(|error| error.to_string())?;
    let mut count = 0;
    for record in &set {
        let record = record.map_err(|error| error.to_string())?;
        if record.offset.0 != batch.base_offset().0 + count {
            return Err(format!("record {count} has offset {}", record.offset));
        }
        count += 1;
    }
    if count == i64::from(batch.record_count()) { Ok(()) } else { Err(format!("{count} records")) }
}

#[test]
fn the_judge_of_readability_sees_an_unreadable_batch() {
    let mut bytes = three_records(Codec::None);
    bytes[HEADER_LEN + 3] = 8;
    reseal(&mut bytes);
    assert_eq!(is_readable(&bytes), Err("record 0 has offset 4".to_owned()));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = admitted(&bytes, &plain());
        for batch in iter_batches(&bytes) {
            let _ = batch.map(|b| b.records_capped(1 << 16).map(|set| set.iter().count()));
        }
    }

    /// Injuries to the records before they are compressed: the checksum, and the codec, are right.
    #[test]
    fn whatever_is_admitted_can_be_read(
        injuries in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        codec in 0_u8..5,
        target in 0_u8..5,
    ) {
        let mut bytes = three_records(Codec::None);
        for (at, value) in injuries {
            let at = 21 + at.index(bytes.len() - 21);
            bytes[at] = value;
        }
        // The codec's bits are set below.
        bytes[22] = (bytes[22] & !7) | codec;
        let body = crate::compression::compress(Codec::from_id(codec).unwrap(), &bytes[HEADER_LEN..]).unwrap();
        let mut bytes = [&bytes[..HEADER_LEN], &body].concat();
        let length = (bytes.len() - LOG_OVERHEAD) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        reseal(&mut bytes);
        let rules = TopicRules { codec: Codec::from_id(target).map(|codec| (codec, Level::DEFAULT)), ..plain() };
        for rules in [plain(), rules] {
            if let Ok(kept) = admitted(&bytes, &rules) {
                prop_assert_eq!(is_readable(&kept), Ok(()));
            }
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
        let _ = admitted(&bytes, &plain());
        for batch in iter_batches(&bytes) {
            let _ = batch.map(|b| b.records_capped(1 << 16).map(|set| set.iter().count()));
        }
    }
}
