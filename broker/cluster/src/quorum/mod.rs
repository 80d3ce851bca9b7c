//! Consensus for the metadata log: a seam over raft-rs that takes values and returns values.
//!
//! `Quorum` owns no socket, file or clock. The driver (`replica::metadata_log`) follows one cycle:
//! `step` / `tick` / `propose` any number of times, then `ready()`; write and sync what it says; `persisted()`;
//! apply what is committed; again, until `ready()` is `None`. Between `ready` and `persisted` nothing else may
//! be called. A vote or an acknowledgement leaves only after the disk has what it promises.
//!
//! Invariants: one seed gives one trace (election timeouts are a function of seed, node and term, never of the
//! library's own random source); a single voter leads from the first `ready` on, without any delay.
//! The library's defect 557 (a late rejection pulls `next_idx` below what is known to match) is kept out by
//! `Quorum::admit`.

mod convert;
mod memory_log;
#[cfg(test)]
mod tests;
mod types;

use raft::{RawNode, StateRole};

use memory_log::MemoryLog;
pub use types::{
    Entry, HardState, Message, MessageKind, NodeId, Persisted, ProposeError, QuorumConfig, Ready, Restored,
    Role, SnapshotMark, StartError, StepError,
};

/// Proposals beyond this many uncommitted bytes are refused.
pub const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
/// One message between voters carries about this many bytes of entries at most (always one entry).
const MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// How many messages to one follower may be under way at once.
const INFLIGHT_MESSAGES_MAX: usize = 64;

/// One voter of the metadata quorum.
pub struct Quorum {
    node: RawNode<MemoryLog>,
    config: QuorumConfig,
    /// The value of the library that waits for `persisted`.
    pending: Option<raft::Ready>,
}

impl Quorum {
    /// Starts from what stood on disk. A single voter is leader at once; its term, its vote and the no-op entry
    /// of its term are in the first `ready`.
    pub fn start(config: QuorumConfig, restored: Restored) -> Result<Self, StartError> {
        check(&config, &restored)?;
        let raft_config = raft_config(&config, restored.snapshot.index);
        let hard_state = convert::to_raft_hard_state(hard_state(&restored));
        let entries = restored.entries.into_iter().map(convert::to_raft_entry).collect();
        let log = MemoryLog::new(hard_state, config.voters.clone(), restored.snapshot, entries);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&raft_config, log, &logger)
            .map_err(|refusal| StartError::Config(refusal.to_string()))?;
        let mut quorum = Self { node, config, pending: None };
        quorum.fix_election_timeout();
        if quorum.config.voters.len() == 1 {
            quorum.campaign();
        }
        Ok(quorum)
    }

    /// Takes a message from another voter.
    pub fn step(&mut self, message: Message) -> Result<(), StepError> {
        self.assert_idle("step");
        let node_id = self.config.node_id;
        if message.to != node_id {
            return Err(StepError::Misdirected { to: message.to, node_id });
        }
        if !self.config.voters.contains(&message.from) {
            return Err(StepError::UnknownPeer { from: message.from });
        }
        let Some(message) = self.admit(message) else { return Ok(()) };
        let stepped = self.node.step(convert::to_raft_message(message, &self.config.voters));
        self.fix_election_timeout();
        stepped.map_err(|refusal| StepError::Refused(refusal.to_string()))
    }

    /// One tick of time passed.
    pub fn tick(&mut self) {
        self.assert_idle("tick");
        self.node.tick();
        self.fix_election_timeout();
    }

    /// Asks for leadership now, without waiting for the election timeout.
    pub fn campaign(&mut self) {
        self.assert_idle("campaign");
        self.node.campaign().expect("campaigning is refused only while a snapshot of the voters is applied");
        self.fix_election_timeout();
    }

    /// Takes a payload into the log, as leader. Returns its index; whether it commits is told by `committed`
    /// of later values: the entry with that index *and* the term of now, or it was replaced by another leader.
    pub fn propose(&mut self, payload: Vec<u8>) -> Result<u64, ProposeError> {
        self.assert_idle("propose");
        if self.role() != Role::Leader {
            return Err(ProposeError::NotLeader { leader: self.leader() });
        }
        match self.node.propose(Vec::new(), payload) {
            Ok(()) => Ok(self.last_index()),
            Err(_) => Err(ProposeError::Full { bound_bytes: UNCOMMITTED_BYTES_MAX }),
        }
    }

    /// What is to be persisted, sent and applied next, or `None` when there is nothing to do.
    pub fn ready(&mut self) -> Option<Ready> {
        self.assert_idle("ready");
        if !self.node.has_ready() {
            return None;
        }
        let ready = self.node.ready();
        let snapshot = convert::from_raft_snapshot(ready.snapshot());
        let log = self.node.mut_store();
        if let Some(mark) = snapshot.clone() {
            log.install(mark);
        }
        let truncate_from = log.append(ready.entries());
        let out = Ready {
            snapshot,
            truncate_from,
            entries: convert::from_raft_entries(ready.entries()),
            hard_state: ready.hs().map(convert::from_raft_hard_state),
            must_sync: ready.must_sync(),
            messages: ready.messages().iter().filter_map(convert::from_raft_message).collect(),
            committed: convert::from_raft_entries(ready.committed_entries()),
        };
        self.pending = Some(ready);
        Some(out)
    }

    /// The last `Ready` is durable. Returns what that sync made true.
    ///
    /// # Panics
    /// When no `Ready` is outstanding.
    pub fn persisted(&mut self) -> Persisted {
        let mut ready = self.pending.take().expect("`persisted` answers a `ready`");
        let held_back = ready.take_persisted_messages();
        let light = self.node.advance_append(ready);
        self.node.advance_apply();
        let messages = held_back.iter().chain(light.messages()).filter_map(convert::from_raft_message);
        Persisted {
            messages: messages.collect(),
            committed: convert::from_raft_entries(light.committed_entries()),
        }
    }

    /// A snapshot image that covers everything up to `index` is durable: forgets the entries it covers.
    /// Only applied (= handed out as committed) indexes may be covered.
    pub fn compact(&mut self, index: u64) {
        self.assert_idle("compact");
        let applied = self.node.raft.raft_log.applied;
        assert!(index <= applied, "snapshot up to {index}, but only {applied} is applied");
        self.node.mut_store().compact(index);
    }

    /// The transport could not deliver to this voter: probe it instead of streaming to it.
    pub fn report_unreachable(&mut self, node_id: NodeId) {
        self.assert_idle("report_unreachable");
        self.node.report_unreachable(convert::to_raft_id(node_id));
    }

    /// The transport knows whether the snapshot image arrived at this voter.
    pub fn report_snapshot(&mut self, node_id: NodeId, arrived: bool) {
        self.assert_idle("report_snapshot");
        let status = if arrived { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
        self.node.report_snapshot(convert::to_raft_id(node_id), status);
    }

    pub fn role(&self) -> Role {
        match self.node.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
        }
    }

    pub fn is_leader(&self) -> bool {
        self.role() == Role::Leader
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        convert::from_raft_id(self.node.raft.leader_id)
    }

    /// The current term: Kafka's leader epoch of the metadata log.
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Everything up to this index is durable on a majority.
    pub fn committed_index(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    pub fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// How far each voter is known to hold this leader's log; empty on a follower.
    pub fn matched_indexes(&self) -> Vec<(NodeId, u64)> {
        if !self.is_leader() {
            return Vec::new();
        }
        let matched = |node_id: &NodeId| {
            let progress = self.node.raft.prs().get(convert::to_raft_id(*node_id));
            (*node_id, progress.map_or(0, |p| p.matched))
        };
        self.config.voters.iter().map(matched).collect()
    }

    /// Drops a rejection that is older than what its sender has since confirmed, and raises a hint that is.
    /// (Defect 557 of the library: it would probe below `matched` again.)
    fn admit(&self, mut message: Message) -> Option<Message> {
        if message.kind != MessageKind::AppendResponse || !message.reject || message.request_snapshot != 0 {
            return Some(message);
        }
        let matched = self.node.raft.prs().get(convert::to_raft_id(message.from)).map_or(0, |p| p.matched);
        if message.index <= matched {
            return None;
        }
        if message.reject_hint < matched {
            message.reject_hint = matched;
            message.log_term = 0;
        }
        Some(message)
    }

    /// The library draws a timeout from its own random source whenever a term starts; this replaces it by a
    /// value that depends on seed, node and term only, before any tick can look at it.
    fn fix_election_timeout(&mut self) {
        let ticks = self.config.election_ticks as u64;
        let drawn =
            mix(self.config.seed ^ mix(self.node.raft.id) ^ mix(self.node.raft.term << 1 | 1)) % ticks;
        let timeout = self.config.election_ticks + usize::try_from(drawn).expect("below `election_ticks`");
        self.node.raft.set_randomized_election_timeout(timeout);
    }

    fn assert_idle(&self, what: &str) {
        assert!(self.pending.is_none(), "`{what}` between `ready` and `persisted`");
    }
}

