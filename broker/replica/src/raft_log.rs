//! The Raft log of the cluster's metadata on disk: entries as record batches, the vote in `quorum-state`.
//!
//! One entry is one batch of `__cluster_metadata-0`: its term is the batch's leader epoch, its payload the batch as
//! the proposer built it (docs/decisions/0002). The ordinal of a batch is its Raft index; offsets count
//! records, as Kafka's tools expect. Invariants: nothing is promised (a vote, an acknowledgement, a commit of
//! a single voter) before `advance` has synced it; a failed sync ends the process's right to write for good.
//! Driven by `metadata_log`; synchronous.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use logspine_cluster::quorum::{Entry, Quorum, QuorumConfig, Restored};
use logspine_protocol::types::{LeaderEpoch, Offset};
use logspine_storage::disk::Disk;
use logspine_storage::log::Log;

mod batches;
mod error;
mod vote_file;

use crate::planted::{Bug, Planted};
pub use error::RaftLogError;
use vote_file::Voters;

/// Where the log lives and who takes part.
pub struct OpenRaftLog {
    pub disk: Arc<dyn Disk>,
    /// The log directory of the broker; the log itself is `__cluster_metadata-0` in it.
    pub data_dir: PathBuf,
    /// What `recovery-point-offset-checkpoint` says of `__cluster_metadata 0`; 0 without it.
    pub recovery_point: Offset,
    pub quorum: QuorumConfig,
    pub now_ms: i64,
}

/// The log, the vote and the consensus over them.
pub struct RaftLog {
    log: Log,
    vote_file: vote_file::VoteFile,
    quorum: Quorum,
    /// Offset of the first record of each entry, from `first_index` on.
    starts: VecDeque<Offset>,
    first_index: u64,
    /// The time of LEADER_CHANGE batches, for which no request brings one. Only people read it.
    opened_ms: i64,
    planted: Planted,
}

impl RaftLog {
    /// Reads back everything that is on disk. A log that cannot be read to its end stops the start: metadata
    /// that was committed must never be cut.
    pub fn open(open: OpenRaftLog) -> Result<RaftLog, RaftLogError> {
        RaftLog::open_planted(open, Planted::default())
    }

    /// The same with a bug for the checkers to find; without the feature `planted` there is none.
    pub(crate) fn open_planted(open: OpenRaftLog, planted: Planted) -> Result<RaftLog, RaftLogError> {
        let log = batches::open_log(&open)?;
        let mut vote_file =
            vote_file::VoteFile::new(open.disk, open.data_dir.join(batches::DIR_NAME), planted);
        let (mut entries, mut starts) = batches::read_entries(&log)?;
        if planted.has(Bug::ReplaySkipsTail) {
            entries.pop();
            starts.pop_back();
        }
        let voters = if open.quorum.voters.len() == 1 { Voters::OnlyThis } else { Voters::Several };
        let hard_state = vote_file.read(voters)?;
        let opened_ms = open.now_ms;
        let restored = Restored { hard_state, entries, ..Restored::default() };
        let quorum = Quorum::start(open.quorum, restored)?;
        Ok(RaftLog { log, vote_file, quorum, starts, first_index: 1, opened_ms, planted })
    }

    pub fn is_leader(&self) -> bool {
        self.quorum.is_leader()
    }

    pub fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// The log's end on disk, in Kafka's terms.
    pub fn log_end_offset(&self) -> Offset {
        self.log.reader().log_end()
    }

    /// What `recovery-point-offset-checkpoint` may say of this log: everything below is on stable storage.
    pub fn recovery_point(&self) -> Offset {
        self.log.recovery_point()
    }

    /// One tick of time passed.
    pub fn tick(&mut self) {
        self.quorum.tick();
    }

    /// Takes one batch of records, built from offset 0. Its index is returned; it is committed when `advance`
    /// says so.
    pub fn propose(&mut self, batch: Vec<u8>) -> Result<u64, RaftLogError> {
        Ok(self.quorum.propose(batch)?)
    }

    /// Persists and commits until nothing is left to do. Returns the committed entries in order. After an error
    /// nothing more may be promised: the caller stops the process.
    pub fn advance(&mut self) -> Result<Vec<Entry>, RaftLogError> {
        let mut committed = Vec::new();
        while let Some(ready) = self.quorum.ready() {
            if let Some(index) = ready.truncate_from {
                self.truncate_from(index)?;
            }
            for entry in &ready.entries {
                self.append(entry)?;
            }
            if ready.must_sync {
                if !self.planted.has(Bug::CommitBeforeSync) {
                    self.sync()?;
                }
                if let Some(hard_state) = ready.hard_state {
                    self.vote_file.write(hard_state)?;
                }
            }
            committed.extend(ready.committed);
            committed.extend(self.quorum.persisted().committed);
        }
        Ok(committed)
    }

    /// Closes the files; everything that was promised is on disk already.
    pub fn close(self) -> Result<(), RaftLogError> {
        self.log.close(true)?;
        Ok(())
    }

    fn append(&mut self, entry: &Entry) -> Result<(), RaftLogError> {
        assert_eq!(
            entry.index,
            self.first_index + self.starts.len() as u64,
            "entries are appended without gaps"
        );
        let start = self.log_end_offset();
        let batch = batches::encode(entry, start, self.quorum.leader(), self.opened_ms);
        self.log.append_as_follower(&batch)?;
        self.starts.push_back(start);
        Ok(())
    }

    fn truncate_from(&mut self, index: u64) -> Result<(), RaftLogError> {
        let keep = usize::try_from(index - self.first_index).expect("entries are counted in memory");
        if let Some(&start) = self.starts.get(keep) {
            self.log.truncate_to(start)?;
            self.starts.truncate(keep);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), RaftLogError> {
        if let Some(job) = self.log.begin_flush() {
            let done = job.run();
            let refused = done.refused().map(RaftLogError::flush_refused);
            self.log.end_flush(done)?;
            refused.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}

/// The term of an entry as Kafka's files know it.
fn epoch_of(term: u64) -> LeaderEpoch {
    LeaderEpoch(i32::try_from(term).expect("2 billion elections do not happen to one cluster"))
}

#[cfg(test)]
mod tests;
