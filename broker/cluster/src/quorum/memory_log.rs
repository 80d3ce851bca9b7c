//! The library's view of the log: every entry since the last snapshot, in memory.
//!
//! It is fed only from what the driver restored and from `Ready` values that the driver is told to persist, so
//! it never holds an entry that the disk was not asked to hold. Metadata is small (one entry per admin action),
//! and each snapshot shortens it.

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::convert;
use super::types::{NodeId, SnapshotMark};

pub(super) struct MemoryLog {
    hard_state: HardState,
    conf_state: ConfState,
    voters: Vec<NodeId>,
    snapshot: SnapshotMark,
    /// `entries[i].index == snapshot.index + 1 + i`.
    entries: Vec<Entry>,
}

impl MemoryLog {
    pub(super) fn new(
        hard_state: HardState,
        voters: Vec<NodeId>,
        snapshot: SnapshotMark,
        entries: Vec<Entry>,
    ) -> Self {
        let conf_state = convert::conf_state(&voters);
        Self { hard_state, conf_state, voters, snapshot, entries }
    }

    pub(super) fn first(&self) -> u64 {
        self.snapshot.index + 1
    }

    pub(super) fn last(&self) -> u64 {
        self.snapshot.index + self.entries.len() as u64
    }

    /// Appends `entries`, first dropping what they overwrite; says from which index on it dropped.
    pub(super) fn append(&mut self, entries: &[Entry]) -> Option<u64> {
        let first_new = entries.first()?.index;
        assert!(
            first_new >= self.first() && first_new <= self.last() + 1,
            "entry {first_new} does not touch the log, which spans {}..={}",
            self.first(),
            self.last()
        );
        let overwritten = (first_new <= self.last()).then_some(first_new);
        self.entries.truncate(self.position(first_new));
        self.entries.extend_from_slice(entries);
        overwritten
    }

    /// A leader's snapshot replaces everything.
    pub(super) fn install(&mut self, mark: SnapshotMark) {
        self.snapshot = mark;
        self.entries.clear();
    }

    /// A snapshot up to `index` was written here: the entries it covers are no longer needed.
    pub(super) fn compact(&mut self, index: u64) {
        if index <= self.snapshot.index {
            return;
        }
        let term = self.entries[self.position(index)].term;
        self.entries.drain(..=self.position(index));
        self.snapshot = SnapshotMark { index, term };
    }

    /// Where `index` stands in `entries`. The caller made sure that it is not covered by the snapshot.
    fn position(&self, index: u64) -> usize {
        usize::try_from(index - self.first()).expect("the entries are in memory, so their count is a usize")
    }
}

impl Storage for MemoryLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_bytes: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first() {
            return Err(StorageError::Compacted.into());
        }
        assert!(high <= self.last() + 1, "entries up to {high} wanted, the last is {}", self.last());
        let bound_bytes = max_bytes.into().unwrap_or(u64::MAX);
        let mut used_bytes = 0u64;
        let wanted = &self.entries[self.position(low)..self.position(high)];
        let fitting = wanted.iter().enumerate().take_while(|(i, entry)| {
            used_bytes = used_bytes.saturating_add(entry.data.len() as u64);
            // The first always goes, however long: a log that cannot send an entry is stuck for good.
            *i == 0 || used_bytes <= bound_bytes
        });
        Ok(fitting.map(|(_, entry)| entry.clone()).collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.snapshot.index {
            return Ok(self.snapshot.term);
        }
        if index < self.first() {
            return Err(StorageError::Compacted.into());
        }
        self.entries.get(self.position(index)).map(|e| e.term).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.snapshot.index == 0 || self.snapshot.index < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(convert::to_raft_snapshot(&self.snapshot, &self.voters))
    }
}
