//! Promises of reading Kafka's metadata log: what it means, and that no bytes make the reader panic, hang or grow.

use std::path::Path;

use logspine_cluster::metadata::{MetadataRecord, Partition};
use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;
use logspine_protocol::records::metadata as schema;
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};

use super::error::KafkaError;
use super::metadata::KafkaMetadata;
use super::metadata_log::Tail;

const LOG: &str = "00000000000000000000.log";

/// One batch of a metadata log, at an offset.
fn batch(base_offset: i64, records: &[Vec<u8>]) -> Vec<u8> {
    let mut builder =
        BatchBuilder::new(Codec::None).base_offset(Offset(base_offset)).leader_epoch(LeaderEpoch(3));
    for record in records {
        builder.append(0, None, Some(record), &[]);
    }
    builder.build()
}

fn topic(name: &str, id: u8) -> Vec<u8> {
    MetadataRecord::Topic { name: name.to_owned(), topic_id: TopicId([id; 16]) }.encode()
}

fn raw<'a>(record: impl Into<schema::MetadataRecord<'a>>) -> Vec<u8> {
    record.into().encode(0).expect("version 0 has every field that is set")
}

fn read(files: &[(&str, &[u8])]) -> Result<KafkaMetadata, KafkaError> {
    read_with(Tail::Whole, files)
}

fn read_with(tail: Tail, files: &[(&str, &[u8])]) -> Result<KafkaMetadata, KafkaError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).expect("a writable directory");
    }
    KafkaMetadata::read(dir.path(), tail)
}

fn names(metadata: &KafkaMetadata) -> Vec<&str> {
    metadata.image.topics().map(|topic| &*topic.name).collect()
}

#[test]
fn a_snapshot_counts_up_to_its_offset_and_the_log_from_there_on() {
    let snapshot = batch(0, &[topic("kept", 1)]);
    let log = [batch(0, &[topic("gone", 2), topic("gone-too", 3)]), batch(2, &[topic("new", 4)])].concat();
    let files = [("00000000000000000002-0000000003.checkpoint", &*snapshot), (LOG, &*log)];
    let metadata = read(&files).expect("they fit together");
    assert_eq!(names(&metadata), ["kept", "new"]);
    assert_eq!((metadata.log_end.end_offset, metadata.log_end.leader_epoch), (Offset(3), 3));
    let later = batch(4, &[topic("new", 4)]);
    let files =
        [("00000000000000000002-0000000003.checkpoint", &*snapshot), ("00000000000000000004.log", &*later)];
    let refused = read(&files).expect_err("records are missing").to_string();
    assert!(refused.contains("lacks the records 2 to 3"), "{refused}");
}

#[test]
fn a_metadata_transaction_counts_once_it_has_ended() {
    let begin = raw(schema::BeginTransactionRecord::default());
    let abort = raw(schema::AbortTransactionRecord::default());
    let end = raw(schema::EndTransactionRecord {});
    let records = [
        begin.clone(),
        topic("aborted", 1),
        abort,
        begin.clone(),
        topic("ended", 2),
        end,
        begin,
        topic("open", 3),
    ];
    assert_eq!(names(&read(&[(LOG, &batch(0, &records))]).expect("a whole log")), ["ended"]);
}

#[test]
fn what_has_no_place_here_is_named_as_far_as_it_is_in_force() {
    let acl = |id: u8| schema::AccessControlEntryRecord { id: TopicId([id; 16]), ..Default::default() };
    let quota =
        |remove| schema::ClientQuotaRecord { key: "producer_byte_rate".into(), remove, ..Default::default() };
    let user = |name: &'static str| schema::UserScramCredentialRecord {
        name: name.into(),
        mechanism: 1,
        ..Default::default()
    };
    let group = schema::ConfigRecord {
        resource_type: 32,
        resource_name: "g".into(),
        name: "consumer.session.timeout.ms".into(),
        value: Some("50000".into()),
    };
    let records = [
        raw(acl(1)),
        raw(acl(2)),
        raw(schema::RemoveAccessControlEntryRecord { id: TopicId([1; 16]) }),
        raw(quota(false)),
        raw(quota(true)),
        raw(user("alice")),
        raw(user("bob")),
        raw(group),
    ];
    assert_eq!(
        read(&[(LOG, &batch(0, &records))]).expect("a whole log").left_out(),
        [
            "1 ACL: every client may do everything here",
            "2 SCRAM credentials: clients do not log in here",
            "setting consumer.session.timeout.ms of group g: there is nothing of this kind here",
        ]
    );
}

#[test]
fn a_torn_or_rotten_or_newer_log_is_refused_with_its_place() {
    let whole = batch(0, &[topic("a", 1)]);
    let refused = |bytes: &[u8]| read(&[(LOG, bytes)]).expect_err("it does not read back").to_string();
    assert!(
        refused(&[&whole[..], &whole[..70]].concat())
            .contains(&format!("at byte {}: a batch claims", whole.len()))
    );
    assert!(refused(&[&whole[..], &[0; 20]].concat()).contains("20 bytes are no whole batch"));
    let mut rotten = whole.clone();
    rotten[70] ^= 1;
    assert!(refused(&rotten).contains("at byte 0"), "{}", refused(&rotten));
    assert!(refused(&[whole.clone(), whole].concat()).contains("offset 0 follows where 1 is expected"));
    let newer = MetadataRecord::FeatureLevel { name: "metadata.version".to_owned(), level: 31 }.encode();
    assert!(refused(&batch(0, &[newer])).contains("metadata.version is 31"));
    assert!(
        refused(&batch(0, &[vec![1, 99, 0]])).contains("a record at offset 0 that this version cannot read")
    );
}

