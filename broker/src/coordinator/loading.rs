//! Replays a partition of `__consumer_offsets` into its shard before that serves.
//!
//! Reads up to the log's end as of the moment this broker became its leader: everything that an earlier answer
//! may have promised lies below it. Reading blocks, so it happens on the blocking pool, a few partitions at a
//! time. A record that cannot be read means that offsets would be wrong: the shard does not serve then. Offsets that
//! a transaction committed count once its marker says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logspine_cluster::group::{DeletedTopic, GroupRecord, Input, RecordError};
use logspine_cluster::metadata::MetadataImage;
use logspine_protocol::batch::{
    BatchError, BatchView, ControlRecord, ControlRecordType, RecordSet, iter_batches,
};
use logspine_protocol::types::{Offset, ProducerId};
use logspine_replica::{Isolation, ReadBudget};
use logspine_storage::ReadError;
use thiserror::Error;

use super::Coordinator;
use super::driver::Shard;

/// Read in one go.
const CHUNK_BYTES: u32 = 1 << 20;
/// Patience with a watermark that does not come: the disk is stuck, and each round says so.
const WATERMARK_PATIENCE: Duration = Duration::from_secs(30);

/// Why the groups of a partition cannot be loaded.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the batch at offset {offset}: {reason}")]
    Batch { offset: Offset, reason: BatchError },
    #[error("the record at offset {offset}: {reason}; if a newer version wrote it, start that version")]
    Record { offset: Offset, reason: RecordError },
    #[error("the log stops at offset {found}, before its end {end}")]
    Stops { found: Offset, end: Offset },
}

impl Coordinator {
    /// Brings a new shard to life: at once when its log is empty, else in the background.
    pub(super) fn load(&self, shard: &Arc<Shard>) {
        let view = shard.partition().view();
        if view.log_start_offset() == view.log_end_offset() {
            shard.step(Input::Loaded);
            return;
        }
        tokio::spawn(self.clone().load_in_background(Arc::clone(shard)));
    }

    async fn load_in_background(self, shard: Arc<Shard>) {
        let Ok(_permit) = Arc::clone(&self.inner.loads).acquire_owned().await else { return };
        let started = Instant::now();
        let end = shard.partition().view().log_end_offset();
        while let Err(error) =
            shard.partition().wait_committed(end, Instant::now() + WATERMARK_PATIENCE).await
        {
            tracing::warn!(partition = shard.index(), "groups cannot be loaded yet: {error}");
            if !shard.partition().is_healthy() {
                return shard.resign();
            }
        }
        let reader = Arc::clone(&shard);
        let loaded = tokio::task::spawn_blocking(move || replay_log(&reader, end)).await;
        match loaded {
            Ok(Ok(records)) => {
                shard.step(Input::Loaded);
                self.drop_offsets_of_lost_topics(&shard);
                let elapsed_ms = started.elapsed().as_millis();
                tracing::info!(partition = shard.index(), records, elapsed_ms, "groups are loaded");
            }
            Ok(Err(error)) => {
                tracing::error!(partition = shard.index(), "__consumer_offsets cannot be loaded: {error}");
                shard.fail();
            }
            // The runtime is shutting down.
            Err(_) => shard.resign(),
        }
    }

    /// Topics that were deleted while nobody coordinated.
    fn drop_offsets_of_lost_topics(&self, shard: &Arc<Shard>) {
        let image = self.inner.metadata.image();
        let lost = shard.look(|machine| {
            let mut lost: Vec<DeletedTopic> = Vec::new();
            for (key, offset) in machine.offsets() {
                let topic = DeletedTopic { topic_id: offset.topic_id, name: key.topic.clone() };
                if is_lost(&image, &topic) && !lost.contains(&topic) {
                    lost.push(topic);
                }
            }
            lost
        });
        if !lost.is_empty() {
            shard.step(Input::TopicsDeleted(lost));
        }
    }
}

fn is_lost(image: &MetadataImage, topic: &DeletedTopic) -> bool {
    if topic.topic_id.is_zero() {
        image.topic_by_name(&topic.name).is_none()
    } else {
        image.topic_by_id(topic.topic_id).is_none()
    }
}

/// Replays everything below `end`; returns how many records that were.
fn replay_log(shard: &Shard, end: Offset) -> Result<usize, LoadError> {
    let view = shard.partition().view();
    let mut next = view.log_start_offset();
    let mut count = 0;
    let mut committed = CommittedRecords::default();
    while next < end {
        let budget = ReadBudget { bytes_max: CHUNK_BYTES, at_least_one_batch: true };
        let bytes = view.read(next, Isolation::HighWatermark, budget)?.to_vec()?;
        let found = next;
        for batch in iter_batches(&bytes) {
            let batch = batch.map_err(|reason| LoadError::Batch { offset: next, reason })?;
            batch.verify_crc().map_err(|reason| LoadError::Batch { offset: next, reason })?;
            next = batch.last_offset() + 1;
            let records = committed.of(&batch)?;
            count += records.len();
            shard.replay(&records);
        }
        if next <= found {
            return Err(LoadError::Stops { found, end });
        }
    }
    Ok(count)
}

/// Group records in the order in which they count: those of a transaction when its marker says so.
#[derive(Default)]
pub(crate) struct CommittedRecords {
    /// By producer, what a marker has yet to decide; what is left at the end of a log does not count (yet).
    open: BTreeMap<ProducerId, Vec<GroupRecord>>,
}

impl CommittedRecords {
    /// What counts from this batch on.
    pub(crate) fn of(&mut self, batch: &BatchView<'_>) -> Result<Vec<GroupRecord>, LoadError> {
        let offset = batch.base_offset();
        let records = batch.records().map_err(|reason| LoadError::Batch { offset, reason })?;
        if batch.is_control() {
            let ended = self.open.remove(&batch.producer_id()).unwrap_or_default();
            return Ok(if commits(&records) { ended } else { Vec::new() });
        }
        let records = decode(&records, offset)?;
        if !batch.is_transactional() {
            return Ok(records);
        }
        self.open.entry(batch.producer_id()).or_default().extend(records);
        Ok(Vec::new())
    }
}

/// Whether a control batch says that its producer's transaction counts.
fn commits(records: &RecordSet<'_>) -> bool {
    let marker = records.iter().next().and_then(Result::ok).and_then(|record| ControlRecord::parse(&record));
    marker.is_some_and(|marker| marker.kind == ControlRecordType::Commit)
}

fn decode(records: &RecordSet<'_>, batch: Offset) -> Result<Vec<GroupRecord>, LoadError> {
    let mut decoded = Vec::new();
    for record in records {
        let record = record.map_err(|reason| LoadError::Batch { offset: batch, reason })?;
        // A record without key belongs to nobody; the log of a compacted topic has none.
        let Some(key) = record.key else { continue };
        let offset = record.offset;
        let read = GroupRecord::decode(key, record.value);
        decoded.extend(read.map_err(|reason| LoadError::Record { offset, reason })?);
    }
    Ok(decoded)
}
