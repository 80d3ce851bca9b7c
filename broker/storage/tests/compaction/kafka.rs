//! Apache Kafka's own `Cleaner` over the same segments leaves the same records, markers, horizons and sequences;
//! and its `DumpLogSegments` finds no fault in what ours leaves, indexes included.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use logspine_protocol::batch::iter_batches;
use logspine_protocol::types::Offset;
use logspine_storage::{Disk, Log, RealDisk};

use crate::life::{DELETE_RETENTION_MS, Life, ROOMY, Record, compact, open_args};
use crate::support::kafka::{dump, dump_with_gaps, kafka_libs};
use crate::{LATER_MS, compact_fully};

/// Everything that two cleaners must agree on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    /// Control records too.
    records: Vec<Record>,
    /// Of batches that have records.
    horizons: BTreeMap<i64, i64>,
    /// The last sequence of each producer that a header still tells.
    sequences: BTreeMap<i64, i32>,
}

/// Reads the segments of a directory, whoever wrote them.
fn left_in(dir: &Path) -> Left {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    let mut left = Left::default();
    for file in files {
        for batch in iter_batches(&std::fs::read(&file).unwrap()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            if batch.has_producer_id() && !batch.is_control() {
                left.sequences.insert(batch.producer_id().0, batch.last_sequence());
            }
            if let (Some(horizon_ms), true) = (batch.delete_horizon_ms(), batch.record_count() > 0) {
                left.horizons.insert(batch.base_offset().0, horizon_ms);
            }
            for record in &batch.records().unwrap() {
                let record = record.unwrap();
                let copy = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                left.records.push(Record {
                    offset: record.offset.0,
                    timestamp: record.timestamp,
                    key: copy(record.key),
                    value: copy(record.value),
                });
            }
        }
    }
    left
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A closed log, and up to where it may be cleaned.
fn closed(seed: u64, data_dir: &Path) -> Offset {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let life = Life::live(seed, &disk, data_dir, 80);
    let end = life.log.compaction_scope(life.last_stable()).cleanable(None, LATER_MS).first_uncleanable;
    life.log.close(true).unwrap();
    end
}

#[test]
fn kafkas_own_cleaner_leaves_the_same() {
    let Some(libs) = kafka_libs("kafkas_own_cleaner_leaves_the_same") else { return };
    let root = tempfile::tempdir().unwrap();
    // The first time keeps tombstones, the second is too early to drop them, the third is not.
    let times = [LATER_MS, LATER_MS + DELETE_RETENTION_MS - 1, LATER_MS + 2 * DELETE_RETENTION_MS];
    let cases: Vec<(u64, usize)> = (0..8).flat_map(|seed| [(seed, 1), (seed, 3)]).collect();
    let dirs = |&(seed, runs): &(u64, usize)| {
        ["ours", "kafkas"].map(|whose| root.path().join(format!("{seed}-{runs}-{whose}")))
    };
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", &format!("{}/*", libs.display())]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compaction/KafkaCleaner.java"));
    command.arg(DELETE_RETENTION_MS.to_string());
    let mut ends = Vec::new();
    for case in &cases {
        let [ours, kafkas] = dirs(case);
        let end = closed(case.0, &ours);
        copy_dir(&ours.join("topic-0"), &kafkas.join("topic-0"));
        let times: Vec<String> = times[..case.1].iter().map(i64::to_string).collect();
        command.arg(kafkas.join("topic-0")).args([end.to_string(), times.join(",")]);
        ends.push(end);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut records = 0;
    for (case, end) in cases.iter().zip(ends) {
        let [ours, kafkas] = dirs(case);
        let before = left_in(&ours.join("topic-0"));
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut args = open_args(&disk, &ours);
        args.clean = true;
        let mut log = Log::open(args).unwrap().0;
        for now_ms in &times[..case.1] {
            compact(&mut log, &mut None, end, ROOMY, *now_ms, |_| {}).unwrap();
        }
        let (ours, kafkas) = (left_in(&ours.join("topic-0")), left_in(&kafkas.join("topic-0")));
        assert_eq!(ours.records, kafkas.records, "LOGSPINE_SEED={}, {} runs", case.0, case.1);
        assert_eq!(ours.horizons, kafkas.horizons, "LOGSPINE_SEED={}, {} runs", case.0, case.1);
        assert_eq!(ours.sequences, kafkas.sequences, "LOGSPINE_SEED={}, {} runs", case.0, case.1);
        assert!(ours.records.len() < before.records.len(), "nothing was cleaned");
        records += ours.records.len();
    }
    println!("FIGURE records that both cleaners leave: {records} in {} logs", cases.len());
}

#[test]
fn kafka_finds_no_fault_in_compacted_files() {
    let Some(libs) = kafka_libs("kafka_finds_no_fault_in_compacted_files") else { return };
    let data = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut life = Life::live(6, &disk, data.path(), 120);
    compact_fully(&mut life, ROOMY, LATER_MS);
    life.log.take_unlinks(i64::MAX).into_iter().for_each(|unlink| unlink.run().unwrap());
    let dir = life.log.dir().to_path_buf();
    let expected = left_in(&dir).records.len();
    life.log.close(true).unwrap();
    let text = dump_with_gaps(&libs, &dir, &["log"]);
    assert_eq!(text.lines().filter(|line| line.starts_with("| offset: ")).count(), expected);
    assert!(text.contains("deleteHorizonMs: OptionalLong["), "a tombstone has its horizon");
    for suffix in ["index", "timeindex", "txnindex"] {
        let text = dump(&libs, &dir, &[suffix]);
        let entries = text.lines().filter(|line| line.contains("ffset: ")).count();
        assert!(entries > 0, "{suffix}: {text}");
    }
}
