//! The five states of a classic group and their names on the wire (Kafka's `ClassicGroupState`).

use std::fmt;

/// Where a classic group stands in its rebalance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClassicGroupState {
    /// No members; committed offsets may remain.
    Empty,
    /// Members are asked to join again; joins are parked until all came or the time is up.
    PreparingRebalance,
    /// The generation is fixed; the leader's assignment is awaited.
    CompletingRebalance,
    /// Every member has its assignment.
    Stable,
    /// The group does not exist, or no longer here.
    Dead,
}

impl ClassicGroupState {
    /// Kafka's name, as DescribeGroups and ListGroups send it.
    pub const fn name(self) -> &'static str {
        match self {
            ClassicGroupState::Empty => "Empty",
            ClassicGroupState::PreparingRebalance => "PreparingRebalance",
            ClassicGroupState::CompletingRebalance => "CompletingRebalance",
            ClassicGroupState::Stable => "Stable",
            ClassicGroupState::Dead => "Dead",
        }
    }

    /// Whether a rebalance may start from here.
    pub(super) const fn can_rebalance(self) -> bool {
        matches!(
            self,
            ClassicGroupState::Empty | ClassicGroupState::CompletingRebalance | ClassicGroupState::Stable
        )
    }
}

impl fmt::Display for ClassicGroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
