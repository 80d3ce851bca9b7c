//! Kafka's own `DumpLogSegments` reads every file that a log writes and finds nothing to complain about.
//!
//! Logs with all codecs, rolls, producers, a committed and an aborted transaction, after a clean close and after a
//! recovery. Contents are compared record by record. Needs `java` and `LOGSPINE_KAFKA_LIBS`, a folder with the jars of Kafka
//! 4.3.1.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, ControlRecord, ControlRecordType};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use logspine_storage::{Disk, Log, LogConfig, OpenLog, RealDisk};
use support::kafka::{dump, kafka_libs};
use support::{NOW_MS, args_in, flush};

/// What one record line must say.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    offset: i64,
    timestamp: i64,
    payload: String,
}

struct Written {
    dir: PathBuf,
    records: Vec<Record>,
    log: Log,
    args: OpenLog,
}

fn append(
    log: &mut Log,
    written: &mut Vec<Record>,
    builder: BatchBuilder,
    timestamps: &[i64],
    payloads: &[String],
    epoch: i32,
) {
    let info = log.append_as_leader(&builder.build(), LeaderEpoch(epoch), NOW_MS).unwrap();
    assert!(!info.duplicate);
    for (n, (timestamp, payload)) in timestamps.iter().zip(payloads).enumerate() {
        written.push(Record {
            offset: info.first_offset.0 + n as i64,
            timestamp: *timestamp,
            payload: payload.clone(),
        });
    }
}

/// A log with everything in it.
fn write(data_dir: &Path) -> Written {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let config = LogConfig { segment_bytes: 6_000, index_interval_bytes: 400, ..LogConfig::default() };
    let args = args_in(&disk, data_dir, &config);
    let mut log = Log::open(args.clone()).unwrap().0;
    let mut records = Vec::new();
    let mut sequences = [0; 3];
    for n in 0..120_i64 {
        let codec = Codec::ALL[(n % 5) as usize];
        let producer = (n % 4) as usize;
        let mut builder = BatchBuilder::new(codec);
        if let Some(sequence) = sequences.get_mut(producer) {
            builder = builder.producer(ProducerId(1_000 + producer as i64), ProducerEpoch(2), *sequence);
            *sequence += 4;
        }
        // Time goes forward, with steps back in between.
        let timestamps = [0, 30, 10, 20].map(|ms| NOW_MS - 1_000_000 + n * 25 + ms);
        let payloads = [0, 1, 2, 3].map(|k| format!("value-{n}-{k}-{}", "x".repeat((n % 7 * 20) as usize)));
        for (timestamp, payload) in timestamps.iter().zip(&payloads) {
            builder.append(*timestamp, Some(b"key"), Some(payload.as_bytes()), &[("header", Some(b"h"))]);
        }
        append(&mut log, &mut records, builder, &timestamps, &payloads, (n / 50) as i32);
        if n % 10 == 0 {
            assert!(flush(&mut log));
        }
    }
    let id = (ProducerId(5_000), ProducerEpoch(0));
    let mut builder = BatchBuilder::new(Codec::Zstd).producer(id.0, id.1, 0).transactional();
    builder.append(NOW_MS, None, Some(b"in a transaction"), &[]);
    append(&mut log, &mut records, builder, &[NOW_MS], &["in a transaction".to_owned()], 2);
    let (key, value) = ControlRecord { kind: ControlRecordType::Commit, coordinator_epoch: 3 }.encode();
    let mut marker = BatchBuilder::new(Codec::None).producer(id.0, id.1, -1).transactional().control();
    marker.append(NOW_MS, Some(&key), Some(&value), &[]);
    log.append_as_leader(&marker.build(), LeaderEpoch(2), NOW_MS).unwrap();
    let mut builder = BatchBuilder::new(Codec::None).producer(id.0, id.1, 1).transactional();
    builder.append(NOW_MS, None, Some(b"given up"), &[]);
    append(&mut log, &mut records, builder, &[NOW_MS], &["given up".to_owned()], 2);
    let (key, value) = ControlRecord { kind: ControlRecordType::Abort, coordinator_epoch: 3 }.encode();
    let mut marker = BatchBuilder::new(Codec::None).producer(id.0, id.1, -1).transactional().control();
    marker.append(NOW_MS, Some(&key), Some(&value), &[]);
    log.append_as_leader(&marker.build(), LeaderEpoch(2), NOW_MS).unwrap();
    assert!(log.reader().segment_count() > 4);
    Written { dir: args.dir.clone(), records, log, args }
}