#[test]
fn a_torn_tail_of_a_log_that_was_not_closed_is_left_and_damage_is_refused() {
    let whole = [batch(0, &[topic("a", 1)]), batch(1, &[topic("b", 2)])].concat();
    let torn = batch(2, &[topic("torn", 3)]);
    for tail in [&torn[..5], &torn[..70], &[0; 100], &[0xff; 300]] {
        let log = [&whole[..], tail].concat();
        let metadata = read_with(Tail::MayBeTorn, &[(LOG, &log)]).expect("what is whole is read");
        assert_eq!(names(&metadata), ["a", "b"]);
        assert_eq!(metadata.log_end.torn_bytes, tail.len() as u64);
        read(&[(LOG, &log)]).expect_err("a closed log has no torn tail");
    }
    let mut rotten = [&whole[..], &torn[..]].concat();
    rotten[whole.len() - 3] ^= 1;
    let refused = read_with(Tail::MayBeTorn, &[(LOG, &rotten)]).expect_err("a whole batch follows");
    assert!(refused.to_string().contains("does not read to its end"), "{refused}");
    let later = batch(3, &[topic("c", 4)]);
    let first = [&whole[..], &torn[..70]].concat();
    let files = [(LOG, &first[..]), ("00000000000000000003.log", &later[..])];
    read_with(Tail::MayBeTorn, &files).expect_err("only the last segment is torn");
}

/// A small generator, so that a failure is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.roll(256) as u8).collect()
    }
}

/// Records of every type that Kafka writes, then bent: a few bytes changed, cut, or drawn at random altogether.
fn bent_record(dice: &mut Dice) -> Vec<u8> {
    let partition = Partition { replicas: vec![BrokerId(1)], ..Partition::default() };
    let samples = [
        topic("orders", 7),
        MetadataRecord::Partition { topic_id: TopicId([7; 16]), index: PartitionIndex(0), partition }
            .encode(),
        raw(schema::ConfigRecord {
            resource_type: 2,
            resource_name: "orders".into(),
            name: "x".into(),
            value: None,
        }),
        raw(schema::BeginTransactionRecord::default()),
        raw(schema::EndTransactionRecord {}),
        raw(schema::DelegationTokenRecord::default()),
        raw(schema::RegisterBrokerRecord::default()),
    ];
    let mut record = samples[dice.roll(samples.len())].clone();
    match dice.roll(4) {
        0 => record.truncate(dice.roll(record.len())),
        1 => {
            record = {
                let len = dice.roll(300);
                dice.bytes(len)
            }
        }
        2 => {
            record = [vec![1, dice.roll(30) as u8, dice.roll(5) as u8], {
                let len = dice.roll(80);
                dice.bytes(len)
            }]
            .concat()
        }
        _ => {
            let at = dice.roll(record.len());
            record[at] = dice.roll(256) as u8;
        }
    }
    record
}

/// The resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number of pages") * 4096
}

fn read_bent(dir: &Path, seed: u64) {
    let mut dice = Dice(seed);
    let mut log = Vec::new();
    let mut offset = 0;
    for _ in 0..dice.roll(6) {
        let records: Vec<Vec<u8>> = (0..=dice.roll(4)).map(|_| bent_record(&mut dice)).collect();
        log.extend(batch(offset, &records));
        offset += records.len() as i64;
    }
    // Half of the logs are bent outside of the records as well: lengths, counts, offsets, checksums.
    if dice.roll(2) == 0 && !log.is_empty() {
        for _ in 0..=dice.roll(4) {
            let at = dice.roll(log.len());
            log[at] = dice.roll(256) as u8;
        }
        log.truncate(log.len() - dice.roll(log.len().min(100)));
    }
    let file = if dice.roll(3) == 0 { "00000000000000000000-0000000001.checkpoint" } else { LOG };
    std::fs::write(dir.join(file), log).expect("a writable directory");
    for tail in [Tail::Whole, Tail::MayBeTorn] {
        let _ = KafkaMetadata::read(dir, tail);
    }
    std::fs::remove_file(dir.join(file)).expect("it was written");
}

#[test]
fn no_bytes_make_the_reader_panic_or_grow() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let seed = std::process::id().into();
    println!("seeds {seed} to {}", seed + 4_000);
    read_bent(dir.path(), seed);
    let before = resident_bytes();
    for seed in seed..seed + 4_000 {
        read_bent(dir.path(), seed);
    }
    let grown = resident_bytes().saturating_sub(before);
    println!("FIGURE grown over 4000 bent metadata logs: {} KiB", grown / 1024);
    assert!(grown < 32 << 20, "{grown} bytes more after 4000 logs of a few kilobytes from seed {seed} on");
}
