//! Decisions, not effects: metadata, quorum, in-sync replicas, groups.

pub mod machine;
