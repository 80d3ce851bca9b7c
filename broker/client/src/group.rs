//! A consumer that shares the partitions of its topics with the other members of its group.
//!
//! The classic protocol: join, let the leader assign by range, sync, read, heartbeat, commit, leave. Eager: at
//! a rebalance all partitions are given up, their positions committed first. A heartbeat task keeps the
//! membership while the caller works; when it learns of a rebalance the next `poll` joins again. At least once:
//! only what earlier polls handed out is committed. Protocol: KIP-62, 134, 345, 394; states: `group/member.rs`.

mod assignor;
mod heartbeat;
mod leader;
mod member;
pub(crate) mod subscription;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use logspine_protocol::types::Offset;

use crate::client::Client;
use crate::consumer::{Consumer, ConsumerConfig, ConsumerRecord, StartAt};
use crate::error::ClientError;
use crate::metadata::TopicPartition;
use member::{Member, wants_rejoin};

/// Settings of one membership; the names are Kafka's.
#[derive(Debug, Clone)]
pub struct GroupConfig {
    /// Members of the same group share partitions.
    pub group_id: String,
    /// Every partition of these; a topic that does not exist yet joins when it does.
    pub topics: Vec<String>,
    /// Makes the membership survive a restart within the session timeout (KIP-345).
    pub instance_id: Option<String>,
    /// Silent for so long, a member is taken out of the group.
    pub session_timeout: Duration,
    /// How long the others wait for a member to join again.
    pub rebalance_timeout: Duration,
    /// How often the member says that it is alive; a third of the session timeout at most.
    pub heartbeat_interval: Duration,
    /// How often positions are committed by `poll`; `None` leaves it to the caller.
    pub auto_commit_interval: Option<Duration>,
    /// Where a partition begins that the group has no bookmark in.
    pub start: StartAt,
}

impl GroupConfig {
    /// A membership with Kafka's defaults, except that a new group begins at the beginning.
    pub fn new(group_id: impl Into<String>, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            group_id: group_id.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            auto_commit_interval: Some(Duration::from_secs(5)),
            start: StartAt::Earliest,
        }
    }
}

/// A member of a group. Call `close` to leave at once; a dropped member is missed after its session timeout.
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    config: GroupConfig,
    consumer: Consumer,
    member: Member,
    /// What the group believes: positions that were committed last.
    committed: BTreeMap<TopicPartition, Offset>,
    next_commit: Instant,
    stop_at_end: bool,
}

impl GroupConsumer {
    pub(crate) fn new(client: Client, config: GroupConfig, consumer: ConsumerConfig) -> Self {
        Self {
            consumer: Consumer::new(client.with_own_connections(), consumer),
            member: Member::new(client.clone(), config.clone()),
            client,
            config,
            committed: BTreeMap::new(),
            next_commit: Instant::now(),
            stop_at_end: false,
        }
    }

    /// The next records of the partitions that this member holds; empty when none came in time. Takes longer
    /// than `timeout` while the group rebalances.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            if self.member.must_join()? || self.member.topics_changed().await {
                self.join().await?;
            }
            self.commit_if_due().await?;
            let left = deadline.saturating_duration_since(Instant::now());
            tokio::select! {
                biased;
                _ = self.member.shaken() => continue,
                records = self.consumer.poll(left) => return records,
            }
        }
    }

    /// What this member holds at present; empty before the first `poll`.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.consumer.positions().into_keys().collect()
    }

    /// The generation of the group that this member belongs to; -1 outside of it.
    pub fn generation(&self) -> i32 {
        self.member.generation()
    }

    /// The next offset to be read, per partition.
    pub fn positions(&self) -> BTreeMap<TopicPartition, Offset> {
        self.consumer.positions()
    }

    /// Continues a partition that this member holds from this offset.
    pub fn seek(&mut self, partition: &TopicPartition, offset: Offset) -> Result<(), ClientError> {
        self.consumer.seek(partition, offset)
    }

    /// From now on every partition, as soon as it is assigned, ends where it ends at that moment.
    pub async fn stop_at_end(&mut self) -> Result<(), ClientError> {
        self.stop_at_end = true;
        self.consumer.stop_at_end().await
    }

    /// True once this member is in the group and has read everything it holds to where it stops.
    pub fn is_finished(&self) -> bool {
        self.member.generation() >= 0 && self.consumer.is_finished()
    }

    /// Commits the position of everything that was handed out.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let positions = self.consumer.positions();
        let moved: BTreeMap<_, _> = positions
            .into_iter()
            .filter(|(partition, offset)| self.committed.get(partition) != Some(offset))
            .collect();
        if !moved.is_empty() {
            self.member.commit(&moved).await?;
            self.committed.extend(moved);
        }
        Ok(())
    }

    /// Commits (unless that is the caller's business) and leaves, so that the others need not wait.
    pub async fn close(mut self) -> Result<(), ClientError> {
        let committed = match self.config.auto_commit_interval {
            Some(_) if self.member.generation() >= 0 => self.commit().await,
            _ => Ok(()),
        };
        self.member.leave().await?;
        committed
    }

    async fn commit_if_due(&mut self) -> Result<(), ClientError> {
        let Some(interval) = self.config.auto_commit_interval else { return Ok(()) };
        if Instant::now() < self.next_commit {
            return Ok(());
        }
        self.next_commit = Instant::now() + interval;
        match self.commit().await {
            // The rebalance that forbids it is dealt with by the next turn of `poll`; it will be tried again.
            Err(error) if wants_rejoin(&error) || error.is_retriable() => Ok(()),
            outcome => outcome,
        }
    }

    /// Gives up what is held, joins, and takes over what is assigned.
    async fn join(&mut self) -> Result<(), ClientError> {
        if self.config.auto_commit_interval.is_some() && self.member.generation() >= 0 {
            // Best effort: the group may have moved on without us, and then refuses it.
            let _ = self.commit().await;
        }
        self.consumer.unassign(|_| true);
        self.committed.clear();
        let assignment = self.member.join().await?;
        let bookmarks = self.member.committed(&assignment).await?;
        let start = |partition: TopicPartition| match bookmarks.get(&partition) {
            Some(offset) => (partition, StartAt::Offset(*offset)),
            None => (partition, self.config.start),
        };
        let starts: Vec<_> = assignment.into_iter().map(start).collect();
        self.consumer.assign(starts).await?;
        if self.stop_at_end {
            self.consumer.stop_at_end().await?;
        }
        self.committed = bookmarks;
        self.next_commit = Instant::now() + self.config.auto_commit_interval.unwrap_or_default();
        Ok(())
    }

    /// The client that this member belongs to.
    pub fn client(&self) -> &Client {
        &self.client
    }
}
