//! Raft entries as record batches of `__cluster_metadata-0`, and back.
//!
//! A payload is a batch as the builder leaves it, at offset 0 without a leader epoch; on disk it stands at its real offset with the
//! term as its epoch, and loses both again when it is read, so that all voters hold equal payloads. An empty
//! payload, by which a leader starts its term, stands as a LEADER_CHANGE control batch, as in Kafka.

use std::collections::VecDeque;

use logspine_cluster::quorum::{Entry, NodeId};
use logspine_protocol::batch::{self, BatchBuilder};
use logspine_protocol::compression::Codec;
use logspine_protocol::records::control::LeaderChangeMessage;
use logspine_protocol::types::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use logspine_protocol::wire::{Message, Writer};
use logspine_storage::config::CleanupPolicy;
use logspine_storage::{Log, LogConfig, OpenLog};

use super::{OpenRaftLog, RaftLogError, epoch_of};

pub(super) const TOPIC: &str = "__cluster_metadata";
pub(super) const DIR_NAME: &str = "__cluster_metadata-0";
/// Kafka's constant id of the metadata topic (`Uuid.METADATA_TOPIC_ID`).
const TOPIC_ID: TopicId = TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
/// `ControlRecordType.LEADER_CHANGE`.
const LEADER_CHANGE: u8 = 2;
/// How much of the log is read at once at start.
const READ_BYTES: u32 = 1 << 20;

/// Opens the log. What lies past the recovery point may be torn and is cut; damage before it stops the start.
pub(super) fn open_log(open: &OpenRaftLog) -> Result<Log, RaftLogError> {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: false },
        max_message_bytes: i32::MAX,
        segment_ms: i64::MAX,
        ..LogConfig::default()
    };
    let (mut log, recovered) = Log::open(OpenLog {
        disk: open.disk.clone(),
        dir: open.data_dir.join(DIR_NAME),
        topic: TOPIC.to_owned(),
        topic_id: TOPIC_ID,
        partition: PartitionIndex(0),
        config,
        recovery_point: open.recovery_point,
        log_start: Offset(0),
        clean: false,
        now_ms: open.now_ms,
    })?;
    if let Some(damage) = recovered.damage {
        return Err(damage.into());
    }
    // The vote lies in the log's directory: its name must be durable before anything is promised.
    if let Some(flush) = log.begin_flush() {
        let flushed = flush.run();
        log.end_flush(flushed)?;
    }
    Ok(log)
}

/// Every entry on disk, and the offset at which each starts.
pub(super) fn read_entries(log: &Log) -> Result<(Vec<Entry>, VecDeque<Offset>), RaftLogError> {
    let (reader, mut entries, mut starts) = (log.reader(), Vec::new(), VecDeque::new());
    let mut next = reader.log_start();
    let mut buffer = Vec::new();
    while next < reader.log_end() {
        let slice = reader.read(next, reader.log_end(), READ_BYTES, true)?;
        buffer.resize(slice.len as usize, 0);
        slice.read_into(&mut buffer).map_err(|source| RaftLogError::ReadBytes { offset: next, source })?;
        for view in batch::iter_batches(&buffer) {
            let view = view.map_err(|reason| RaftLogError::Batch { offset: next, reason })?;
            if view.last_offset() < next {
                continue;
            }
            starts.push_back(view.base_offset());
            let term = u64::try_from(view.partition_leader_epoch().0).unwrap_or(0);
            // The checksum does not cover it, and the next term must fit.
            if term >= i32::MAX as u64 {
                return Err(RaftLogError::Term { term });
            }
            let payload = if view.is_control() { Vec::new() } else { payload_of(view.bytes()) };
            entries.push(Entry { index: entries.len() as u64 + 1, term, payload });
            next = view.last_offset() + 1;
        }
    }
    Ok((entries, starts))
}

/// The batch as the proposer built it.
fn payload_of(batch: &[u8]) -> Vec<u8> {
    let mut payload = batch.to_vec();
    patch(&mut payload, Offset(0), LeaderEpoch(-1));
    payload
}

/// The batch as it stands on disk. An entry without payload names its leader, if it is known here.
pub(super) fn encode(entry: &Entry, start: Offset, leader: Option<NodeId>, now_ms: i64) -> Vec<u8> {
    let mut batch =
        if entry.payload.is_empty() { leader_change(leader, now_ms) } else { entry.payload.clone() };
    patch(&mut batch, start, epoch_of(entry.term));
    batch
}

fn patch(batch: &mut [u8], start: Offset, epoch: LeaderEpoch) {
    let header = batch.first_chunk_mut().expect("a payload is a whole batch, so it has a header");
    batch::patch_offset_and_epoch(header, start, epoch);
}

fn leader_change(leader: Option<NodeId>, now_ms: i64) -> Vec<u8> {
    let message = LeaderChangeMessage { leader_id: leader.unwrap_or(-1), ..LeaderChangeMessage::default() };
    let mut value = Writer::new();
    message.encode(&mut value, 0).expect("version 0 carries every field");
    let mut builder = BatchBuilder::new(Codec::None).control();
    let key = [0, 0, 0, LEADER_CHANGE];
    builder.append(now_ms, Some(&key), Some(&value.into_bytes()), &[]);
    builder.build()
}
