//! Consumer groups: one shard is all groups and committed offsets of one `__consumer_offsets` partition.
//!
//! Durable state (committed offsets, the last stable membership of each group) changes only by `replay` of
//! committed records; who is joining, who waits and every timer is soft state that a reload rebuilds. A shard
//! is driven through `replica::StateLog`. Semantics are those of Kafka's `GroupMetadataManager` and
//! `OffsetMetadataManager` (classic groups); versions of requests never reach this far.

mod classic;
mod commit;
mod config;
mod delete;
mod describe;
mod expiration;
mod fetch;
mod heartbeat;
mod join;
mod leave;
mod loading;
mod member;
mod offsets;
mod overlay;
mod rebalance;
pub mod record;
pub mod request;
pub mod response;
mod shard;
mod state;
mod static_member;
mod subscription;
mod sync;
mod timers;
mod turn;

pub use config::GroupConfig;
pub use offsets::{OffsetAndMetadata, OffsetKey};
pub use record::{GroupMetadata, GroupRecord, MemberMetadata, RecordError};
pub use request::GroupRequest;
pub use response::GroupResponse;
pub use shard::{DeletedTopic, GroupShard, GroupSize, Input, Reply, Token};
pub use state::ClassicGroupState;

#[cfg(test)]
mod tests;
