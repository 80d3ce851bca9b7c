//! Fetch sessions (KIP-227): what a client reads is remembered, so that it sends and gets only what changed.
//!
//! The cache has a fixed number of slots. A full one makes room by Kafka's rules, `victim`, or opens no session
//! and the client goes on with full requests. Session ids are random, so that one client does not hit another's. Partitions that returned records go to the end of their session's
//! order, so that none starves. Kafka: FetchSession, FetchSessionCacheShard.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use logspine_protocol::error::ErrorCode;
use parking_lot::Mutex;

use super::plan::{TopicKey, Wanted};
use super::read::{PartitionRead, Target};

/// A session that was not used for longer than this may be evicted by any, and a session that lives for longer than
/// this by one that is worth more.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

type Key = (TopicKey, i32);

struct Entry {
    wanted: Wanted,
    /// What the client was told last; -1 = tell it again.
    high_watermark: i64,
    log_start_offset: i64,
    /// The last answer held records of it.
    returned_records: bool,
}

struct Session {
    entries: Vec<Entry>,
    positions: HashMap<Key, usize>,
    /// The epoch that the next request must carry.
    epoch: i32,
    uses_ids: bool,
    /// Opened by a follower.
    privileged: bool,
    created: Instant,
    last_used: Instant,
}

pub struct FetchSessionCache {
    slots: usize,
    sessions: Mutex<HashMap<i32, Session>>,
}

fn key(wanted: &Wanted) -> Key {
    (wanted.topic.clone(), wanted.partition)
}

impl Entry {
    /// Notes an answer; true if it says something that the client does not know.
    fn note(&mut self, read: &PartitionRead) -> bool {
        let has_news = read.slice.is_some()
            || read.error != ErrorCode::None
            || read.diverging.is_some()
            || read.high_watermark != self.high_watermark
            || read.log_start_offset != self.log_start_offset;
        self.high_watermark = read.high_watermark;
        self.log_start_offset = read.log_start_offset;
        self.returned_records = read.slice.is_some();
        has_news
    }
}

impl Session {
    /// Followers before consumers, then whoever saves more by having a session.
    fn worth(&self) -> (bool, usize) {
        (self.privileged, self.entries.len())
    }

    fn index(&mut self) {
        self.positions.clear();
        self.positions.extend(self.entries.iter().enumerate().map(|(at, entry)| (key(&entry.wanted), at)));
    }

    fn update(&mut self, named: impl Iterator<Item = Wanted>, forgotten: impl Iterator<Item = Key>) {
        for wanted in named {
            match self.positions.get(&key(&wanted)) {
                Some(&at) => self.entries[at].wanted = wanted,
                None => {
                    self.positions.insert(key(&wanted), self.entries.len());
                    self.entries.push(Entry {
                        wanted,
                        high_watermark: -1,
                        log_start_offset: -1,
                        returned_records: false,
                    });
                }
            }
        }
        let mut gone: Vec<usize> = forgotten.filter_map(|key| self.positions.get(&key).copied()).collect();
        if gone.is_empty() {
            return;
        }
        gone.sort_unstable();
        let mut at = 0;
        self.entries.retain(|_| {
            at += 1;
            gone.binary_search(&(at - 1)).is_err()
        });
        self.index();
    }
}

impl FetchSessionCache {
    pub fn new(slots: usize) -> FetchSessionCache {
        FetchSessionCache { slots, sessions: Mutex::default() }
    }

