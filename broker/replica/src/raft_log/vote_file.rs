//! `quorum-state`: the term this voter lives in and whom it voted for, replaced atomically and synced.
//!
//! A vote that is forgotten lets one term have two leaders. So a file that cannot be read stops the start of a voter
//! among several; the only voter sets it aside, because every term in which it promised anything stands in its log
//! (an entry of the term is synced before the vote) and its next term is above them all. JSON with Kafka's member
//! names (`QuorumStateData`), data version 1: `leaderEpoch` is the term, `votedId` -1 is no vote.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use logspine_cluster::quorum::HardState;
use logspine_storage::aside;
use logspine_storage::disk::{self, Access, Disk};
use serde::{Deserialize, Serialize};

use super::RaftLogError;
use crate::planted::{Bug, Planted};

const FILE_NAME: &str = "quorum-state";
const DATA_VERSION: i32 = 1;
const NO_VOTE: i32 = -1;
/// Terms are Kafka's leader epochs; the next one must fit, too.
const TERM_MAX: u64 = i32::MAX as u64 - 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuorumState {
    leader_epoch: u64,
    voted_id: i32,
    #[serde(rename = "data_version")]
    data_version: i32,
}

/// Who may go on without knowing its vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voters {
    /// Nobody else can be voted for.
    OnlyThis,
    Several,
}

pub(super) struct VoteFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    written: Option<(u64, Option<i32>)>,
    planted: Planted,
}

impl VoteFile {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, planted: Planted) -> VoteFile {
        VoteFile { disk, path: dir.join(FILE_NAME), written: None, planted }
    }

    /// An absent file is a voter that has never voted; so is one set aside, whose term its log knows.
    pub(super) fn read(&mut self, voters: Voters) -> Result<HardState, RaftLogError> {
        let refuse = |reason: String| RaftLogError::Vote { path: self.path.clone(), reason };
        let content =
            disk::read_file(&*self.disk, &self.path).map_err(|source| refuse(source.to_string()))?;
        let Some(content) = content else { return Ok(HardState::default()) };
        let state = match parse(&content) {
            Ok(state) if state.data_version != DATA_VERSION => {
                return Err(refuse(format!("data version {} is not {DATA_VERSION}", state.data_version)));
            }
            Ok(state) => state,
            Err((_, reason)) if voters == Voters::Several => return Err(refuse(reason)),
            Err((position, reason)) => {
                aside::move_aside(&*self.disk, &self.path, position, reason)?;
                return Ok(HardState::default());
            }
        };
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
        let replaced = match self.planted.has(Bug::VoteNotSynced) {
            true => self.write_without_sync(&content),
            false => disk::replace_file(&*self.disk, &self.path, &content),
        };
        replaced.map_err(|source| RaftLogError::VoteNotWritten { path: self.path.clone(), source })?;
        self.written = Some((hard_state.term, hard_state.vote));
        Ok(())
    }

    /// The planted bug.
    fn write_without_sync(&self, content: &[u8]) -> std::io::Result<()> {
        let file = self.disk.open(&self.path, Access::Write)?;
        file.truncate(0)?;
        file.write_at(&[IoSlice::new(content)], 0)
    }
}

/// The state, or the first byte that is wrong and what is wrong with it.
fn parse(content: &[u8]) -> Result<QuorumState, (u64, String)> {
    let state: QuorumState = serde_json::from_slice(content)
        .map_err(|error| (error.column().saturating_sub(1) as u64, error.to_string()))?;
    if state.leader_epoch > TERM_MAX || state.voted_id < NO_VOTE {
        let QuorumState { leader_epoch, voted_id, .. } = state;
        return Err((0, format!("term {leader_epoch} and vote {voted_id} cannot be")));
    }
    Ok(state)
}
