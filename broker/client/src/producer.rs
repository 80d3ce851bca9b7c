//! A producer: batches per partition, in order, each record acknowledged to its sender.
//!
//! One task per partition (`producer/lane.rs`) keeps one batch in flight and gathers the next meanwhile. That
//! alone keeps the order under retries, and a batch that is resent keeps its sequence numbers, so the broker
//! stores it once (KIP-98). Bounds: `buffer_bytes` of records that are not acknowledged; `send` waits for room.
//! Defaults are Kafka's since 3.0: acks=all, idempotent (KIP-679).

mod batch;
mod identity;
mod lane;
mod partitioner;

pub use partitioner::{murmur2, partition_of_key};

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};

use logspine_protocol::types::{Offset, PartitionIndex};

pub use logspine_protocol::compression::Codec;

use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use batch::{PendingRecord, now_ms, record_bytes};
use identity::Identities;
use lane::{Command, Lane};
use partitioner::StickyPartition;

/// Commands that wait for one partition's task; a record waits here while the batch before it is in flight.
const LANE_QUEUE: usize = 8192;

/// When a record counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// Never: nothing is known, and the offset is -1.
    None,
    /// Once the leader has it.
    Leader,
    /// Once every in-sync replica has it.
    #[default]
    All,
}

impl Acks {
    pub(crate) fn to_wire(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// Settings of one producer; the names are Kafka's where it has the same thing.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// When a record counts as written.
    pub acks: Acks,
    /// Number the records so that a resent batch is stored once. Needs `Acks::All`.
    pub idempotent: bool,
    /// How batches are compressed.
    pub codec: Codec,
    /// How long the first record of a batch waits for others.
    pub linger: Duration,
    /// A batch is sent when its records, uncompressed, reach this size.
    pub batch_bytes: usize,
    /// Records that are not yet acknowledged, in total; `send` waits for room.
    pub buffer_bytes: usize,
    /// How long after `send` a record is tried; afterwards it fails.
    pub delivery_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            codec: Codec::None,
            linger: Duration::from_millis(5),
            batch_bytes: 512 << 10,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProducerRecord {
    /// Must exist.
    pub topic: String,
    /// Where the key decides (or, without a key, nobody does) when `None`.
    pub partition: Option<PartitionIndex>,
    /// Records with equal keys go to the same partition, as long as their number stays.
    pub key: Option<Vec<u8>>,
    /// `None` is Kafka's null, the tombstone of compacted topics.
    pub value: Option<Vec<u8>>,
    /// Names and values that ride along.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch; the time of `send` when `None`.
    pub timestamp_ms: Option<i64>,
}

impl ProducerRecord {
    /// A record with a value and nothing else.
    pub fn new(topic: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), value: Some(value.into()), ..Self::default() }
    }

    /// The same record with this key.
    pub fn with_key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }
}

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// Shared between the records of one partition.
    pub topic: Arc<str>,
    /// Where the record went.
    pub partition: PartitionIndex,
    /// -1 with `Acks::None`, or when the broker only said that it has the record already.
    pub offset: Offset,
    /// The broker's time with LogAppendTime, the record's otherwise.
    pub timestamp_ms: i64,
}

/// Resolves once the record is acknowledged or has failed for good.
#[derive(Debug)]
pub struct Delivery(oneshot::Receiver<Result<RecordMetadata, ClientError>>);

impl Future for Delivery {
    type Output = Result<RecordMetadata, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let closed = |_| Err(ClientError::Closed("the producer"));
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or_else(closed))
    }
}

/// Writes records. Clones write through the same batches and numbering.
#[derive(Debug, Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    config: Arc<ProducerConfig>,
    identities: Arc<Identities>,
    room: Arc<Semaphore>,
    lanes: Mutex<BTreeMap<TopicPartition, mpsc::Sender<Command>>>,
    sticky: Mutex<BTreeMap<String, StickyPartition>>,
}

