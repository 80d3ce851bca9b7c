//! Between our plain values and the consensus library's protobuf structs. The only file, beside `memory_log.rs`
//! and `mod.rs`, that may name a type of the library.
//!
//! Node ids shift by one, because the library reserves 0 for "nobody".

use raft::eraftpb;

use super::types::{Entry, HardState, Message, MessageKind, NodeId, SnapshotMark};

pub(super) fn to_raft_id(node_id: NodeId) -> u64 {
    u64::try_from(i64::from(node_id) + 1).expect("node ids are checked to be zero or above at start")
}

/// `None` for 0, the library's "nobody", and for ids that no node of ours can have.
pub(super) fn from_raft_id(id: u64) -> Option<NodeId> {
    id.checked_sub(1).and_then(|node_id| NodeId::try_from(node_id).ok())
}

pub(super) fn to_raft_entry(entry: Entry) -> eraftpb::Entry {
    let mut out = eraftpb::Entry::default();
    out.set_entry_type(eraftpb::EntryType::EntryNormal);
    out.index = entry.index;
    out.term = entry.term;
    out.data = entry.payload.into();
    out
}

pub(super) fn from_raft_entry(entry: &eraftpb::Entry) -> Entry {
    assert_eq!(
        entry.get_entry_type(),
        eraftpb::EntryType::EntryNormal,
        "entry {} changes the voters, which nothing here proposes",
        entry.index
    );
    Entry { index: entry.index, term: entry.term, payload: entry.data.to_vec() }
}

pub(super) fn from_raft_entries(entries: &[eraftpb::Entry]) -> Vec<Entry> {
    entries.iter().map(from_raft_entry).collect()
}

pub(super) fn to_raft_hard_state(state: HardState) -> eraftpb::HardState {
    let vote = state.vote.map_or(0, to_raft_id);
    eraftpb::HardState { term: state.term, vote, commit: state.commit, ..Default::default() }
}

pub(super) fn from_raft_hard_state(state: &eraftpb::HardState) -> HardState {
    HardState { term: state.term, vote: from_raft_id(state.vote), commit: state.commit }
}

pub(super) fn conf_state(voters: &[NodeId]) -> eraftpb::ConfState {
    let voters = voters.iter().copied().map(to_raft_id).collect();
    eraftpb::ConfState { voters, ..Default::default() }
}

pub(super) fn to_raft_snapshot(mark: &SnapshotMark, voters: &[NodeId]) -> eraftpb::Snapshot {
    let mut snapshot = eraftpb::Snapshot::default();
    let metadata = snapshot.mut_metadata();
    metadata.index = mark.index;
    metadata.term = mark.term;
    metadata.set_conf_state(conf_state(voters));
    snapshot
}

pub(super) fn from_raft_snapshot(snapshot: &eraftpb::Snapshot) -> Option<SnapshotMark> {
    let metadata = snapshot.get_metadata();
    (metadata.index > 0).then_some(SnapshotMark { index: metadata.index, term: metadata.term })
}

fn to_raft_kind(kind: MessageKind) -> eraftpb::MessageType {
    use eraftpb::MessageType::*;
    match kind {
        MessageKind::Append => MsgAppend,
        MessageKind::AppendResponse => MsgAppendResponse,
        MessageKind::RequestVote => MsgRequestVote,
        MessageKind::RequestVoteResponse => MsgRequestVoteResponse,
        MessageKind::Snapshot => MsgSnapshot,
        MessageKind::Heartbeat => MsgHeartbeat,
        MessageKind::HeartbeatResponse => MsgHeartbeatResponse,
        MessageKind::TimeoutNow => MsgTimeoutNow,
        MessageKind::RequestPreVote => MsgRequestPreVote,
        MessageKind::RequestPreVoteResponse => MsgRequestPreVoteResponse,
    }
}

/// `None` for kinds that never leave a node, or that nothing here asks for (forwarding, read index).
fn from_raft_kind(kind: eraftpb::MessageType) -> Option<MessageKind> {
    use eraftpb::MessageType::*;
    Some(match kind {
        MsgAppend => MessageKind::Append,
        MsgAppendResponse => MessageKind::AppendResponse,
        MsgRequestVote => MessageKind::RequestVote,
        MsgRequestVoteResponse => MessageKind::RequestVoteResponse,
        MsgSnapshot => MessageKind::Snapshot,
        MsgHeartbeat => MessageKind::Heartbeat,
        MsgHeartbeatResponse => MessageKind::HeartbeatResponse,
        MsgTimeoutNow => MessageKind::TimeoutNow,
        MsgRequestPreVote => MessageKind::RequestPreVote,
        MsgRequestPreVoteResponse => MessageKind::RequestPreVoteResponse,
        _ => return None,
    })
}

pub(super) fn to_raft_message(message: Message, voters: &[NodeId]) -> eraftpb::Message {
    let mut out = eraftpb::Message::default();
    out.set_msg_type(to_raft_kind(message.kind));
    out.from = to_raft_id(message.from);
    out.to = to_raft_id(message.to);
    out.term = message.term;
    out.log_term = message.log_term;
    out.index = message.index;
    out.entries = message.entries.into_iter().map(to_raft_entry).collect();
    out.commit = message.commit;
    out.commit_term = message.commit_term;
    if let Some(mark) = &message.snapshot {
        out.set_snapshot(to_raft_snapshot(mark, voters));
    }
    out.request_snapshot = message.request_snapshot;
    out.reject = message.reject;
    out.reject_hint = message.reject_hint;
    out.priority = message.priority;
    out.context = message.context.into();
    out
}

pub(super) fn from_raft_message(message: &eraftpb::Message) -> Option<Message> {
    Some(Message {
        kind: from_raft_kind(message.get_msg_type())?,
        from: from_raft_id(message.from)?,
        to: from_raft_id(message.to)?,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: from_raft_entries(&message.entries),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: from_raft_snapshot(message.get_snapshot()),
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        priority: message.priority,
        context: message.context.to_vec(),
    })
}
