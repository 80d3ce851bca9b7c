//! The shard: takes inputs one at a time, finds the group, lets it take its turn, and replays what commits.
//!
//! Life: loading (replay only; requests are told to wait), active from `Input::Loaded`, resigned from
//! `Input::Resigned` (everybody parked is sent away). Only `replay` touches durable state. Live groups are soft
//! state: what of them is durable is rebuilt by `replay` and `Input::Loaded`.

use std::collections::BTreeMap;

use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::TopicId;

use crate::machine::{Effect, Machine};

use super::classic::ClassicGroup;
use super::offsets::{OffsetAndMetadata, OffsetKey};
use super::overlay::Overlay;
use super::record::{GroupMetadata, GroupRecord};
use super::request::{Join, Leave};
use super::response::{GroupResponse, Joined};
use super::timers::{TimerKey, Timers};
use super::turn::Turn;
use super::{ClassicGroupState, GroupConfig, GroupRequest};

/// By which the driver knows whom to answer. Unique among unanswered requests of a shard.
pub type Token = u64;

pub(super) type Effects = Vec<Effect<GroupRecord, Reply>>;

/// An answer and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub token: Token,
    pub response: GroupResponse,
}

/// What can happen to a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Every committed record has been replayed: sessions start now, requests are served.
    Loaded,
    Request {
        token: Token,
        request: GroupRequest,
    },
    /// The deadline that `next_deadline_ms` named has come.
    Timer,
    /// These topics are gone, and with them the offsets committed for them.
    TopicsDeleted(Vec<DeletedTopic>),
    /// Another broker, or nobody, is the coordinator from now on.
    Resigned,
}

/// A topic that was deleted. One of the same name may have been created since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedTopic {
    pub topic_id: TopicId,
    pub name: String,
}

/// One line about a group, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSize<'a> {
    pub group_id: &'a str,
    pub state: ClassicGroupState,
    pub members: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Loading,
    Active,
    Resigned,
}

/// All groups and offsets of one `__consumer_offsets` partition.
#[derive(Debug)]
pub struct GroupShard {
    pub(super) config: GroupConfig,
    pub(super) phase: Phase,
    pub(super) groups: BTreeMap<String, ClassicGroup>,
    /// Groups that were deleted, until that is committed: back they come if it never is.
    pub(super) leaving: BTreeMap<String, ClassicGroup>,
    pub(super) timers: Timers,
    pub(super) offsets: Overlay<OffsetKey, OffsetAndMetadata>,
    pub(super) metadata: Overlay<String, GroupMetadata>,
    /// Records were lost: before anything else, groups that counted on them are set right.
    pub(super) records_were_lost: bool,
}

impl GroupShard {
    /// An empty shard that waits to be loaded.
    pub fn new(config: GroupConfig) -> GroupShard {
        GroupShard {
            config,
            phase: Phase::Loading,
            groups: BTreeMap::new(),
            leaving: BTreeMap::new(),
            timers: Timers::default(),
            offsets: Overlay::default(),
            metadata: Overlay::default(),
            records_were_lost: false,
        }
    }

    /// Every committed offset, of groups with and without members.
    pub fn offsets(&self) -> impl Iterator<Item = (&OffsetKey, &OffsetAndMetadata)> {
        self.offsets.committed().iter()
    }

    /// Every committed membership.
    pub fn group_metadata(&self) -> impl Iterator<Item = (&str, &GroupMetadata)> {
        self.metadata.committed().iter().map(|(group_id, metadata)| (group_id.as_str(), metadata))
    }

