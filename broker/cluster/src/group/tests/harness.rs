//! A shard on a log in memory: appends can be held back, refused or lost; time is a field that is advanced.
//!
//! It does what `replica::StateLog` does, in few lines, and checks after every step that live durable state
//! equals the state replayed from the log's bytes, and that no request is answered twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::group::response::GroupResponse;
use crate::group::{GroupConfig, GroupRecord, GroupRequest, GroupShard, Input, Reply, Token};
use crate::machine::{Effect, Machine};

type Bytes = (Vec<u8>, Option<Vec<u8>>);

pub(super) struct Harness {
    pub(super) config: GroupConfig,
    pub(super) shard: GroupShard,
    pub(super) now_ms: i64,
    /// What is committed, as bytes.
    log: Vec<Bytes>,
    in_flight: VecDeque<(Vec<GroupRecord>, Vec<Reply>)>,
    pub(super) hold: bool,
    pub(super) refuse_next: bool,
    unanswered: BTreeSet<Token>,
    next_token: Token,
    /// What a conversation remembers about its speakers; see `script.rs`.
    pub(super) speakers: BTreeMap<String, super::script::Speaker>,
    pub(super) asked: BTreeMap<Token, (String, String)>,
    /// What happened since it was last taken.
    happened: Vec<Event>,
}

/// What an onlooker sees.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    Appended(Vec<GroupRecord>),
    Refused(Vec<GroupRecord>),
    Replied(Token, GroupResponse),
}

impl Harness {
    pub(super) fn new() -> Harness {
        Harness::with_config(GroupConfig::default())
    }

    pub(super) fn with_config(config: GroupConfig) -> Harness {
        let mut harness = Harness {
            shard: GroupShard::new(config.clone()),
            config,
            now_ms: 0,
            log: Vec::new(),
            in_flight: VecDeque::new(),
            hold: false,
            refuse_next: false,
            unanswered: BTreeSet::new(),
            next_token: 1,
            speakers: BTreeMap::new(),
            asked: BTreeMap::new(),
            happened: Vec::new(),
        };
        harness.step(Input::Loaded);
        harness
    }

    pub(super) fn request(&mut self, request: GroupRequest) -> Token {
        let token = self.next_token;
        self.next_token += 1;
        self.unanswered.insert(token);
        self.step(Input::Request { token, request });
        token
    }

    /// The token that the next request will get.
    pub(super) fn next_token(&self) -> Token {
        self.next_token
    }

    pub(super) fn step(&mut self, input: Input) {
        for effect in self.shard.step(self.now_ms, input) {
            match effect {
                Effect::Reply(reply) => self.replied(reply),
                Effect::Append { records, then } if self.refuse_next && !records.is_empty() => {
                    self.refuse_next = false;
                    self.happened.push(Event::Refused(records));
                    let refused = self.shard.abandon(then);
                    refused.into_iter().for_each(|reply| self.replied(reply));
                    let in_flight = self.in_flight.iter().flat_map(|(records, _)| records);
                    in_flight.for_each(|record| self.shard.stage(record));
                }
                Effect::Append { records, then } => {
                    records.iter().for_each(|record| self.shard.stage(record));
                    if !records.is_empty() {
                        self.happened.push(Event::Appended(records.clone()));
                    }
                    self.in_flight.push_back((records, then));
                }
            }
        }
        if !self.hold {
            self.commit_all();
        }
        self.check_replay();
    }

    pub(super) fn commit_all(&mut self) {
        while self.commit_one() {}
    }

    /// Commits the oldest append in flight, if any.
    pub(super) fn commit_one(&mut self) -> bool {
        let Some((records, then)) = self.in_flight.pop_front() else { return false };
        for record in &records {
            self.log.push(record.encode().expect("a record that was decided can be written"));
            self.shard.replay(record);
        }
        then.into_iter().for_each(|reply| self.replied(reply));
        true
    }

    /// Everything in flight is lost.
    pub(super) fn lose_all(&mut self) {
        let waiting = self.in_flight.drain(..).flat_map(|(_, then)| then).collect();
        let refused = self.shard.abandon(waiting);
        refused.into_iter().for_each(|reply| self.replied(reply));
    }

    /// Moves time on, firing every timer at its time.
    pub(super) fn advance(&mut self, ms: i64) {
        let until_ms = self.now_ms + ms;
        while let Some(at_ms) = self.shard.next_deadline_ms().filter(|at_ms| *at_ms <= until_ms) {
            self.now_ms = self.now_ms.max(at_ms);
            self.step(Input::Timer);
        }
        self.now_ms = until_ms;
    }

    /// Another process takes over from the log alone; it has not loaded yet.
    pub(super) fn restart(&mut self) {
        self.lose_all();
        self.step(Input::Resigned);
        self.shard = self.replayed();
    }

    /// A shard that has replayed the committed bytes.
    pub(super) fn replayed(&self) -> GroupShard {
        let mut shard = GroupShard::new(self.config.clone());
        for (key, value) in &self.log {
            let record = GroupRecord::decode(key, value.as_deref()).expect("our own bytes can be read");
            shard.replay(&record.expect("our own record types are known"));
        }
        shard
    }

    fn check_replay(&self) {
        let replayed = self.replayed();
        assert!(self.shard.offsets().eq(replayed.offsets()), "live offsets differ from replayed ones");
        assert!(
            self.shard.group_metadata().eq(replayed.group_metadata()),
            "live groups differ from replayed"
        );
    }

    fn replied(&mut self, reply: Reply) {
        assert!(self.unanswered.remove(&reply.token), "request {} is answered twice", reply.token);
        self.happened.push(Event::Replied(reply.token, reply.response));
    }

    pub(super) fn unanswered(&self) -> &BTreeSet<Token> {
        &self.unanswered
    }

    pub(super) fn take_happened(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.happened)
    }
}
