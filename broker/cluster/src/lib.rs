//! Decisions, not effects: metadata, quorum, in-sync replicas, groups.

#![forbid(unsafe_code)]

pub mod group;
pub mod machine;
pub mod metadata;
pub mod partition;
pub mod quorum;
