//! Counts the consumer groups and committed offsets that came over, by reading `__consumer_offsets` as the
//! coordinator will: whatever it could not read then is found now.

use std::collections::BTreeSet;

use logspine_cluster::group::GroupRecord;
use logspine_cluster::metadata::GROUP_METADATA_TOPIC_NAME;
use logspine_protocol::batch::iter_batches;
use logspine_replica::group_log::CommittedRecords;
use logspine_storage::{Log, LogDir, OpenLog};

use super::super::error::KafkaError;
use super::plan::{Plan, PlannedPartition};

/// Read in one go.
const CHUNK_BYTES: u32 = 1 << 20;

/// How much the groups' topic holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Groups {
    pub groups: usize,
    pub offsets: usize,
}

pub fn count(log_dir: &LogDir, plan: &Plan) -> Result<Groups, KafkaError> {
    let mut sum = Groups::default();
    for partition in plan.partitions.iter().filter(|planned| &*planned.topic == GROUP_METADATA_TOPIC_NAME) {
        let mut offsets = BTreeSet::new();
        replay(log_dir, partition, |record| {
            if let GroupRecord::Offset { key, value } = record {
                let known = (key.group_id.clone(), key.topic.clone(), key.partition);
                if value.is_some() {
                    offsets.insert(known)
                } else {
                    offsets.remove(&known)
                };
            }
        })?;
        let groups: BTreeSet<_> = offsets.iter().map(|(group, ..)| group).collect();
        sum.groups += groups.len();
        sum.offsets += offsets.len();
    }
    Ok(sum)
}

fn replay(
    log_dir: &LogDir,
    partition: &PlannedPartition,
    mut each: impl FnMut(&GroupRecord),
) -> Result<(), KafkaError> {
    let damaged = |reason: String| KafkaError::Damaged {
        partition: partition.name(),
        topic: partition.topic.to_string(),
        reason,
    };
    // It was closed cleanly when it was taken over.
    let (log, _) = Log::open(OpenLog { clean: true, ..partition.open(log_dir, 0) })?;
    let reader = log.reader();
    let (mut next, mut committed) = (reader.log_start(), CommittedRecords::default());
    while next < reader.log_end() {
        let slice = reader.read(next, reader.log_end(), CHUNK_BYTES, true);
        let bytes = slice.map_err(|error| damaged(error.to_string()))?.to_vec();
        let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
        let begun = next;
        for batch in iter_batches(&bytes) {
            let batch = batch.map_err(|error| damaged(error.to_string()))?;
            next = batch.next_offset();
            let records = committed.of(&batch).map_err(|error| damaged(error.to_string()))?;
            records.iter().for_each(&mut each);
        }
        if next <= begun {
            return Err(damaged(format!("the log stops at offset {begun}")));
        }
    }
    Ok(())
}
