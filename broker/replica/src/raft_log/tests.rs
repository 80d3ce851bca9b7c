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
fn the_only_voter_sets_an_unreadable_vote_aside_and_votes_in_no_term_twice() {
    for rot in ["{", "", "\0\0\0\0\0\0", r#"{"leaderEpoch":99999999999,"votedId":0,"data_version":1}"#] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let end = filled(dir.path());
        std::fs::write(dir.path().join(VOTE_FILE), rot).expect("rot");
        let mut log = open_at(dir.path(), end).expect("nobody else can be voted for");
        assert_eq!(payloads(&log.advance().expect("the disk works")).len(), 2, "the log is all there");
        assert_eq!(log.quorum().term(), 2, "term 1 was voted in");
        let kept = dir.path().join(format!("{VOTE_FILE}.unreadable-0"));
        assert_eq!(std::fs::read(kept).expect("the old bytes"), rot.as_bytes());
        drop(log);
        let mut log = open_at(dir.path(), end).expect("the new vote reads back");
        log.advance().expect("the disk works");
        assert_eq!(log.quorum().term(), 3);
    }
}

#[test]
fn a_voter_among_several_does_not_start_with_a_vote_that_does_not_read_back() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let end = filled(dir.path());
    let path = dir.path().join(VOTE_FILE);
    std::fs::write(&path, "{").expect("rot");
    let refused = RaftLog::open(OpenRaftLog {
        disk: Arc::new(RealDisk),
        data_dir: dir.path().to_path_buf(),
        recovery_point: end,
        quorum: QuorumConfig { voters: vec![0, 1, 2], ..QuorumConfig::single(0) },
        now_ms: 0,
    });
    let refused = refused.map(|_| ()).expect_err("a vote must not be forgotten");
    assert!(refused.to_string().contains("quorum-state does not say whom this node voted for"), "{refused}");
    assert_eq!(std::fs::read(path).expect("the file stays"), b"{");
}

#[test]
fn a_vote_of_a_newer_version_stops_the_start() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let end = filled(dir.path());
    let newer = r#"{"leaderEpoch":7,"votedId":0,"data_version":2}"#;
    std::fs::write(dir.path().join(VOTE_FILE), newer).expect("another version");
    let refused = open_at(dir.path(), end).map(|_| ()).expect_err("it means something else there");
    assert!(refused.to_string().contains("data version 2 is not 1"), "{refused}");
}

#[test]
fn a_term_that_no_election_reached_is_refused_with_words() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let end = filled(dir.path());
    let path = dir.path().join(LOG_FILE);
    let bytes = std::fs::read(&path).expect("the log file");
    let last = iter_batches(&bytes).map(|batch| batch.expect("whole batches").bytes().len()).last();
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the log file");
    let start = bytes.len() - last.expect("a batch");
    file.write_all_at(&i32::MAX.to_be_bytes(), start as u64 + 12).expect("rot where no checksum is");
    let refused = open_at(dir.path(), end).map(|_| ()).expect_err("there is no term after it");
    assert!(refused.to_string().contains("term 2147483647"), "{refused}");
}
