//! The decision about one partition on its leader: follower positions, in-sync set, high watermark.
//!
//! Pure: positions in, effects out. `replica::partition` feeds it and carries out what it answers.
//! Invariants: the high watermark never falls within one leader epoch and never passes the durable end of any
//! member of the in-sync set, proposed members included; a follower counts only from a fetch that bore the
//! current leader epoch; nobody joins the in-sync set below the watermark or below the start of this epoch;
//! with fewer than `min_insync_replicas` members the watermark stands still (KIP-966).
//! "Durable end" is what the decision counts: with a large `flush.messages` the driver reports the log end.
//! Kafka: `kafka.cluster.Partition`, KIP-101, KIP-279, KIP-966.

mod watermark;

#[cfg(test)]
mod scenario;

use std::collections::{BTreeMap, BTreeSet};

use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset};
use thiserror::Error;

/// What leads to a new reign: the metadata's word, joined with what the local log knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    pub leader_epoch: LeaderEpoch,
    /// Grows with every change of the partition in the metadata; guards proposals against stale ones.
    pub partition_epoch: i32,
    pub replicas: Vec<BrokerId>,
    pub isr: Vec<BrokerId>,
    /// `min.insync.replicas` of the topic.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`.
    pub lag_time_max_ms: i64,
    /// The leader's log end at this moment, where its epoch starts.
    pub log_end: Offset,
    pub durable_end: Offset,
    /// As checkpointed, or as learnt while following.
    pub high_watermark: Offset,
}

/// A follower asks for records; by that it says how far its disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerFetch {
    pub broker: BrokerId,
    /// -1 when the follower did not say.
    pub leader_epoch: LeaderEpoch,
    /// Everything below is durable on the follower.
    pub fetch_offset: Offset,
}

/// What the partition must carry out, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The watermark moved: publish it, wake who waits below it.
    AdvanceHighWatermark(Offset),
    /// Ask the controller for this in-sync set; it holds when `isr_committed` says so.
    ProposeIsr { isr: Vec<BrokerId>, leader_epoch: LeaderEpoch, partition_epoch: i32 },
}

/// Why a follower's fetch does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reject {
    #[error("leader epoch {given} is older than the current {current}")]
    FencedLeaderEpoch { given: LeaderEpoch, current: LeaderEpoch },
    #[error("leader epoch {given} is newer than the current {current}")]
    UnknownLeaderEpoch { given: LeaderEpoch, current: LeaderEpoch },
    #[error("broker {broker} is not a replica of this partition")]
    NotAReplica { broker: BrokerId },
    #[error("this broker does not lead the partition (epoch {current})")]
    NotLeader { current: LeaderEpoch },
}

/// What the leader knows of one other replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Follower {
    /// `None` until it has fetched in this leader epoch.
    durable_end: Option<Offset>,
    /// When it last held everything that the leader held.
    caught_up_ms: i64,
    /// The leader's log end when the follower last fetched, and when that was.
    end_at_fetch: Offset,
    fetched_ms: i64,
}

/// A proposal the controller has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proposal {
    isr: BTreeSet<BrokerId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reign {
    partition_epoch: i32,
    /// Log end when the epoch began: records below it are of older leaders.
    epoch_start: Offset,
    log_end: Offset,
    durable_end: Offset,
    followers: BTreeMap<BrokerId, Follower>,
    isr: BTreeSet<BrokerId>,
    proposal: Option<Proposal>,
    min_insync_replicas: usize,
    lag_time_max_ms: i64,
}

/// One replica's view of its partition: leading (a `Reign`) or following.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    local: BrokerId,
    leader_epoch: LeaderEpoch,
    high_watermark: Offset,
    reign: Option<Reign>,
}

impl PartitionState {
    /// A replica that neither leads nor follows yet, with the watermark of its checkpoint.
    pub fn new(local: BrokerId, high_watermark: Offset) -> Self {
        Self { local, leader_epoch: LeaderEpoch(-1), high_watermark, reign: None }
    }

    /// The metadata made this replica the leader. An epoch that is not newer changes nothing but the sets.
    pub fn become_leader(&mut self, now_ms: i64, word: Leadership) -> Vec<Effect> {
        if self.reign.is_some() && word.leader_epoch == self.leader_epoch {
            return self.isr_committed(&word.isr, word.partition_epoch);
        }
        assert!(word.leader_epoch >= self.leader_epoch, "leader epoch went back to {}", word.leader_epoch);
        let follower = Follower {
            durable_end: None,
            caught_up_ms: now_ms,
            end_at_fetch: word.log_end,
            fetched_ms: now_ms,
        };
        let others = word.replicas.iter().filter(|id| **id != self.local);
        self.leader_epoch = word.leader_epoch;
        self.high_watermark = self.high_watermark.max(word.high_watermark).min(word.durable_end);
        self.reign = Some(Reign {
            partition_epoch: word.partition_epoch,
            epoch_start: word.log_end,
            log_end: word.log_end,
            durable_end: word.durable_end,
            followers: others.map(|id| (*id, follower)).collect(),
            isr: word.isr.into_iter().collect(),
            proposal: None,
            min_insync_replicas: word.min_insync_replicas,
            lag_time_max_ms: word.lag_time_max_ms,
        });
        self.advance()
    }

    /// The metadata made another replica the leader, in this epoch.
    pub fn become_follower(&mut self, leader_epoch: LeaderEpoch) {
        assert!(leader_epoch >= self.leader_epoch, "leader epoch went back to {leader_epoch}");
        self.leader_epoch = leader_epoch;
        self.reign = None;
    }