    /// Every live group with its state and number of members.
    pub fn group_sizes(&self) -> impl Iterator<Item = GroupSize<'_>> {
        self.groups.values().map(|group| GroupSize {
            group_id: &group.group_id,
            state: group.state,
            members: group.members.len(),
        })
    }

    /// Lets a live group take a turn; `None` if there is no such group.
    pub(super) fn with_group<R>(
        &mut self,
        now_ms: i64,
        group_id: &str,
        effects: &mut Effects,
        turn: impl FnOnce(&mut Turn<'_>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(group_id)?;
        Some(turn(&mut Turn { now_ms, config: &self.config, group, timers: &mut self.timers, effects }))
    }

    fn request(&mut self, now_ms: i64, token: Token, request: GroupRequest, effects: &mut Effects) {
        let response = match request {
            GroupRequest::Join(join) => return self.join(now_ms, token, join, effects),
            GroupRequest::Sync(sync) => {
                let error = if sync.group_id.is_empty() {
                    ErrorCode::InvalidGroupId
                } else if !self.groups.contains_key(&sync.group_id) {
                    ErrorCode::UnknownMemberId
                } else {
                    let group_id = sync.group_id.clone();
                    self.with_group(now_ms, &group_id, effects, |turn| turn.sync(token, sync));
                    return;
                };
                GroupResponse::Error(error)
            }
            GroupRequest::Heartbeat(heartbeat) if heartbeat.group_id.is_empty() => {
                GroupResponse::Error(ErrorCode::InvalidGroupId)
            }
            GroupRequest::Heartbeat(heartbeat) => {
                let group_id = heartbeat.group_id.clone();
                let error = self.with_group(now_ms, &group_id, effects, |turn| turn.heartbeat(&heartbeat));
                GroupResponse::Error(error.unwrap_or(ErrorCode::UnknownMemberId))
            }
            GroupRequest::Leave(leave) => return self.leave(now_ms, token, leave, effects),
            GroupRequest::CommitOffsets(commit) => {
                return self.commit_offsets(now_ms, token, commit, effects);
            }
            GroupRequest::FetchOffsets(fetch) => return self.fetch_offsets(token, &fetch, effects),
            GroupRequest::DeleteOffsets(delete) => return self.delete_offsets(token, delete, effects),
            GroupRequest::Describe { group_id } => GroupResponse::Described(self.describe(&group_id)),
            GroupRequest::List(list) => GroupResponse::Listed(self.list(&list)),
            GroupRequest::Delete { group_id } => return self.delete_group(token, &group_id, effects),
        };
        effects.push(Effect::Reply(Reply { token, response }));
    }

    fn join(&mut self, now_ms: i64, token: Token, join: Join, effects: &mut Effects) {
        let session = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        let is_new = !self.groups.contains_key(&join.group_id);
        let error = if join.group_id.is_empty() {
            Some(ErrorCode::InvalidGroupId)
        } else if !session.contains(&join.session_timeout_ms) {
            Some(ErrorCode::InvalidSessionTimeout)
        } else if is_new && !join.member_id.is_empty() {
            Some(ErrorCode::UnknownMemberId)
        } else {
            None
        };
        if let Some(error) = error {
            let response = GroupResponse::Joined(Joined::error(error, join.member_id));
            return effects.push(Effect::Reply(Reply { token, response }));
        }
        if is_new {
            self.groups.insert(join.group_id.clone(), ClassicGroup::empty(&join.group_id, Some(now_ms)));
        }
        self.with_group(now_ms, &join.group_id, effects, |turn| turn.join(token, &join));
        if is_new {
            self.keep_new_group(&join.group_id, now_ms, effects);
        }
    }

    /// A new group becomes durable as an empty one, as Kafka writes it; one that let nobody in is dropped.
    fn keep_new_group(&mut self, group_id: &str, now_ms: i64, effects: &mut Effects) {
        let group = &self.groups[group_id];
        if group.members.is_empty() && group.pending_members.is_empty() {
            self.groups.remove(group_id);
        } else {
            let empty = ClassicGroup::empty(group_id, Some(now_ms)).to_metadata(None);
            let records = vec![GroupRecord::group(group_id, Some(empty))];
            effects.push(Effect::Append { records, then: Vec::new() });
        }
    }

    fn leave(&mut self, now_ms: i64, token: Token, leave: Leave, effects: &mut Effects) {
        let results = if leave.group_id.is_empty() {
            None
        } else {
            let group_id = leave.group_id.clone();
            let left = self.with_group(now_ms, &group_id, effects, |turn| turn.leave(&leave));
            Some(left.unwrap_or_else(|| vec![ErrorCode::UnknownMemberId; leave.members.len()]))
        };
        let response = results.map_or(GroupResponse::Error(ErrorCode::InvalidGroupId), GroupResponse::Left);
        let reply = Reply { token, response };
        // The last one out makes the group empty; that it left is told when this is written.
        match effects.last_mut() {
            Some(Effect::Append { then, .. }) => then.push(reply),
            _ => effects.push(Effect::Reply(reply)),
        }
    }

    /// Answers at once, or together with what is in flight if the answer already counts on it.
    pub(super) fn reply_after(effects: &mut Effects, token: Token, response: GroupResponse, waits: bool) {
        let reply = Reply { token, response };
        effects.push(if waits {
            Effect::Append { records: Vec::new(), then: vec![reply] }
        } else {
            Effect::Reply(reply)
        });
    }

    fn timer(&mut self, now_ms: i64, effects: &mut Effects) {
        // As many as there are now; one that is scheduled meanwhile and due at once waits for the next input.
        for _ in 0..self.timers.len() {
            let Some(key) = self.timers.pop_due(now_ms) else { return };
            match key {
                TimerKey::Heartbeat { group_id, member_id } => {
                    self.with_group(now_ms, &group_id, effects, |turn| turn.on_heartbeat_timer(&member_id));
                }
                TimerKey::Join { group_id } => {
                    self.with_group(now_ms, &group_id, effects, |turn| turn.on_join_timer());
                }
                TimerKey::Sync { group_id } => {
                    self.with_group(now_ms, &group_id, effects, |turn| turn.on_sync_timer());
                }
                TimerKey::Expiration => self.expire_offsets(now_ms, effects),
            }
        }
    }

    /// The next look for expired offsets; none while there is nothing that could expire.
    fn schedule_expiration(&mut self, now_ms: i64, effects: &Effects) {
        // A first commit makes its group only when it is replayed, so records on their way count too.
        let appends = |effect: &Effect<GroupRecord, Reply>| matches!(effect, Effect::Append { records, .. } if !records.is_empty());
        let is_needed = !self.groups.is_empty() || effects.iter().any(appends);
        if is_needed && !self.timers.is_scheduled(&TimerKey::Expiration) {
            let at_ms = now_ms + self.config.offsets_retention_check_interval_ms;
            self.timers.schedule(TimerKey::Expiration, at_ms);
        }
    }
}

