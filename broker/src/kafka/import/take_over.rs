//! Opens a log that was brought over once, as a broker would, and closes it cleanly.
//!
//! Recovery runs if Kafka did not close the log; what it finds damaged refuses the import. Transactions that were
//! open when Kafka stopped have nobody who ends them: they hold read_committed back for good, as in Kafka, unless
//! abort markers are asked for. A marker bears the next producer epoch, so that the producer is fenced.

use logspine_protocol::batch::{BatchBuilder, ControlRecord, ControlRecordType};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use logspine_storage::{Log, LogDir};

use super::super::error::KafkaError;
use super::plan::PlannedPartition;
use crate::clock;

/// A transaction that nobody ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    pub producer_id: ProducerId,
    pub first_offset: Offset,
    pub is_aborted: bool,
}

/// What was taken of one partition.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub log_start: Offset,
    pub log_end: Offset,
    pub size_bytes: u64,
    /// Bytes that recovery moved aside.
    pub cut_bytes: u64,
    pub open_transactions: Vec<OpenTransaction>,
}

pub fn take_over(
    log_dir: &LogDir,
    partition: &PlannedPartition,
    abort_open: bool,
) -> Result<Taken, KafkaError> {
    let now_ms = clock::wall_ms();
    let (mut log, recovered) = Log::open(partition.open(log_dir, now_ms))?;
    if let Some(damage) = recovered.damage {
        let (topic, reason) = (partition.topic.to_string(), damage.to_string());
        return Err(KafkaError::Damaged { partition: partition.name(), topic, reason });
    }
    let open: Vec<_> = log.producers().open_transactions().collect();
    let mut open_transactions = Vec::with_capacity(open.len());
    for (first_offset, producer_id) in open {
        if abort_open {
            abort(&mut log, producer_id, partition, now_ms)?;
        }
        open_transactions.push(OpenTransaction { producer_id, first_offset, is_aborted: abort_open });
    }
    let reader = log.reader();
    log.close(true)?;
    Ok(Taken {
        log_start: reader.log_start(),
        log_end: reader.log_end(),
        size_bytes: reader.size_bytes(),
        cut_bytes: recovered.truncated_bytes,
        open_transactions,
    })
}

fn abort(
    log: &mut Log,
    producer_id: ProducerId,
    partition: &PlannedPartition,
    now_ms: i64,
) -> Result<(), KafkaError> {
    let known = log.producers().iter().find(|(id, _)| *id == producer_id).map(|(_, state)| state);
    let (epoch, coordinator_epoch) =
        known.map_or((0, 0), |state| (state.epoch.0.saturating_add(1), state.coordinator_epoch.max(0)));
    let (key, value) = ControlRecord { kind: ControlRecordType::Abort, coordinator_epoch }.encode();
    let mut marker = BatchBuilder::new(Codec::None)
        .producer(producer_id, ProducerEpoch(epoch), -1)
        .transactional()
        .control();
    marker.append(now_ms, Some(&key), Some(&value), &[]);
    let leader_epoch = log.leader_epoch().unwrap_or(LeaderEpoch(0)).max(partition.leader_epoch);
    log.append_as_leader(&marker.build(), leader_epoch, now_ms)
        .map_err(|source| KafkaError::Marker { partition: partition.name(), source })?;
    Ok(())
}
