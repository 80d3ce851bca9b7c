//! Administration of a cluster: one method per thing an operator or a person at a terminal asks for.
//!
//! The calls live in `admin/`, one file per kind of thing. Each is one request (or one per broker it concerns),
//! repeated until it succeeds, is refused for good, or `api_timeout` has passed. A repeated create or delete
//! may therefore meet its own first attempt: `TOPIC_ALREADY_EXISTS` after a lost connection is such a case.

mod cluster;
mod configs;
mod group_offsets;
mod groups;
mod offsets;
mod records;
mod topics;

pub use cluster::{BrokerDescription, ClusterDescription};
pub use configs::{ConfigChange, ConfigEntry, ConfigOp, ConfigSource, Resource};
pub use group_offsets::CommittedOffset;
pub use groups::{GroupDescription, GroupListing, GroupMember};
pub use offsets::{ListedOffset, OffsetSpec};
pub use topics::TopicRef;

pub(crate) use group_offsets::{NAMED_TOPICS, check_committed, committed_offsets, topics_to_commit};
pub(crate) use groups::find_coordinator;

use crate::client::Client;

/// The administrative calls of one client.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
}

impl Admin {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }
}
