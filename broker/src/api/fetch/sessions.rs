//! Fetch sessions (KIP-227): what a client reads is remembered, so that it sends and gets only what changed.
//!
//! The cache has a fixed number of slots. A full one makes room by Kafka's rules, `victim`, or opens no session
//! and the client goes on with full requests. Session ids are random, so that one client does not hit another's.
//! Partitions that returned records go to the end of their session's order, so that none starves. A partition that is
//! read to its end sleeps until it tells that it moved (`partition/watch.rs`): a request costs what moved, however many
//! partitions its session has. Kafka: FetchSession, FetchSessionCacheShard.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use logspine_protocol::error::ErrorCode;
use parking_lot::Mutex;

use super::plan::{TopicKey, Wanted};
use super::read::{PartitionRead, Target};
use crate::partition::{PartitionHandle, Watch};

/// A session that was not used for longer than this may be evicted by any, and a session that lives for longer than
/// this by one that is worth more.
const EVICTABLE_AFTER: Duration = Duration::from_secs(120);

type Key = (TopicKey, i32);

struct Entry {
    wanted: Wanted,
    /// Its place in the order; partitions that returned records get a new one.
    turn: u64,
    /// What the client was told last; -1 = tell it again.
    high_watermark: i64,
    log_start_offset: i64,
    /// The replica that tells the session of its moves.
    told_by: Weak<PartitionHandle>,
}

struct Session {
    /// By slot; a slot is empty once its partition is forgotten.
    entries: Vec<Option<Entry>>,
    free_slots: Vec<u32>,
    positions: HashMap<Key, u32>,
    /// What the next request reads, by turn; the others are read to their end and have not moved since.
    awake: BTreeSet<(u64, u32)>,
    next_turn: u64,
    watch: Arc<Watch>,
    /// The epoch that the next request must carry.
    epoch: i32,
    uses_ids: bool,
    /// Opened by a follower.
    privileged: bool,
    created: Instant,
    last_used: Instant,
}

/// What a request in a session reads.
pub struct Continued {
    /// The partitions that are awake, in their order.
    pub targets: Vec<Target>,
    /// Tells of all partitions; `None` for a session without any, which is closed.
    pub watch: Option<Arc<Watch>>,
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
        has_news
    }

    /// Whether this replica was already telling when it was read; from here on it is.
    fn is_told_by(&mut self, replica: &Arc<PartitionHandle>, watch: &Arc<Watch>, slot: u32) -> bool {
        let is_known = std::ptr::eq(self.told_by.as_ptr(), Arc::as_ptr(replica));
        if !is_known {
            replica.watch(watch, slot);
            self.told_by = Arc::downgrade(replica);
        }
        is_known
    }
}

impl Session {
    fn new(uses_ids: bool, privileged: bool, now: Instant) -> Session {
        Session {
            entries: Vec::new(),
            free_slots: Vec::new(),
            positions: HashMap::new(),
            awake: BTreeSet::new(),
            next_turn: 0,
            watch: Arc::default(),
            epoch: 1,
            uses_ids,
            privileged,
            created: now,
            last_used: now,
        }
    }

    /// Followers before consumers, then whoever saves more by having a session.
    fn worth(&self) -> (bool, usize) {
        (self.privileged, self.positions.len())
    }

    fn turn(&mut self) -> u64 {
        self.next_turn += 1;
        self.next_turn
    }

    fn update(&mut self, named: impl Iterator<Item = Wanted>, forgotten: impl Iterator<Item = Key>) {
        for wanted in named {
            match self.positions.get(&key(&wanted)).copied() {
                Some(slot) => {
                    if let Some(entry) = &mut self.entries[slot as usize] {
                        entry.wanted = wanted;
                        self.awake.insert((entry.turn, slot));
                    }
                }
                None => self.add(wanted),
            }
        }
        for key in forgotten {
            let Some(slot) = self.positions.remove(&key) else { continue };
            if let Some(entry) = self.entries[slot as usize].take() {
                self.awake.remove(&(entry.turn, slot));
                self.free_slots.push(slot);
            }
        }
    }

    fn add(&mut self, wanted: Wanted) {
        let turn = self.turn();
        let slot = self.free_slots.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        self.positions.insert(key(&wanted), slot);
        self.awake.insert((turn, slot));
        let (high_watermark, log_start_offset) = (-1, -1);
        self.entries[slot as usize] =
            Some(Entry { wanted, turn, high_watermark, log_start_offset, told_by: Weak::new() });
    }

    /// Wakes what moved; returns those that slept.
    fn wake_moved(&mut self) -> Vec<Target> {
        let moved = self.watch.take_moved();
        let mut woken = Vec::with_capacity(moved.len());
        for slot in moved {
            // A slot may have been given up, and what told may have been its partition before.
            let Some(Some(entry)) = self.entries.get(slot as usize) else { continue };
            if self.awake.insert((entry.turn, slot)) {
                woken.push(Target::new(entry.wanted.clone()));
            }
        }
        woken
    }

    /// Notes what a partition answers; whether its client needs to be told.
    fn note(&mut self, target: &Target) -> bool {
        let Some(&slot) = self.positions.get(&key(&target.wanted)) else { return true };
        let next_turn = self.next_turn + 1;
        let Some(entry) = &mut self.entries[slot as usize] else { return true };
        let has_news = entry.note(&target.read);
        let is_told = target.found.as_ref().is_ok_and(|found| entry.is_told_by(found, &self.watch, slot));
        if target.read.slice.is_some() {
            self.awake.remove(&(entry.turn, slot));
            (entry.turn, self.next_turn) = (next_turn, next_turn);
            self.awake.insert((next_turn, slot));
        } else if is_told && target.is_at_end && entry.wanted == target.wanted {
            self.awake.remove(&(entry.turn, slot));
        }
        has_news
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
        let uses_ids = matches!(targets[0].wanted.topic, TopicKey::Id(_));
        let mut session = Session::new(uses_ids, privileged, now);
        session.update(targets.iter().map(|target| target.wanted.clone()), std::iter::empty());
        for target in targets {
            session.note(target);
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

    /// Checks the epoch, takes the changes, returns what the session now reads. One without partitions is closed.
    pub fn continue_session(
        &self,
        session_id: i32,
        epoch: i32,
        uses_ids: bool,
        named: impl Iterator<Item = Wanted>,
        forgotten: impl Iterator<Item = Key>,
        now: Instant,
    ) -> Result<Continued, ErrorCode> {
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
        if session.positions.is_empty() {
            sessions.remove(&session_id);
            return Ok(Continued { targets: Vec::new(), watch: None });
        }
        session.wake_moved();
        let target = |&(_, slot): &(u64, u32)| session.entries[slot as usize].as_ref();
        let awake = session.awake.iter().filter_map(target);
        let targets = awake.map(|entry| Target::new(entry.wanted.clone())).collect();
        Ok(Continued { targets, watch: Some(Arc::clone(&session.watch)) })
    }

    /// What moved since the request began and is not among its targets.
    pub fn woken(&self, session_id: i32) -> Vec<Target> {
        self.sessions.lock().get_mut(&session_id).map(Session::wake_moved).unwrap_or_default()
    }

    /// Notes what is about to be answered, and for each partition whether the client needs to be told. When
    /// the session is gone meanwhile, everything is told.
    pub fn note_sent(&self, session_id: i32, targets: &mut [Target]) {
        let mut sessions = self.sessions.lock();
        let Some(session) = sessions.get_mut(&session_id) else { return };
        for target in targets {
            target.has_news = session.note(target);
        }
    }
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