    pub fn len(&self) -> usize {
        self.sessions.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Opens a session over what was just answered; 0 if there is no room.
    pub fn open(&self, targets: &[Target], privileged: bool, now: Instant) -> i32 {
        let mut sessions = self.sessions.lock();
        if targets.is_empty() {
            return 0;
        }
        if sessions.len() >= self.slots {
            let Some(victim) = victim(&sessions, (privileged, targets.len()), now) else { return 0 };
            sessions.remove(&victim);
        }
        let mut session = Session {
            entries: Vec::with_capacity(targets.len()),
            positions: HashMap::with_capacity(targets.len()),
            epoch: 1,
            uses_ids: matches!(targets[0].wanted.topic, TopicKey::Id(_)),
            privileged,
            created: now,
            last_used: now,
        };
        session.update(targets.iter().map(|target| target.wanted.clone()), std::iter::empty());
        for Target { wanted, read, .. } in targets {
            let at = session.positions[&key(wanted)];
            session.entries[at].note(read);
        }
        let id = new_id(&sessions);
        sessions.insert(id, session);
        id
    }

    /// Forgets a session; 0 and unknown ids are nothing.
    pub fn close(&self, session_id: i32) {
        if session_id != 0 {
            self.sessions.lock().remove(&session_id);
        }
    }

    /// Checks the epoch, takes the changes, returns everything that the session now reads. A session without
    /// partitions is closed.
    pub fn continue_session(
        &self,
        session_id: i32,
        epoch: i32,
        uses_ids: bool,
        named: impl Iterator<Item = Wanted>,
        forgotten: impl Iterator<Item = Key>,
        now: Instant,
    ) -> Result<Vec<Target>, ErrorCode> {
        let mut sessions = self.sessions.lock();
        let session = sessions.get_mut(&session_id).ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.uses_ids != uses_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        session.epoch = if epoch == i32::MAX { 1 } else { epoch + 1 };
        session.last_used = now;
        session.update(named, forgotten);
        let target = |entry: &Entry| Target::new(entry.wanted.clone());
        let targets: Vec<Target> = session.entries.iter().map(target).collect();
        if targets.is_empty() {
            sessions.remove(&session_id);
        }
        Ok(targets)
    }

    /// Notes what is about to be answered, and for each partition whether the client needs to be told. When
    /// the session is gone meanwhile, everything is told.
    pub fn note_sent(&self, session_id: i32, targets: &mut [Target]) {
        let mut sessions = self.sessions.lock();
        let Some(session) = sessions.get_mut(&session_id) else { return };
        for entry in &mut session.entries {
            entry.returned_records = false;
        }
        for Target { wanted, read, has_news, .. } in targets {
            if let Some(&at) = session.positions.get(&key(wanted)) {
                *has_news = session.entries[at].note(read);
            }
        }
        rotate(session);
    }
}

/// Partitions that returned records go behind those that did not.
fn rotate(session: &mut Session) {
    let returned = session.entries.iter().filter(|entry| entry.returned_records).count();
    if returned == 0 || returned == session.entries.len() {
        return;
    }
    // A stable sort: within both halves the order stays.
    session.entries.sort_by_key(|entry| entry.returned_records);
    session.index();
}

/// Who goes for a new session that is worth this much: the one idle longest, if that is long enough; else the one
/// worth least, if it is worth less and has been there for a while. A follower need not wait for a consumer's.
fn victim(sessions: &HashMap<i32, Session>, worth: (bool, usize), now: Instant) -> Option<i32> {
    let idlest = sessions.iter().min_by_key(|(_, session)| session.last_used);
    if let Some((id, session)) = idlest
        && now.saturating_duration_since(session.last_used) > EVICTABLE_AFTER
    {
        return Some(*id);
    }
    let (privileged, _) = worth;
    // Kafka looks at a session's age when it is used, not when another one wants its place.
    let is_old = |session: &Session| session.last_used - session.created > EVICTABLE_AFTER;
    let evictable = sessions
        .iter()
        .filter(|(_, session)| is_old(session) || (privileged && !session.privileged))
        .min_by_key(|(id, session)| (session.worth(), **id));
    evictable.filter(|(_, session)| session.worth() < worth).map(|(id, _)| *id)
}

/// A positive id that is not taken. The standard library's hash seeds are random.
fn new_id(sessions: &HashMap<i32, Session>) -> i32 {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let id = (random as i32) & i32::MAX;
        if id != 0 && !sessions.contains_key(&id) {
            return id;
        }
    }
}

#[cfg(test)]
mod tests;
