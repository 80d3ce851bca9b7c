//! The cluster's metadata: its machine over its Raft log. `submit`, `advance`, read the image.
//!
//! `submit` decides and proposes; `advance` syncs, commits, replays and releases replies. A driver that drains many
//! requests before one `advance` pays one sync for all of them (group commit). Replies leave only from committed
//! state. Any error of `advance` is final: the shell stops the process, since metadata in doubt serves nobody.
//! Driven by the shell's `controller/driver.rs`; synchronous, the clock comes in.

use logspine_cluster::metadata::{
    Input, MetadataImage, MetadataMachine, MetadataRecord, RecordCodecError, Reply, Settings,
};
use logspine_cluster::quorum::Entry;
use logspine_protocol::batch::{self, BatchBuilder, BatchError};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::Offset;
use logspine_storage::{AppendError, StorageError};

#[cfg(feature = "planted")]
use crate::planted::Planted;
use crate::raft_log::{OpenRaftLog, RaftLog, RaftLogError};
use crate::state_log::{Refused, StateLog};

/// Why metadata cannot be loaded or advanced. After any of them this log takes nothing more.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    #[error(transparent)]
    Log(#[from] RaftLogError),
    #[error("the metadata log's entry {index} holds a batch that cannot be read: {reason}")]
    Batch { index: u64, reason: BatchError },
    #[error(
        "the metadata log's entry {index} holds a record that this version does not know: {reason}; start the version that wrote it"
    )]
    Record { index: u64, reason: RecordCodecError },
}

impl MetadataLogError {
    /// True if the disk refused a write before anything was in doubt: once it takes writes, the log may be opened
    /// again and goes on. After a failed sync, and with records that cannot be read, only a restart may try.
    pub fn is_refused_write(&self) -> bool {
        let MetadataLogError::Log(error) = self else { return false };
        matches!(
            error,
            RaftLogError::Storage(StorageError::Io { .. })
                | RaftLogError::Append(AppendError::Storage(_))
                | RaftLogError::FlushRefused { .. }
                | RaftLogError::VoteNotWritten { .. }
        )
    }
}

/// Metadata as this voter holds it.
pub struct MetadataLog {
    raft: RaftLog,
    state: StateLog<MetadataMachine>,
}

impl MetadataLog {
    /// Opens the log; the image is empty until the first `advance` has committed what is in it.
    pub fn open(open: OpenRaftLog, settings: Settings) -> Result<MetadataLog, MetadataLogError> {
        let raft = RaftLog::open(open)?;
        Ok(MetadataLog { raft, state: StateLog::new(MetadataMachine::new(settings)) })
    }

    /// The same with a bug for the checkers to find. Absent from release builds.
    #[cfg(feature = "planted")]
    pub fn open_planted(
        open: OpenRaftLog,
        settings: Settings,
        planted: Planted,
    ) -> Result<MetadataLog, MetadataLogError> {
        let raft = RaftLog::open_planted(open, planted)?;
        let mut state = StateLog::new(MetadataMachine::new(settings));
        state.plant(planted);
        Ok(MetadataLog { raft, state })
    }

    /// What the cluster agreed on, as far as this node knows.
    pub fn image(&self) -> &MetadataImage {
        self.state.machine().image()
    }

    pub fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// Index, term and roles, for status and DescribeQuorum.
    pub fn raft(&self) -> &RaftLog {
        &self.raft
    }

    /// Decides about one request. Replies that need no commit come back at once, the others from `advance`.
    pub fn submit(&mut self, now_ms: i64, input: Input) -> Vec<Reply> {
        let raft = &mut self.raft;
        self.state.step(now_ms, input, |records| {
            let index = raft.propose(payload(now_ms, records)).map_err(|_| Refused::ThisAppend)?;
            Ok(position(index))
        })
    }

    /// Makes everything that was submitted durable and committed, as far as this node alone can.
    pub fn advance(&mut self) -> Result<Vec<Reply>, MetadataLogError> {
        let mut replies = Vec::new();
        for entry in self.raft.advance()? {
            let records = records_of(&entry)?;
            replies.extend(self.state.apply(position(entry.index), &records));
        }
        if !self.raft.is_leader() {
            replies.extend(self.state.lost());
        }
        Ok(replies)
    }

    /// One tick of time passed; `advance` carries out what follows from it.
    pub fn tick(&mut self) {
        self.raft.tick();
    }

    /// Stops cleanly.
    pub fn close(self) -> Result<(), MetadataLogError> {
        Ok(self.raft.close()?)
    }
}

/// Raft indexes are this log's commit positions.
fn position(index: u64) -> Offset {
    Offset(i64::try_from(index).expect("indexes are counted from 1 by one process after the other"))
}

/// One atomic batch: a metadata record a record, without keys, as KRaft writes them.
fn payload(now_ms: i64, records: &[MetadataRecord]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for record in records {
        builder.append(now_ms, None, Some(&record.encode()), &[]);
    }
    builder.build()
}

fn records_of(entry: &Entry) -> Result<Vec<MetadataRecord>, MetadataLogError> {
    let index = entry.index;
    let mut records = Vec::new();
    for view in batch::iter_batches(&entry.payload) {
        let set = view
            .and_then(|view| view.records())
            .map_err(|reason| MetadataLogError::Batch { index, reason })?;
        for record in set.iter() {
            let record = record.map_err(|reason| MetadataLogError::Batch { index, reason })?;
            let value = record.value.unwrap_or_default();
            let decoded = MetadataRecord::decode(value);
            records.push(decoded.map_err(|reason| MetadataLogError::Record { index, reason })?);
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests;
