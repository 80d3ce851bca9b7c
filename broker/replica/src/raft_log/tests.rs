//! Promises of the metadata log on disk, for a single voter: what was committed survives a stop without warning,
//! in Kafka's format, and a log that does not read back stops the start instead of being cut.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use logspine_cluster::quorum::{Entry, QuorumConfig};
use logspine_protocol::batch::{BatchBuilder, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::Offset;
use logspine_storage::RealDisk;

use super::{OpenRaftLog, RaftLog, RaftLogError};

const LOG_FILE: &str = "__cluster_metadata-0/00000000000000000000.log";
const VOTE_FILE: &str = "__cluster_metadata-0/quorum-state";

fn open_at(dir: &Path, recovery_point: Offset) -> Result<RaftLog, RaftLogError> {
    RaftLog::open(OpenRaftLog {
        disk: Arc::new(RealDisk),
        data_dir: dir.to_path_buf(),
        recovery_point,
        quorum: QuorumConfig::single(0),
        now_ms: 0,
    })
}

fn payload(records: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in records {
        builder.append(0, None, Some(record.as_bytes()), &[]);
    }
    builder.build()
}

fn payloads(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| entry.payload.as_slice()).filter(|payload| !payload.is_empty()).collect()
}

/// A log with two committed entries of two and one records, left without a clean stop.
fn filled(dir: &Path) -> Offset {
    let mut log = open_at(dir, Offset(0)).expect("an empty directory opens");
    assert!(log.advance().expect("the first term starts").len() == 1, "its no-op is committed");
    log.propose(payload(&["a", "b"])).expect("a single voter leads");
    log.propose(payload(&["c"])).expect("a single voter leads");
    let committed = log.advance().expect("the disk works");
    assert_eq!(payloads(&committed), [payload(&["a", "b"]), payload(&["c"])]);
    log.log_end_offset()
}

#[test]
fn what_was_committed_is_there_after_a_stop_without_warning() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    filled(dir.path());
    let mut log = open_at(dir.path(), Offset(0)).expect("the log opens again");
    let committed = log.advance().expect("the disk works");
    assert_eq!(payloads(&committed), [payload(&["a", "b"]), payload(&["c"])]);
    assert_eq!(committed.iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(committed.iter().map(|entry| entry.term).collect::<Vec<_>>(), [1, 1, 1, 2]);
}

#[test]
fn entries_stand_as_kafkas_batches_and_a_term_begins_with_a_leader_change() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    filled(dir.path());
    let bytes = std::fs::read(dir.path().join(LOG_FILE)).expect("the log file");
    let seen: Vec<_> = iter_batches(&bytes)
        .map(|batch| {
            let batch = batch.expect("whole batches");
            batch.verify_crc().expect("a sound checksum");
            (
                batch.base_offset().0,
                batch.record_count(),
                batch.partition_leader_epoch().0,
                batch.is_control(),
            )
        })
        .collect();
    assert_eq!(seen, [(0, 1, 1, true), (1, 2, 1, false), (3, 1, 1, false)]);
}

#[test]
fn a_torn_tail_past_the_recovery_point_is_cut() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let end = filled(dir.path());
    let file =
        std::fs::OpenOptions::new().append(true).open(dir.path().join(LOG_FILE)).expect("the log file");
    std::io::Write::write_all(&mut &file, &payload(&["torn"])[..40]).expect("a torn write");
    let mut log = open_at(dir.path(), end).expect("the log opens");
    assert_eq!(payloads(&log.advance().expect("the disk works")).len(), 2);
}

#[test]
fn damage_before_the_recovery_point_stops_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let end = filled(dir.path());
    let path = dir.path().join(LOG_FILE);
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the log file");
    file.write_all_at(b"rotten", 100).expect("rot");
    let before = std::fs::metadata(&path).expect("the log file").len();
    let refused = open_at(dir.path(), end).map(|_| ()).expect_err("rot is not served");
    assert!(refused.to_string().contains("cannot be read to its end"), "{refused}");
    assert_eq!(std::fs::metadata(&path).expect("the log file").len(), before, "nothing was cut");
}

#[test]
fn a_vote_that_does_not_read_back_stops_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let end = filled(dir.path());
    std::fs::write(dir.path().join(VOTE_FILE), "{").expect("rot");
    let refused = open_at(dir.path(), end).map(|_| ()).expect_err("a vote must not be forgotten");
    assert!(refused.to_string().contains("quorum-state does not say whom this node voted for"), "{refused}");
}
