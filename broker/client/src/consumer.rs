//! A consumer of partitions that its caller chooses: from any offset or time, to the end or for ever.
//!
//! One Fetch per leader is on its way at a time, as a task of its own, so that reading continues while the
//! caller works on what it got. `poll` hands out what one Fetch brought; a partition's position is then behind
//! it. Bounds: `max_bytes` per leader. Positions belong to the consumer alone; groups are `group.rs`.
//! Reads up to the high watermark (read_uncommitted).

mod fetch;
mod record;
mod start;

pub use record::{ConsumerRecord, TimestampType};
pub use start::StartAt;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset};

use crate::client::Client;
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use crate::retry::Backoff;
use fetch::{FetchPlan, Fetched, PartitionFetched, PartitionWanted, fetch};

/// What happens when a position is not in the log any more, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// From the first record that is there.
    #[default]
    Earliest,
    /// From the end: what was missed is not read.
    Latest,
    /// `poll` fails with OFFSET_OUT_OF_RANGE.
    Error,
}

/// Settings of one consumer; the names are Kafka's.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// How long a broker waits for `min_bytes` before it answers with less.
    pub max_wait: Duration,
    /// See `max_wait`.
    pub min_bytes: usize,
    /// The most that one Fetch brings, except that one batch always comes whole.
    pub max_bytes: usize,
    /// The same per partition.
    pub partition_max_bytes: usize,
    /// What happens to a position that is not in the log.
    pub offset_reset: OffsetReset,
    /// Compare each batch with its checksum.
    pub check_crcs: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 8 << 20,
            partition_max_bytes: 1 << 20,
            offset_reset: OffsetReset::Earliest,
            check_crcs: true,
        }
    }
}

/// Where a partition is being read.
#[derive(Debug, Clone)]
struct Position {
    next: Offset,
    /// Reading stops before this offset.
    stop: Option<Offset>,
    high_watermark: Option<Offset>,
}

impl Position {
    fn is_finished(&self) -> bool {
        self.stop.is_some_and(|stop| self.next >= stop)
    }
}

/// Reads records. Dropping it closes its connections.
#[derive(Debug)]
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    positions: BTreeMap<TopicPartition, Position>,
    fetches: JoinSet<Fetched>,
    /// Leaders that a fetch is on its way to.
    asked: BTreeSet<BrokerId>,
    /// Which partition comes first in the next fetch, so that none starves behind `max_bytes`.
    turn: usize,
    backoff: Option<Backoff>,
}

impl Consumer {
    pub(crate) fn new(client: Client, config: ConsumerConfig) -> Self {
        Self {
            client,
            config,
            positions: BTreeMap::new(),
            fetches: JoinSet::new(),
            asked: BTreeSet::new(),
            turn: 0,
            backoff: None,
        }
    }

    /// Adds these partitions, each from its own place, or moves those that are being read already.
    pub async fn assign(
        &mut self,
        starts: impl IntoIterator<Item = (TopicPartition, StartAt)>,
    ) -> Result<(), ClientError> {
        let resolved = start::resolve(&self.client, starts.into_iter().collect()).await?;
        for (partition, next) in resolved {
            self.positions.insert(partition, Position { next, stop: None, high_watermark: None });
        }
        Ok(())
    }

    /// Reads every partition of a topic from the same place.
    pub async fn assign_topic(&mut self, topic: &str, start: StartAt) -> Result<(), ClientError> {
        let description = self.client.topic(topic).await?;
        let partitions = description.partitions.iter();
        self.assign(partitions.map(|partition| (TopicPartition::new(topic, partition.index.0), start))).await
    }

    /// Stops reading these partitions, or all that the predicate chooses.
    pub fn unassign(&mut self, chosen: impl Fn(&TopicPartition) -> bool) {
        self.positions.retain(|partition, _| !chosen(partition));
    }

