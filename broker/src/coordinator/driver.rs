//! Drives one shard: steps its machine, appends what it decides, answers what is committed.
//!
//! One short lock per shard around the state log; the partition's own lock is taken inside it, never the other
//! way round, and nothing is awaited under either. Replies that wait for the disk are released by one task that
//! lives only while something is in flight. When the log takes nothing any more the shard resigns: all who wait
//! are refused, never answered with success.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use logspine_cluster::group::{
    GroupConfig, GroupRecord, GroupRequest, GroupResponse, GroupShard, Input, Reply, Token,
};
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::Offset;
use logspine_replica::state_log::{Refused, StateLog};
use logspine_replica::{AppendError, LeaderAppend, group_log};
use logspine_storage::AppendError as LogAppendError;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::timers::Deadlines;
use crate::clock;
use crate::partition::{PartitionError, PartitionHandle, WaitError};

/// `offsets.commit.timeout.ms`: how long a request may wait for the disk before it is told to try again.
const COMMIT_TIMEOUT: Duration = Duration::from_millis(5_000);
/// How long the task that waits for the watermark waits in one go.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(3_600);

/// All groups of one partition of `__consumer_offsets`, and who waits for an answer from them.
pub(super) struct Shard {
    index: i32,
    partition: Arc<PartitionHandle>,
    state: Mutex<State>,
    deadlines: Arc<Deadlines>,
}

struct State {
    log: StateLog<GroupShard>,
    /// Bounded by the requests that connections may have in flight.
    waiting: HashMap<Token, oneshot::Sender<GroupResponse>>,
    next_token: Token,
    /// The log's end after the last append of ours: when it is committed, so is everything in flight.
    end: Offset,
    /// A task waits for the watermark.
    is_followed: bool,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Serving,
    /// The log took nothing any more; a new shard may serve from it later.
    Resigned,
    /// The log cannot be loaded.
    Failed,
}

impl Shard {
    pub(super) fn new(
        index: i32,
        partition: Arc<PartitionHandle>,
        config: GroupConfig,
        deadlines: &Arc<Deadlines>,
    ) -> Arc<Shard> {
        let state = State {
            log: StateLog::new(GroupShard::new(config)),
            waiting: HashMap::new(),
            next_token: 0,
            end: partition.view().log_end_offset(),
            is_followed: false,
            life: Life::Serving,
        };
        Arc::new(Shard { index, partition, state: Mutex::new(state), deadlines: Arc::clone(deadlines) })
    }

    pub(super) fn index(&self) -> i32 {
        self.index
    }

    pub(super) fn partition(&self) -> &Arc<PartitionHandle> {
        &self.partition
    }

    /// Whether this shard is the right one for that replica: it stands on it, not on an earlier one of the same
    /// name, and has not resigned from it, unless for good (a log that cannot be loaded is not tried again).
    pub(super) fn serves_from(&self, partition: &Arc<PartitionHandle>) -> bool {
        let may_come_back = || self.state.lock().life == Life::Resigned && partition.is_healthy();
        Arc::ptr_eq(&self.partition, partition) && !may_come_back()
    }

    /// Looks at the machine, under the lock.
    pub(super) fn look<T>(&self, look: impl FnOnce(&GroupShard) -> T) -> T {
        look(self.state.lock().log.machine())
    }

    /// Replays records that were read from the log. Only before `Input::Loaded`.
    pub(super) fn replay(&self, records: &[GroupRecord]) {
        let mut state = self.state.lock();
        for record in records {
            state.log.load(record);
        }
    }

    /// Asks and waits for the answer: at once, when the disk has it, or when other members have come.
    pub(super) async fn request(self: &Arc<Self>, request: GroupRequest) -> GroupResponse {
        // Members wait for each other as long as they agreed to; everything else waits for the disk only.
        let is_parked = matches!(request, GroupRequest::Join(_) | GroupRequest::Sync(_));
        let (sender, answer) = oneshot::channel();
        let token = {
            let mut state = self.state.lock();
            let token = state.next_token;
            state.next_token += 1;
            state.waiting.insert(token, sender);
            token
        };
        self.step(Input::Request { token, request });
        let gone = GroupResponse::Error(ErrorCode::CoordinatorNotAvailable);
        if is_parked {
            return answer.await.unwrap_or(gone);
        }
        match tokio::time::timeout(COMMIT_TIMEOUT, answer).await {
            Ok(answered) => answered.unwrap_or(gone),
            Err(_) => gone,
        }
    }

