//! The records of `__consumer_offsets`: one committed offset, or one group's membership, or their removal.
//!
//! Typed here, Kafka's own bytes on disk: `encode` and `decode` are the only way between the two. Versions are
//! those that Kafka 4.3.1 writes: offsets version 4 (version 1 when they carry an expiry of their own),
//! membership version 3. Record types of other group kinds are skipped, not refused.

mod codec;

use super::offsets::{OffsetAndMetadata, OffsetKey};

pub use codec::RecordError;

/// A change of durable state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRecord {
    /// `None` removes the offset.
    Offset { key: OffsetKey, value: Option<OffsetAndMetadata> },
    /// `None` removes the group.
    Group { group_id: String, value: Option<GroupMetadata> },
}

/// A group's membership as of its last stable generation, or that it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Empty for a group that nobody has joined yet.
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// -1 when not known.
    pub current_state_timestamp_ms: i64,
    pub members: Vec<MemberMetadata>,
}

/// One member, with its subscription under the group's protocol and its assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberMetadata {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// -1 when not known.
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Vec<u8>,
    pub assignment: Vec<u8>,
}

impl GroupRecord {
    pub(super) fn group(group_id: &str, value: Option<GroupMetadata>) -> GroupRecord {
        GroupRecord::Group { group_id: group_id.into(), value }
    }

    pub(super) fn offset_tombstone(key: OffsetKey) -> GroupRecord {
        GroupRecord::Offset { key, value: None }
    }

    /// Key and value as bytes; the value of a removal is null.
    pub fn encode(&self) -> Result<(Vec<u8>, Option<Vec<u8>>), RecordError> {
        codec::encode(self)
    }

    /// Reads a record back. `None` for a record type that belongs to another kind of group.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<GroupRecord>, RecordError> {
        codec::decode(key, value)
    }
}