    /// A follower learns the watermark from its leader, and never more than its own log holds.
    pub fn learn_high_watermark(&mut self, leader_high_watermark: Offset, log_end: Offset) -> Vec<Effect> {
        if self.reign.is_some() {
            return Vec::new();
        }
        self.raise(leader_high_watermark.min(log_end))
    }

    /// The log was cut to `end` (divergence after a change of leader).
    pub fn truncated(&mut self, end: Offset) {
        assert!(self.reign.is_none(), "a leader never truncates");
        self.high_watermark = self.high_watermark.min(end);
    }

    /// The leader appended up to `log_end`.
    pub fn appended(&mut self, log_end: Offset) {
        if let Some(reign) = &mut self.reign {
            assert!(log_end >= reign.log_end, "the log end went back to {log_end}");
            reign.log_end = log_end;
        }
    }

    /// Everything below `durable_end` is safe here, by the partition's `flush.messages`.
    pub fn durable(&mut self, durable_end: Offset) -> Vec<Effect> {
        let Some(reign) = &mut self.reign else { return Vec::new() };
        reign.durable_end = reign.durable_end.max(durable_end);
        self.advance()
    }

    /// A follower fetched. Its position counts only when it knows the epoch that it follows.
    pub fn follower_fetch(&mut self, now_ms: i64, fetch: FollowerFetch) -> Result<Vec<Effect>, Reject> {
        let current = self.leader_epoch;
        let Some(reign) = &mut self.reign else { return Err(Reject::NotLeader { current }) };
        if fetch.leader_epoch < current {
            return Err(Reject::FencedLeaderEpoch { given: fetch.leader_epoch, current });
        }
        if fetch.leader_epoch > current {
            return Err(Reject::UnknownLeaderEpoch { given: fetch.leader_epoch, current });
        }
        let log_end = reign.log_end;
        let Some(follower) = reign.followers.get_mut(&fetch.broker) else {
            return Err(Reject::NotAReplica { broker: fetch.broker });
        };
        follower.note_fetch(now_ms, fetch.fetch_offset, log_end);
        let mut effects = self.advance();
        effects.extend(self.propose_expansion(fetch.broker));
        Ok(effects)
    }

    /// Time passed: who has lagged for too long is proposed to leave the in-sync set.
    pub fn tick(&mut self, now_ms: i64) -> Option<Effect> {
        let reign = self.reign.as_ref()?;
        if reign.proposal.is_some() {
            return None;
        }
        let lagging = |id: &BrokerId| reign.followers.get(id).is_some_and(|f| reign.lags(f, now_ms));
        let kept: BTreeSet<BrokerId> = reign.isr.iter().copied().filter(|id| !lagging(id)).collect();
        (kept.len() < reign.isr.len()).then(|| self.propose(kept)).flatten()
    }

    /// The controller's word on the in-sync set, asked for or not. A stale word is ignored.
    pub fn isr_committed(&mut self, isr: &[BrokerId], partition_epoch: i32) -> Vec<Effect> {
        let Some(reign) = &mut self.reign else { return Vec::new() };
        if partition_epoch < reign.partition_epoch {
            return Vec::new();
        }
        reign.partition_epoch = partition_epoch;
        reign.isr = isr.iter().copied().collect();
        reign.proposal = None;
        self.advance()
    }

    /// The controller did not take the proposal: the committed set stands, and another may be proposed.
    pub fn isr_refused(&mut self) -> Vec<Effect> {
        if let Some(reign) = &mut self.reign {
            reign.proposal = None;
        }
        self.advance()
    }

    /// `min.insync.replicas` of the topic changed.
    pub fn update_min_insync_replicas(&mut self, min_insync_replicas: usize) -> Vec<Effect> {
        if let Some(reign) = &mut self.reign {
            reign.min_insync_replicas = min_insync_replicas;
        }
        self.advance()
    }

    pub fn is_leader(&self) -> bool {
        self.reign.is_some()
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The committed in-sync set; empty on a follower, which does not know it.
    pub fn isr(&self) -> Vec<BrokerId> {
        self.reign.as_ref().map(|r| r.isr.iter().copied().collect()).unwrap_or_default()
    }

    /// Whether acks=all must be refused with NOT_ENOUGH_REPLICAS. Kafka compares the raw setting here, so a
    /// lone replica with `min.insync.replicas=2` refuses.
    pub fn is_under_min_isr(&self) -> bool {
        self.reign.as_ref().is_some_and(|r| r.isr.len() < r.min_insync_replicas)
    }

    fn advance(&mut self) -> Vec<Effect> {
        match self.reign.as_ref().and_then(Reign::high_watermark) {
            Some(reached) => self.raise(reached),
            None => Vec::new(),
        }
    }

    fn raise(&mut self, reached: Offset) -> Vec<Effect> {
        if reached <= self.high_watermark {
            return Vec::new();
        }
        self.high_watermark = reached;
        vec![Effect::AdvanceHighWatermark(reached)]
    }

    fn propose_expansion(&mut self, broker: BrokerId) -> Option<Effect> {
        let reign = self.reign.as_ref()?;
        if reign.proposal.is_some() || reign.isr.contains(&broker) {
            return None;
        }
        let reached = reign.followers.get(&broker)?.durable_end?;
        if reached < self.high_watermark || reached < reign.epoch_start {
            return None;
        }
        let mut wider = reign.isr.clone();
        wider.insert(broker);
        self.propose(wider)
    }

    fn propose(&mut self, isr: BTreeSet<BrokerId>) -> Option<Effect> {
        let leader_epoch = self.leader_epoch;
        let reign = self.reign.as_mut()?;
        reign.proposal = Some(Proposal { isr: isr.clone() });
        let isr = isr.into_iter().collect();
        Some(Effect::ProposeIsr { isr, leader_epoch, partition_epoch: reign.partition_epoch })
    }
}