    /// Feeds one input and carries out what follows.
    pub(super) fn step(self: &Arc<Self>, input: Input) {
        let now_ms = clock::steady_ms();
        let mut state = self.state.lock();
        let mut refusal: Option<AppendRefused> = None;
        let State { log, end, .. } = &mut *state;
        let replies = log.step(now_ms, input, |records| {
            let appended = if records.is_empty() { Ok(*end) } else { self.append(now_ms, records) };
            match appended {
                Ok(appended_end) => {
                    *end = appended_end;
                    Ok(appended_end)
                }
                Err(refused) => {
                    refusal = Some(refused);
                    Err(refused.refused)
                }
            }
        });
        state.deliver(replies, refusal.map(|refused| refused.error));
        if refusal.is_some_and(|refused| refused.refused == Refused::Everything) {
            self.resign_locked(&mut state, Life::Resigned);
        }
        self.release(&mut state);
        let must_follow = state.log.pending_len() > 0 && !state.is_followed;
        state.is_followed |= must_follow;
        drop(state);
        if must_follow {
            tokio::spawn(Arc::clone(self).follow());
        }
    }

    /// Nobody is served from here any more: another broker leads, or the log fails.
    pub(super) fn resign(&self) {
        self.resign_locked(&mut self.state.lock(), Life::Resigned);
    }

    /// Nobody will be served from here: the log cannot be read.
    pub(super) fn fail(&self) {
        self.resign_locked(&mut self.state.lock(), Life::Failed);
    }

    fn resign_locked(&self, state: &mut State, life: Life) {
        state.life = life;
        let mut replies = state.log.lost();
        replies.extend(state.log.step(clock::steady_ms(), Input::Resigned, |_| Err(Refused::Everything)));
        state.deliver(replies, None);
        self.deadlines.set(self.index, None);
    }

    /// Answers what the watermark has passed, and names the next deadline.
    fn release(&self, state: &mut State) {
        let released = state.log.committed(self.partition.view().high_watermark());
        state.deliver(released, None);
        self.deadlines.set(self.index, state.log.next_deadline_ms());
    }

    /// Waits for the watermark as long as anything is in flight.
    async fn follow(self: Arc<Self>) {
        loop {
            // Read before releasing: what is committed after this moment ends the wait below.
            let committed = self.partition.view().high_watermark();
            {
                let mut state = self.state.lock();
                self.release(&mut state);
                if state.log.pending_len() == 0 {
                    state.is_followed = false;
                    return;
                }
            }
            let waited = self.partition.wait_committed(committed + 1, Instant::now() + FOLLOW_TIMEOUT).await;
            if let Err(error @ (WaitError::Failed | WaitError::Refused | WaitError::Closed)) = waited {
                tracing::warn!(partition = self.index, "the group coordinator resigns: {error}");
                let mut state = self.state.lock();
                self.resign_locked(&mut state, Life::Resigned);
                state.is_followed = false;
                return;
            }
        }
    }

    fn append(&self, now_ms: i64, records: &[GroupRecord]) -> Result<Offset, AppendRefused> {
        let batch = group_log::batch(now_ms, records).map_err(|error| {
            tracing::warn!(partition = self.index, "a group record is refused: {error}");
            AppendRefused { refused: Refused::ThisAppend, error: ErrorCode::UnknownServerError }
        })?;
        let append = LeaderAppend { require_min_isr: true, now_ms };
        match self.partition.append(&batch, append) {
            Ok(appended) => Ok(appended.end_offset),
            Err(error) => {
                tracing::warn!(partition = self.index, "__consumer_offsets refuses an append: {error}");
                Err(AppendRefused::from(&error))
            }
        }
    }
}

impl State {
    /// Sends replies out. Those that a lost append turned into refusals bear the reason of the log.
    fn deliver(&mut self, replies: Vec<Reply>, refusal: Option<ErrorCode>) {
        for Reply { token, response } in replies {
            let response = match (response, refusal) {
                (GroupResponse::Error(ErrorCode::NotCoordinator), Some(error)) => GroupResponse::Error(error),
                (response, _) => response,
            };
            if let Some(sender) = self.waiting.remove(&token) {
                // The client may be gone: then nobody wants the answer.
                let _ = sender.send(response);
            }
        }
    }
}

#[derive(Clone, Copy)]
struct AppendRefused {
    refused: Refused,
    error: ErrorCode,
}

/// Kafka's `appendGroupMetadataErrorToResponseError`: what a client can do about it.
impl From<&PartitionError> for AppendRefused {
    fn from(error: &PartitionError) -> AppendRefused {
        let (refused, error) = match error {
            PartitionError::Append(AppendError::NotEnoughReplicas { .. }) => {
                (Refused::ThisAppend, ErrorCode::CoordinatorNotAvailable)
            }
            PartitionError::Append(AppendError::Log(LogAppendError::RecordTooLarge { .. })) => {
                (Refused::ThisAppend, ErrorCode::UnknownServerError)
            }
            // The log is as it was: what is known here stays true, and the client may come again.
            PartitionError::Append(AppendError::Log(LogAppendError::Storage(_))) => {
                (Refused::ThisAppend, ErrorCode::CoordinatorNotAvailable)
            }
            PartitionError::DiskFull(_)
            | PartitionError::TooSlow { .. }
            | PartitionError::Append(_)
            | PartitionError::Closed
            | PartitionError::Storage(_) => (Refused::Everything, ErrorCode::NotCoordinator),
        };
        AppendRefused { refused, error }
    }
}