/// The data records of a dump.
fn records(dump: &str) -> Vec<Record> {
    let field = |line: &str, name: &str| {
        let rest = line.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("{name} in {line}")).1;
        rest.split(' ').next().unwrap_or_default().to_owned()
    };
    dump.lines()
        .filter(|line| line.starts_with("| offset: ") && line.contains(" payload: "))
        .map(|line| Record {
            offset: field(line, "offset").parse().unwrap(),
            timestamp: field(line, "CreateTime").parse().unwrap(),
            payload: line.split_once(" payload: ").unwrap().1.to_owned(),
        })
        .collect()
}

fn check(libs: &Path, written: &Written) {
    let text = dump(libs, &written.dir, &["log"]);
    assert_eq!(records(&text), written.records);
    let batches = text.lines().filter(|line| line.starts_with("baseOffset: ")).count();
    assert_eq!(batches, 124);
    for codec in Codec::ALL {
        assert!(text.contains(&format!("compresscodec: {} ", codec.name())), "no batch with {codec:?}");
    }
    assert!(text.contains("endTxnMarker: COMMIT coordinatorEpoch: 3"), "no marker");
    assert!(text.contains("endTxnMarker: ABORT coordinatorEpoch: 3"), "no abort marker");
    let aborted = dump(libs, &written.dir, &["txnindex"]);
    let first = written.records.last().unwrap().offset;
    let entry = format!(
        "version: 0 producerId: 5000 firstOffset: {first} lastOffset: {} lastStableOffset: {}",
        first + 1,
        first + 2
    );
    assert!(aborted.lines().any(|line| line == entry), "{entry}\n{aborted}");
    let indexes = dump(libs, &written.dir, &["index"]);
    assert!(indexes.lines().filter(|line| line.starts_with("offset: ")).count() > 20, "{indexes}");
    let times = dump(libs, &written.dir, &["timeindex"]);
    assert!(times.lines().filter(|line| line.starts_with("timestamp: ")).count() > 20, "{times}");
}

#[test]
fn kafka_reads_every_file_of_a_log_that_was_closed() {
    let Some(libs) = kafka_libs("kafka_reads_every_file_of_a_log_that_was_closed") else { return };
    let data = tempfile::tempdir().unwrap();
    let mut written = write(data.path());
    let other = tempfile::tempdir().unwrap();
    let log = std::mem::replace(
        &mut written.log,
        Log::open(OpenLog { dir: other.path().join("t-0"), ..written.args.clone() }).unwrap().0,
    );
    let end = log.close(true).unwrap();
    check(&libs, &written);
    let snapshots = dump(&libs, &written.dir, &["snapshot"]);
    let last = snapshots.rsplit("Dumping ").next().unwrap();
    assert!(last.contains(&format!("{:020}.snapshot", end.0)), "{snapshots}");
    let producers: Vec<_> = last.lines().filter(|line| line.starts_with("producerId: ")).collect();
    assert_eq!(producers.len(), 4, "{last}");
    assert!(
        producers[0].starts_with(
            "producerId: 1000 producerEpoch: 2 coordinatorEpoch: -1 currentTxnFirstOffset: OptionalLong.empty"
        ),
        "{last}"
    );
    assert!(producers[0].contains("lastSequence: 119"), "{last}");
    assert!(producers[3].starts_with("producerId: 5000 producerEpoch: 0 coordinatorEpoch: 3"), "{last}");
}

#[test]
fn kafka_reads_every_file_of_a_log_that_was_recovered() {
    let Some(libs) = kafka_libs("kafka_reads_every_file_of_a_log_that_was_recovered") else { return };
    let data = tempfile::tempdir().unwrap();
    let mut written = write(data.path());
    let (log, recovered) =
        Log::open(OpenLog { recovery_point: Offset(200), ..written.args.clone() }).unwrap();
    assert!(recovered.truncated_bytes == 0 && recovered.scanned_bytes > 0);
    written.log = log;
    check(&libs, &written);
}