impl Producer {
    pub(crate) fn new(client: Client, config: ProducerConfig) -> Result<Self, ClientError> {
        if config.idempotent && config.acks != Acks::All {
            return Err(ClientError::Invalid(
                "an idempotent producer needs acks=all: set idempotent to false".into(),
            ));
        }
        if config.batch_bytes == 0 || config.buffer_bytes < config.batch_bytes {
            return Err(ClientError::Invalid(
                "batch_bytes must be at least 1 and fit into buffer_bytes".into(),
            ));
        }
        Ok(Self {
            shared: Arc::new(Shared {
                identities: Arc::new(Identities::new(client.clone(), config.idempotent)),
                room: Arc::new(Semaphore::new(config.buffer_bytes)),
                lanes: Mutex::default(),
                sticky: Mutex::default(),
                config: Arc::new(config),
                client,
            }),
        })
    }

    /// Takes the record over; returns when there is room for it. The delivery may be awaited or dropped.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, ClientError> {
        let shared = &self.shared;
        let partition = self.choose_partition(&record).await?;
        let bytes = record_bytes(&record);
        // A record larger than the whole buffer still gets its turn, alone.
        let permits = u32::try_from(bytes.min(shared.config.buffer_bytes)).unwrap_or(u32::MAX);
        let room = shared.room.clone().acquire_many_owned(permits).await;
        let room = room.map_err(|_| ClientError::Closed("the producer"))?;
        let (delivered, delivery) = oneshot::channel();
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(now_ms);
        let lane = self.lane(TopicPartition { topic: record.topic.clone(), partition });
        let pending = PendingRecord {
            record,
            timestamp_ms,
            bytes,
            delivered,
            room,
            sent_at: tokio::time::Instant::now(),
        };
        lane.send(Command::Record(pending)).await.map_err(|_| ClientError::Closed("the producer"))?;
        Ok(Delivery(delivery))
    }

    /// Sends what is gathered without waiting for more, and returns once all of it has its outcome.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let lanes: Vec<_> = locked(&self.shared.lanes).values().cloned().collect();
        let mut flushed = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let (done, is_done) = oneshot::channel();
            lane.send(Command::Flush(done)).await.map_err(|_| ClientError::Closed("the producer"))?;
            flushed.push(is_done);
        }
        for is_done in flushed {
            is_done.await.map_err(|_| ClientError::Closed("the producer"))?;
        }
        Ok(())
    }

    async fn choose_partition(&self, record: &ProducerRecord) -> Result<PartitionIndex, ClientError> {
        let topic = self.shared.client.topic(&record.topic).await?;
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        if let Some(partition) = record.partition {
            topic.partition(partition)?;
            return Ok(partition);
        }
        if partitions == 0 {
            return Err(ClientError::NoLeader { topic: record.topic.clone(), partition: 0 });
        }
        if let Some(key) = &record.key {
            return Ok(PartitionIndex(partition_of_key(key, partitions)));
        }
        let mut sticky = locked(&self.shared.sticky);
        let sticky = sticky.entry(record.topic.clone()).or_default();
        Ok(PartitionIndex(sticky.next(record_bytes(record), self.shared.config.batch_bytes, partitions)))
    }

    /// The task of this partition, started by its first record. It ends when the last producer is dropped and
    /// what was queued has its outcome.
    fn lane(&self, target: TopicPartition) -> mpsc::Sender<Command> {
        let shared = &self.shared;
        let mut lanes = locked(&shared.lanes);
        if let Some(lane) = lanes.get(&target) {
            return lane.clone();
        }
        let (commands, queue) = mpsc::channel(LANE_QUEUE);
        let lane =
            Lane::new(shared.client.clone(), shared.config.clone(), shared.identities.clone(), &target);
        tokio::spawn(lane.run(queue));
        lanes.insert(target, commands.clone());
        commands
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
