//! The plain values of the quorum seam: nothing of the consensus library's own types leaves this module.
//!
//! Node ids are Kafka's node ids (0 and up). The library forbids 0, so `convert.rs` shifts them by one.
//! Indexes start at 1; index 0 and term 0 mean "before the log". A term is what Kafka calls the leader epoch
//! of `__cluster_metadata`. Used by `replica::metadata_log` (disk) and, later, by the peer transport.

use thiserror::Error;

/// Kafka's `node.id`, zero or above.
pub type NodeId = i32;

/// One entry of the metadata log. An empty payload is the no-op by which a new leader starts its term.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    pub index: u64,
    pub term: u64,
    pub payload: Vec<u8>,
}

/// What a voter must never forget: the term it lives in and whom it voted for in that term.
/// `commit` is only a hint that spares work after a restart; losing it is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HardState {
    pub term: u64,
    pub vote: Option<NodeId>,
    pub commit: u64,
}

/// Where a snapshot ends: everything up to and including `index` is inside the image file.
/// The image itself travels beside the seam, by the driver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SnapshotMark {
    pub index: u64,
    pub term: u64,
}

/// What stood on disk when the node started. `Default` is an empty directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    pub hard_state: HardState,
    /// The end of the last snapshot image; its index is 0 when there is none.
    pub snapshot: SnapshotMark,
    /// Every entry after the snapshot, without gaps, in order.
    pub entries: Vec<Entry>,
}

/// Who takes part, and in which rhythm. One tick is whatever the driver makes of it (100 ms, say).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumConfig {
    pub node_id: NodeId,
    /// All voters, this node included. A single voter elects itself at once, without waiting.
    pub voters: Vec<NodeId>,
    /// Election timeouts are drawn from `election_ticks .. 2 * election_ticks`.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// Feeds the election timeouts: the same seed gives the same trace.
    pub seed: u64,
}

impl QuorumConfig {
    /// The quorum of a cluster whose only voter is this node.
    pub fn single(node_id: NodeId) -> Self {
        Self { node_id, voters: vec![node_id], election_ticks: 10, heartbeat_ticks: 1, seed: 0 }
    }
}

/// What must happen before `Quorum::persisted` may be called, in this order: `snapshot`, `truncate_from`,
/// `entries`, `hard_state`, all synced if `must_sync`. `messages` may be sent before the sync. A crash between
/// `entries` and `hard_state` loses no vote: a vote is never in one value with entries of a term that was entered
/// earlier.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ready {
    /// A leader's snapshot replaces the whole log: install the image that ends at this mark.
    pub snapshot: Option<SnapshotMark>,
    /// Entries at and after this index on disk are to be removed before `entries` are appended.
    pub truncate_from: Option<u64>,
    pub entries: Vec<Entry>,
    pub hard_state: Option<HardState>,
    /// False when only the commit hint moved: then no sync is needed.
    pub must_sync: bool,
    /// Messages that promise nothing about what is in this value.
    pub messages: Vec<Message>,
    /// Entries that were durable on a majority before this value: apply them in order.
    pub committed: Vec<Entry>,
}

/// What became true by the sync that `Quorum::persisted` reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Persisted {
    /// Newly committed entries: apply them in order.
    pub committed: Vec<Entry>,
    /// Votes and acknowledgements that were held back until the disk had them.
    pub messages: Vec<Message>,
}

/// The part this node plays in its current term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Follower,
    Candidate,
    Leader,
}

/// The kinds of message that travel between voters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    TimeoutNow,
    RequestPreVote,
    RequestPreVoteResponse,
}

/// One message between voters. Fields that a kind does not use are zero or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub kind: MessageKind,
    pub from: NodeId,
    pub to: NodeId,
    pub term: u64,
    /// Term of the entry at `index`.
    pub log_term: u64,
    pub index: u64,
    pub entries: Vec<Entry>,
    pub commit: u64,
    pub commit_term: u64,
    pub snapshot: Option<SnapshotMark>,
    pub request_snapshot: u64,
    pub reject: bool,
    pub reject_hint: u64,
    pub priority: i64,
    pub context: Vec<u8>,
}

/// Why a node cannot take part at all. Each is a damaged or foreign directory, or a wrong configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    #[error("node {node_id} is not among the voters {voters:?}")]
    NotAVoter { node_id: NodeId, voters: Vec<NodeId> },
    #[error("node ids are zero or above, not {node_id}")]
    NegativeNodeId { node_id: NodeId },
    #[error("the log has entry {found} where {expected} was expected")]
    Gap { expected: u64, found: u64 },
    #[error("entry {index} has term {term}, below the term {before} of the entry before it")]
    TermWentBack { index: u64, term: u64, before: u64 },
    #[error("commit index {commit} lies beyond the log, which ends at {last}")]
    CommitBeyondLog { commit: u64, last: u64 },
    #[error("configuration refused: {0}")]
    Config(String),
}

/// Why a payload was not taken into the log. Nothing of it remains.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposeError {
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader { leader: Option<NodeId> },
    #[error("too many bytes wait for their commit (bound: {bound_bytes})")]
    Full { bound_bytes: u64 },
}

/// Why a message was not taken. The sender is wrong or late; the state is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StepError {
    #[error("the message is for node {to}, this is node {node_id}")]
    Misdirected { to: NodeId, node_id: NodeId },
    #[error("node {from} is not a member of the quorum")]
    UnknownPeer { from: NodeId },
    #[error("message refused: {0}")]
    Refused(String),
}