    /// Continues a partition from this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), ClientError> {
        let position = self.positions.get_mut(partition);
        let position =
            position.ok_or_else(|| ClientError::Invalid(format!("{partition} is not assigned")))?;
        position.next = offset;
        Ok(())
    }

    /// From now on every assigned partition ends where it ends at this moment.
    pub async fn stop_at_end(&mut self) -> Result<(), ClientError> {
        let partitions: Vec<_> = self.positions.keys().cloned().collect();
        let ends =
            start::resolve(&self.client, partitions.into_iter().map(|p| (p, StartAt::Latest)).collect())
                .await?;
        for (partition, end) in ends {
            if let Some(position) = self.positions.get_mut(&partition) {
                position.stop = Some(end);
            }
        }
        Ok(())
    }

    /// True once every partition has been read to where it stops.
    pub fn is_finished(&self) -> bool {
        self.positions.values().all(Position::is_finished)
    }

    /// The next offset to be read, per partition.
    pub fn positions(&self) -> BTreeMap<TopicPartition, Offset> {
        self.positions.iter().map(|(partition, position)| (partition.clone(), position.next)).collect()
    }

    /// The high watermark of a partition as of its last fetch.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.positions.get(partition)?.high_watermark
    }

    /// The next records, in order per partition; empty when none came in time or all partitions are finished.
    /// Cancelling it loses nothing.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + timeout;
        if self.positions.is_empty() {
            tokio::time::sleep_until(deadline).await;
            return Ok(Vec::new());
        }
        loop {
            if let Err(error) = self.start_fetches().await {
                self.pause(error).await?;
            }
            if self.fetches.is_empty() && self.is_finished() {
                return Ok(Vec::new());
            }
            let fetched = match timeout_at(deadline, self.fetches.join_next()).await {
                Err(_) => return Ok(Vec::new()),
                // No leader could be asked; the pause above has kept this from spinning.
                Ok(None) if Instant::now() >= deadline => return Ok(Vec::new()),
                Ok(None) => continue,
                Ok(Some(fetched)) => fetched.map_err(|_| ClientError::Closed("the consumer's fetch"))?,
            };
            let records = self.take_in(fetched).await?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
    }

    /// Sends a Fetch to each leader that has none on its way, for all partitions it leads.
    async fn start_fetches(&mut self) -> Result<(), ClientError> {
        let mut plans: BTreeMap<BrokerId, FetchPlan> = BTreeMap::new();
        for (partition, position) in self.positions.iter().filter(|(_, position)| !position.is_finished()) {
            let topic = self.client.topic_once(&partition.topic).await?;
            let description =
                topic.partition(partition.partition).inspect_err(|_| self.client.forget(&topic))?;
            let leader = topic.leader(partition.partition).inspect_err(|_| self.client.forget(&topic))?;
            if self.asked.contains(&leader) {
                continue;
            }
            plans.entry(leader).or_default().wanted.push(PartitionWanted {
                partition: partition.clone(),
                topic_id: topic.topic_id,
                from: position.next,
                leader_epoch: if description.leader_epoch.0 < 0 {
                    LeaderEpoch(-1)
                } else {
                    description.leader_epoch
                },
            });
        }
        for (leader, mut plan) in plans {
            self.turn = self.turn.wrapping_add(1);
            let first = self.turn % plan.wanted.len();
            plan.wanted.rotate_left(first);
            self.asked.insert(leader);
            self.fetches.spawn(fetch(self.client.clone(), self.config.clone(), leader, plan));
        }
        Ok(())
    }

    /// Moves positions behind what a fetch brought, and deals with what it could not bring.
    async fn take_in(&mut self, fetched: Fetched) -> Result<Vec<ConsumerRecord>, ClientError> {
        self.asked.remove(&fetched.leader);
        let mut records = Vec::new();
        let mut failed = None;
        for PartitionFetched { wanted, outcome } in fetched.partitions {
            // A seek or a new assignment has come in between: what was fetched is not wanted any more.
            let Some(position) = self.positions.get_mut(&wanted.partition) else { continue };
            if position.next != wanted.from {
                continue;
            }
            match outcome {
                Ok(mut progress) => {
                    position.high_watermark = Some(progress.high_watermark);
                    position.next = progress.next;
                    if let Some(stop) = position.stop.filter(|stop| progress.next > *stop) {
                        progress.records.retain(|record| record.offset < stop);
                        position.next = stop;
                    }
                    records.append(&mut progress.records);
                    self.backoff = None;
                }
                Err(error) => failed = Some((wanted.partition, error)),
            }
        }
        // What came is handed out first; the failure comes again with the next fetch if it lasts.
        if let (Some((partition, error)), true) = (failed, records.is_empty()) {
            self.recover(partition, error).await?;
        }
        Ok(records)
    }

    async fn recover(&mut self, partition: TopicPartition, error: ClientError) -> Result<(), ClientError> {
        if error.code() == Some(ErrorCode::OffsetOutOfRange) {
            let start = match self.config.offset_reset {
                OffsetReset::Earliest => StartAt::Earliest,
                OffsetReset::Latest => StartAt::Latest,
                OffsetReset::Error => return Err(error),
            };
            let resolved = start::resolve(&self.client, BTreeMap::from([(partition, start)])).await?;
            for (partition, next) in resolved {
                if let Some(position) = self.positions.get_mut(&partition) {
                    position.next = next;
                }
            }
            return Ok(());
        }
        if error.is_stale_metadata() {
            self.client.forget_topic(&partition.topic);
        }
        self.pause(error).await
    }

    async fn pause(&mut self, error: ClientError) -> Result<(), ClientError> {
        let config = self.client.config();
        self.backoff.get_or_insert_with(|| Backoff::new(config)).pause(error).await
    }
}

#[cfg(test)]
mod tests;
