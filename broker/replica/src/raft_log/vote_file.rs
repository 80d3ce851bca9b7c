//! `quorum-state`: the term this voter lives in and whom it voted for, replaced atomically and synced.
//!
//! A vote that is forgotten lets one term have two leaders, so an unreadable file stops the start. JSON with
//! Kafka's member names (`QuorumStateData`), data version 1: `leaderEpoch` is the term, `votedId` -1 is no vote.

use std::path::PathBuf;
use std::sync::Arc;

use logspine_cluster::quorum::HardState;
use logspine_storage::disk::{self, Disk};
use serde::{Deserialize, Serialize};

use super::RaftLogError;

const FILE_NAME: &str = "quorum-state";
const DATA_VERSION: i32 = 1;
const NO_VOTE: i32 = -1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuorumState {
    leader_epoch: u64,
    voted_id: i32,
    #[serde(rename = "data_version")]
    data_version: i32,
}

pub(super) struct VoteFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    written: Option<(u64, Option<i32>)>,
}

impl VoteFile {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> VoteFile {
        VoteFile { disk, path: dir.join(FILE_NAME), written: None }
    }

    /// An absent file is a voter that has never voted.
    pub(super) fn read(&mut self) -> Result<HardState, RaftLogError> {
        let content = disk::read_file(&*self.disk, &self.path)
            .map_err(|source| RaftLogError::Vote { path: self.path.clone(), reason: source.to_string() })?;
        let Some(content) = content else { return Ok(HardState::default()) };
        let state: QuorumState = serde_json::from_slice(&content)
            .map_err(|error| RaftLogError::Vote { path: self.path.clone(), reason: error.to_string() })?;
        if state.data_version != DATA_VERSION {
            let reason = format!("data version {} is not {DATA_VERSION}", state.data_version);
            return Err(RaftLogError::Vote { path: self.path.clone(), reason });
        }
        let vote = (state.voted_id != NO_VOTE).then_some(state.voted_id);
        self.written = Some((state.leader_epoch, vote));
        Ok(HardState { term: state.leader_epoch, vote, commit: 0 })
    }

    /// Durable when it returns. The commit hint is not kept: a voter learns it again.
    pub(super) fn write(&mut self, hard_state: HardState) -> Result<(), RaftLogError> {
        if self.written == Some((hard_state.term, hard_state.vote)) {
            return Ok(());
        }
        let state = QuorumState {
            leader_epoch: hard_state.term,
            voted_id: hard_state.vote.unwrap_or(NO_VOTE),
            data_version: DATA_VERSION,
        };
        let content = serde_json::to_vec(&state).expect("plain numbers serialize");
        disk::replace_file(&*self.disk, &self.path, &content)
            .map_err(|source| RaftLogError::VoteNotWritten { path: self.path.clone(), source })?;
        self.written = Some((hard_state.term, hard_state.vote));
        Ok(())
    }
}
