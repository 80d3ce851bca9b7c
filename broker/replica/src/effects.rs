//! What a partition asks its shell to do after each change, as values.
//!
//! The partition has already carried out what touches its own log; the rest goes up: wake waiters, ask the
//! controller. The shell may crash between any two; on restart the state comes from disk and metadata.

use logspine_cluster::partition::Effect;
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset};

/// Everything that one call made true or wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "waiters sleep until somebody wakes them"]
pub struct Effects {
    /// Consumers may now read below this offset; acks=all waiters at or below it are done.
    pub high_watermark: Option<Offset>,
    /// The leader wants this in-sync set.
    pub propose_isr: Option<IsrProposal>,
    /// Records wait for a flush round (never set while the partition does not flush by itself).
    pub flush_wanted: bool,
}

/// An in-sync set that the controller is asked to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrProposal {
    pub isr: Vec<BrokerId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: i32,
}

impl Effects {
    /// Folds the decision's effects in, in order; the last word of a kind stands.
    pub(crate) fn collect(effects: impl IntoIterator<Item = Effect>) -> Effects {
        let mut collected = Effects::default();
        for effect in effects {
            match effect {
                Effect::AdvanceHighWatermark(offset) => collected.high_watermark = Some(offset),
                Effect::ProposeIsr { isr, leader_epoch, partition_epoch } => {
                    collected.propose_isr = Some(IsrProposal { isr, leader_epoch, partition_epoch });
                }
            }
        }
        collected
    }
}
