//! Gathering the records of one partition into batches.
//!
//! A batch ends when it is full, when its first record has waited `linger`, or when a flush asks for it. What
//! has already waited longer, because the batch before took its time, is taken without further waiting.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use logspine_protocol::batch::BatchBuilder;
use logspine_protocol::compression::Codec;

use super::identity::Numbering;
use super::lane::Command;
use super::{ProducerConfig, ProducerRecord, RecordMetadata};
use crate::error::ClientError;

/// A record on its way, with everything that must happen when it arrives.
#[derive(Debug)]
pub(super) struct PendingRecord {
    pub record: ProducerRecord,
    pub timestamp_ms: i64,
    pub bytes: usize,
    pub delivered: oneshot::Sender<Result<RecordMetadata, ClientError>>,
    /// Its share of the producer's buffer, given back when this is dropped.
    pub room: OwnedSemaphorePermit,
    pub sent_at: Instant,
}

/// What one turn of a lane has to do.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub records: Vec<PendingRecord>,
    /// To be told once the records have their outcome.
    pub flushes: Vec<oneshot::Sender<()>>,
}

/// Waits for the next batch; `None` when no producer is left and nothing is queued.
pub(super) async fn gather(queue: &mut mpsc::Receiver<Command>, config: &ProducerConfig) -> Option<Gathered> {
    let mut gathered = Gathered::default();
    let mut bytes = 0;
    let mut deadline = None;
    while bytes < config.batch_bytes {
        let command = match queue.try_recv() {
            Ok(command) => command,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => match deadline {
                None => queue.recv().await?,
                Some(deadline) => match timeout_at(deadline, queue.recv()).await {
                    Ok(Some(command)) => command,
                    Ok(None) | Err(_) => break,
                },
            },
        };
        match command {
            Command::Record(record) => {
                deadline.get_or_insert(record.sent_at + config.linger);
                bytes += record.bytes;
                gathered.records.push(record);
            }
            Command::Flush(done) => {
                gathered.flushes.push(done);
                break;
            }
        }
    }
    let nothing = gathered.records.is_empty() && gathered.flushes.is_empty();
    (!nothing).then_some(gathered)
}

/// The records as Kafka stores them, compressed and numbered.
pub(super) fn encode(records: &[PendingRecord], codec: Codec, numbering: Option<Numbering>) -> Vec<u8> {
    let mut batch = BatchBuilder::new(codec);
    if let Some(Numbering { id, epoch, base_sequence }) = numbering {
        batch = batch.producer(id, epoch, base_sequence);
    }
    for PendingRecord { record, timestamp_ms, .. } in records {
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        batch.append(*timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    batch.build()
}

/// An upper estimate of a record's size in a batch (`DefaultRecord.recordSizeUpperBound`).
pub(super) fn record_bytes(record: &ProducerRecord) -> usize {
    const OVERHEAD: usize = 21;
    let headers =
        record.headers.iter().map(|(name, value)| 10 + name.len() + value.as_ref().map_or(0, Vec::len));
    let (key, value) = (record.key.as_ref().map_or(0, Vec::len), record.value.as_ref().map_or(0, Vec::len));
    OVERHEAD + key + value + headers.sum::<usize>()
}

/// Milliseconds since the epoch, for records that bring no time of their own.
pub(super) fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
