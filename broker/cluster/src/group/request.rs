//! What a group coordinator can be asked, free of protocol versions: `api/` translates from each version.
//!
//! A difference between versions that changes a decision arrives as a named flag, never as a number.

use logspine_protocol::types::TopicId;

/// A request to the shard that holds the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRequest {
    Join(Join),
    Sync(Sync),
    Heartbeat(Heartbeat),
    Leave(Leave),
    CommitOffsets(CommitOffsets),
    FetchOffsets(FetchOffsets),
    DeleteOffsets(DeleteOffsets),
    Describe { group_id: String },
    List(List),
    Delete { group_id: String },
}

/// JoinGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    pub group_id: String,
    /// Empty when the member has no id yet.
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    /// As Kafka writes it: a slash and the address, such as `/127.0.0.1`.
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocol_type: String,
    /// In the member's order of preference.
    pub protocols: Vec<Protocol>,
    /// Becomes the tail of the member id should this join need a new one. Unique per request.
    pub new_member_uuid: String,
    /// JoinGroup 4 and above: a member without id is told one and must join again with it.
    pub requires_known_member_id: bool,
    /// JoinGroup 9 and above: a leader that restarted may be told to keep the assignment.
    pub supports_skipping_assignment: bool,
}

/// One way of assigning partitions that a member supports, with its opaque subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    pub name: String,
    pub metadata: Vec<u8>,
}

/// SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sync {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
    /// SyncGroup 5 and above: what the member believes was chosen.
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// From the leader only: member id and opaque assignment.
    pub assignments: Vec<(String, Vec<u8>)>,
}

/// Heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    pub group_id: String,
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
}

/// LeaveGroup, of one or many members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    pub group_id: String,
    pub members: Vec<MemberIdentity>,
}

/// Who leaves. An empty member id with an instance id is an administrator removing a static member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberIdentity {
    pub member_id: String,
    pub group_instance_id: Option<String>,
}

/// OffsetCommit. Topics and partitions that do not exist were already refused by `api/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOffsets {
    pub group_id: String,
    /// -1 for a consumer that assigns partitions by itself, or an administrator.
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
    /// OffsetCommit 2 to 4 may ask for a retention of their own.
    pub retention_time_ms: Option<i64>,
    /// OffsetCommit 9 and above understand GROUP_ID_NOT_FOUND; older clients get ILLEGAL_GENERATION.
    pub knows_group_id_not_found: bool,
    pub offsets: Vec<OffsetToCommit>,
}

/// One partition's new committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetToCommit {
    pub topic: String,
    pub topic_id: TopicId,
    pub partition: i32,
    pub offset: i64,
    /// -1 when the client does not say.
    pub leader_epoch: i32,
    pub metadata: String,
}

/// OffsetFetch of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchOffsets {
    pub group_id: String,
    /// `None` asks for everything the group has committed.
    pub topics: Option<Vec<FetchTopic>>,
    /// Wait for commits that are under way instead of answering what is committed.
    pub require_stable: bool,
}

/// Partitions of one topic whose committed offsets are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchTopic {
    pub topic: String,
    /// `TopicId::ZERO` when the client asked by name: then any committed topic id will do.
    pub topic_id: TopicId,
    pub partitions: Vec<i32>,
}

/// OffsetDelete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOffsets {
    pub group_id: String,
    /// Topic and partition.
    pub partitions: Vec<(String, i32)>,
}

/// ListGroups on one shard. An empty filter lets all pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub states_filter: Vec<String>,
    pub types_filter: Vec<String>,
}