impl Machine for GroupShard {
    type Input = Input;
    type Record = GroupRecord;
    type Reply = Reply;

    fn step(&mut self, now_ms: i64, input: Input) -> Effects {
        let mut effects = Vec::new();
        if self.phase == Phase::Active && self.records_were_lost {
            self.set_right(now_ms, &mut effects);
        }
        match (self.phase, input) {
            (Phase::Loading, Input::Loaded) => {
                self.phase = Phase::Active;
                self.load_groups(now_ms, &mut effects);
            }
            (Phase::Active, Input::Request { token, request }) => {
                self.request(now_ms, token, request, &mut effects);
            }
            (Phase::Active, Input::Timer) => self.timer(now_ms, &mut effects),
            (Phase::Active, Input::TopicsDeleted(topics)) => {
                self.delete_offsets_of(&topics, &mut effects);
            }
            (Phase::Loading | Phase::Active, Input::Resigned) => self.resign(&mut effects),
            (phase, Input::Request { token, request }) => {
                let response = GroupResponse::Error(refusal(phase, &request));
                effects.push(Effect::Reply(Reply { token, response }));
            }
            (_, Input::Loaded | Input::Timer | Input::TopicsDeleted(_) | Input::Resigned) => {}
        }
        if self.phase == Phase::Active {
            self.schedule_expiration(now_ms, &effects);
        }
        effects
    }

    fn stage(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { key, value } => self.offsets.stage(key, value.as_ref()),
            GroupRecord::Group { group_id, value } => self.metadata.stage(group_id, value.as_ref()),
        }
    }

    fn abandon(&mut self, waiting: Vec<Reply>) -> Vec<Reply> {
        self.offsets.abandon();
        self.metadata.abandon();
        self.records_were_lost = true;
        let refuse = |reply: Reply| Reply {
            token: reply.token,
            response: GroupResponse::Error(ErrorCode::NotCoordinator),
        };
        waiting.into_iter().map(refuse).collect()
    }

    fn replay(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Offset { key, value } => {
                self.offsets.commit(key, value.as_ref());
                let is_known = self.groups.contains_key(&key.group_id);
                if self.phase == Phase::Active
                    && value.is_some()
                    && !is_known
                    && !self.metadata.is_being_removed(&key.group_id)
                {
                    // A consumer that only keeps offsets here: a group without members or protocol.
                    let group = ClassicGroup::empty(&key.group_id, None);
                    self.groups.insert(key.group_id.clone(), group);
                }
            }
            GroupRecord::Group { group_id, value } => {
                self.metadata.commit(group_id, value.as_ref());
                if !self.metadata.is_staged(group_id) {
                    self.leaving.remove(group_id);
                }
                if let (Some(metadata), Some(group)) = (value, self.groups.get_mut(group_id)) {
                    group.on_committed(metadata);
                }
            }
        }
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        if self.phase == Phase::Active && self.records_were_lost {
            return Some(i64::MIN);
        }
        self.timers.next_ms()
    }
}

/// Why an inactive shard does not serve. While it loads it cannot know a member, so none is told to leave.
fn refusal(phase: Phase, request: &GroupRequest) -> ErrorCode {
    match (phase, request) {
        (Phase::Loading, GroupRequest::Heartbeat(_)) => ErrorCode::NONE,
        (Phase::Loading, _) => ErrorCode::CoordinatorLoadInProgress,
        _ => ErrorCode::NotCoordinator,
    }
}
