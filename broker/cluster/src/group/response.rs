//! What a group coordinator answers, free of protocol versions: `api/` translates into each version.
//!
//! `Error` stands for a refusal of the whole request, whatever was asked; the other variants carry results.

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::TopicId;

use super::ClassicGroupState;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupResponse {
    /// The request as a whole is refused (or succeeded with nothing to say, when the code is `None`).
    Error(ErrorCode),
    Joined(Joined),
    Synced(Synced),
    /// Per member, in the order asked.
    Left(Vec<ErrorCode>),
    /// Per offset, in the order asked.
    Committed(Vec<ErrorCode>),
    Fetched(Vec<FetchedTopic>),
    /// Per partition, in the order asked.
    OffsetsDeleted(Vec<ErrorCode>),
    /// `None`: there is no such group.
    Described(Option<DescribedGroup>),
    Listed(Vec<ListedGroup>),
}

impl GroupResponse {
    /// The code of a refusal; a result that came where a refusal was expected is a server error.
    pub fn refusal(&self) -> ErrorCode {
        match self {
            GroupResponse::Error(code) => *code,
            _ => ErrorCode::UnknownServerError,
        }
    }
}

/// JoinGroup's answer, success or failure: a failure may still tell the member its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub error: ErrorCode,
    pub generation_id: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    pub member_id: String,
    /// For the leader only: everybody and their subscriptions.
    pub members: Vec<JoinedMember>,
}

impl Joined {
    /// A failed join.
    pub fn error(error: ErrorCode, member_id: impl Into<String>) -> Joined {
        Joined {
            error,
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub metadata: Vec<u8>,
}

/// SyncGroup's answer on success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Vec<u8>,
}

/// Committed offsets of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedTopic {
    pub topic: String,
    pub topic_id: TopicId,
    pub partitions: Vec<FetchedOffset>,
}

/// The committed offset of one partition; offset -1 when there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedOffset {
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// One group in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    pub group_id: String,
    pub state: ClassicGroupState,
    pub protocol_type: String,
    /// The chosen protocol; empty unless the group is stable.
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

/// One member in full. Metadata is empty unless the group is stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub metadata: Vec<u8>,
    pub assignment: Vec<u8>,
}

/// One line of a list of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    pub group_id: String,
    pub protocol_type: String,
    pub state: ClassicGroupState,
    /// `Classic`, the only type so far.
    pub group_type: &'static str,
}