/// Finalizer of splitmix64: spreads every input bit over the whole word.
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn raft_config(config: &QuorumConfig, applied: u64) -> raft::Config {
    raft::Config {
        id: convert::to_raft_id(config.node_id),
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied,
        max_size_per_msg: MESSAGE_BYTES_MAX,
        max_inflight_msgs: INFLIGHT_MESSAGES_MAX,
        check_quorum: true,
        pre_vote: true,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        ..raft::Config::default()
    }
}

/// The hard state as it must have been. The commit hint may be older than the snapshot, and a snapshot holds only
/// what was committed. The term may be older than the log's: the crash came after the entries of a new term were
/// written and before the term itself was; whoever voted in that term had written it before.
fn hard_state(restored: &Restored) -> HardState {
    let HardState { term, vote, commit } = restored.hard_state;
    let log_term = restored.entries.last().map_or(restored.snapshot.term, |entry| entry.term);
    HardState {
        term: term.max(log_term),
        vote: vote.filter(|_| term >= log_term),
        commit: commit.max(restored.snapshot.index),
    }
}

/// What the library would answer with a panic is refused here with words.
fn check(config: &QuorumConfig, restored: &Restored) -> Result<(), StartError> {
    if let Some(node_id) = config.voters.iter().copied().find(|id| *id < 0) {
        return Err(StartError::NegativeNodeId { node_id });
    }
    if !config.voters.contains(&config.node_id) {
        return Err(StartError::NotAVoter { node_id: config.node_id, voters: config.voters.clone() });
    }
    let SnapshotMark { index: mut last, term: mut last_term } = restored.snapshot;
    for entry in &restored.entries {
        if entry.index != last + 1 {
            return Err(StartError::Gap { expected: last + 1, found: entry.index });
        }
        if entry.term < last_term {
            return Err(StartError::TermWentBack { index: entry.index, term: entry.term, before: last_term });
        }
        (last, last_term) = (entry.index, entry.term);
    }
    let commit = restored.hard_state.commit;
    if commit > last {
        return Err(StartError::CommitBeyondLog { commit, last });
    }
    Ok(())
}
