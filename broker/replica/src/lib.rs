//! Where a log and a decision meet: one partition replica, and the state machines that live in a log.
//!
//! The only crate that knows both `storage` and `cluster`. LAW: synchronous; no async, no sockets, no threads, no
//! clock: time and randomness come in as arguments, so the simulator runs this code as shipped.
//! Read `partition` for the data, `state_log` for machines over a log, `metadata_log` for the metadata quorum,
//! `group_log` for what the groups' log holds.
#![forbid(unsafe_code)]

pub mod effects;
pub mod group_log;
pub mod metadata_log;
pub mod partition;
pub mod planted;
pub mod raft_log;
pub mod state_log;
pub mod view;

pub use effects::{Effects, IsrProposal};
pub use partition::{
    AppendError, Appended, Flush, Flushed, LeaderAppend, LeaderWord, OpenPartition, Partition,
};
pub use view::{Isolation, PartitionView, ReadBudget};
