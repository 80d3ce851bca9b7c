//! One coordinator shard over its partition of `__consumer_offsets`: the shipped machine, state log, partition and log.
//!
//! Commits, OffsetDelete, DeleteGroups, deleted topics, a member that joins, syncs and leaves, compaction, and trouble
//! of every kind. What the shell adds in `coordinator/driver.rs` is done here step by step: append, flush, release.
//! The model knows every record that was ever appended at an offset, and of each key the last one that somebody was
//! told of, by an answer or by OffsetFetch.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use logspine_cluster::group::request::{
    CommitOffsets, DeleteOffsets, FetchOffsets, Join, Leave, MemberIdentity, OffsetToCommit, Protocol, Sync,
};
use logspine_cluster::group::{
    DeletedTopic, GroupConfig, GroupRecord, GroupRequest, GroupResponse, GroupShard, Input, Reply, Token,
};
use logspine_protocol::batch::iter_batches;
use logspine_protocol::error::ErrorCode;
use logspine_protocol::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use logspine_replica::group_log::{self, GroupLog};
use logspine_replica::planted::Planted;
use logspine_replica::state_log::{Refused, StateLog};
use logspine_replica::{
    Flush, Flushed, Isolation, LeaderAppend, LeaderWord, OpenPartition, Partition, ReadBudget,
};
use logspine_storage::compaction::SyncDir;
use logspine_storage::config::CleanupPolicy;
use logspine_storage::planted::Planted as StoragePlanted;
use logspine_storage::sim_disk::{Rng, SimDisk};
use logspine_storage::{CompactionError, KeyMemory, LogConfig, LogDir, StorageError, Unpaced};

use crate::weather;

const TOPIC: &str = "__consumer_offsets";
const DATA_DIR: &str = "/data";
const GROUPS: [&str; 3] = ["a", "b", "c"];
const TOPICS: [&str; 2] = ["t", "u"];
const WAITING_MAX: usize = 20;

type Checked = Result<(), String>;
/// A record and where it was put.
type Placed = (i64, GroupRecord);

/// A flush between its steps.
enum Flushing {
    Begun(Flush),
    Ran(Flushed),
}

/// What lives and dies with the process.
struct Process {
    dir: LogDir,
    partition: Partition,
    shard: StateLog<GroupShard>,
    flushing: Option<Flushing>,
    /// Behind the last append of ours.
    end: Offset,
    /// By token, what its request wrote, until it is answered.
    waiting: BTreeMap<Token, Vec<Placed>>,
    /// Group to member and generation, as the member was told.
    members: BTreeMap<String, (String, i32)>,
    /// By token, which group OffsetFetch asks about.
    looks: BTreeMap<Token, String>,
    resigned: bool,
}

pub struct World {
    rng: Rng,
    disk: SimDisk,
    planted: (Planted, StoragePlanted),
    process: Option<Process>,
    now_ms: i64,
    leader_epoch: i32,
    next_token: Token,
    /// No two commits are of one offset.
    next_offset: i64,
    /// Offset to everything that was ever written there, or tried.
    attempted: BTreeMap<i64, Vec<GroupRecord>>,
    /// Key to the newest record that somebody was told of.
    promised: BTreeMap<String, Placed>,
    /// The first thing that was wrong, where nobody could return it.
    broken: Option<String>,
    pub cuts: u64,
    pub answers: u64,
    pub compactions: u64,
    pub trace: Vec<String>,
}

/// What a record is about.
fn key_of(record: &GroupRecord) -> String {
    match record {
        GroupRecord::Offset { key, .. } => format!("{key:?}"),
        GroupRecord::Group { group_id, .. } => format!("group {group_id}"),
    }
}

fn is_tombstone(record: &GroupRecord) -> bool {
    matches!(record, GroupRecord::Offset { value: None, .. } | GroupRecord::Group { value: None, .. })
}

fn config(planted: StoragePlanted) -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy { delete: false, compact: true },
        segment_bytes: 900,
        index_interval_bytes: 150,
        delete_retention_ms: 400,
        file_delete_delay_ms: 0,
        planted,
        ..LogConfig::default()
    }
}

impl World {
    pub fn new(seed: u64, replica: Planted, storage: StoragePlanted) -> World {
        let mut world = World {
            rng: Rng::new(seed),
            disk: SimDisk::new(),
            planted: (replica, storage),
            process: None,
            now_ms: 1_700_000_000_000,
            leader_epoch: -1,
            next_token: 0,
            next_offset: 1,
            attempted: BTreeMap::new(),
            promised: BTreeMap::new(),
            broken: None,
            cuts: 0,
            answers: 0,
            compactions: 0,
            trace: Vec::new(),
        };
        world.start().expect("an empty disk opens");
        world
    }

    /// One random thing; then the power may be gone.
    pub fn step(&mut self) -> Checked {
        self.now_ms += 1 + self.rng.below(50) as i64;
        let done = self.act();
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        if self.disk.is_off() {
            return self.power_cut();
        }
        done
    }

    fn act(&mut self) -> Checked {
        self.serve_again()?;
        match self.rng.below(100) {
            0..50 => self.ask(),
            50..76 => self.flush(),
            76..80 => self.checkpoint(),
            80..84 => self.compact(),
            84..86 => self.resign(),
            86..88 => self.disk.fail_syncs(u64::from(self.rng.percent(30))),
            88..90 => {
                let trouble = weather::brew(&mut self.rng, &self.disk);
                self.note(&trouble);
            }
            90..96 => weather::clear(&self.disk),
            96..98 => return self.end_process(),
            _ => return self.power_cut(),
        }
        Ok(())
    }

    pub fn power_cut(&mut self) -> Checked {
        self.note("power cut");
        loop {
            self.process = None;
            self.cuts += 1;
            self.disk.power_cut(self.rng.next_u64());
            if self.rng.percent(20) {
                self.disk.cut_power_after(1 + self.rng.below(20));
            }
            let started = self.start();
            if !self.disk.is_off() {
                return started;
            }
        }
    }

    /// `kill -9`: the page cache stays.
    fn end_process(&mut self) -> Checked {
        self.note("kill");
        self.process = None;
        weather::clear(&self.disk);
        let started = self.start();
        if self.disk.is_off() { self.power_cut() } else { started }
    }

    /// Opens, recovers, checks, loads, serves. One start in four is done twice.
    fn start(&mut self) -> Checked {
        let (dir, partition) = self.open()?;
        let found = read_log(&partition)?;
        let (dir, partition) = if self.rng.percent(25) {
            drop((dir, partition));
            let (dir, partition) = self.open()?;
            if read_log(&partition)? != found {
                return Err("a second recovery finds something else".to_owned());
            }
            (dir, partition)
        } else {
            (dir, partition)
        };
        self.check(&found)?;
        self.serve(dir, partition, &found)
    }

    fn open(&mut self) -> Result<(LogDir, Partition), String> {
        let words = |error: StorageError| format!("a crash keeps the log from opening: {error}");
        let dir = LogDir::open(Arc::new(self.disk.clone()), Path::new(DATA_DIR)).map_err(words)?;
        let of = |offsets: Result<_, _>| offsets.map_err(words).map(|all| LogDir::offset_of(&all, TOPIC, 0));
        let (mut partition, recovered) = Partition::open(OpenPartition {
            disk: Arc::new(self.disk.clone()),
            dir: dir.partition_path(TOPIC, 0),
            topic: TOPIC.to_owned(),
            topic_id: TopicId([4; 16]),
            partition: PartitionIndex(0),
            config: config(self.planted.1),
            broker: BrokerId(0),
            recovery_point: of(dir.recovery_points())?,
            log_start: of(dir.log_starts())?,
            high_watermark: of(dir.high_watermarks())?,
            clean: false,
            now_ms: self.now_ms,
        })
        .map_err(words)?;
        if let Some(damage) = recovered.damage {
            return Err(format!("a crash is called damage: {damage}"));
        }
        partition.plant(self.planted.0);
        self.leader_epoch += 1;
        let word = LeaderWord {
            leader_epoch: LeaderEpoch(self.leader_epoch),
            partition_epoch: 0,
            replicas: vec![BrokerId(0)],
            isr: vec![BrokerId(0)],
            min_insync_replicas: 1,
            lag_time_max_ms: 30_000,
        };
        let _ = partition.become_leader(self.now_ms, word); // Nobody waits yet.
        Ok((dir, partition))
    }

    /// Nothing that was never written; of each key what was promised, or something newer.
    fn check(&self, found: &[Placed]) -> Checked {
        let mut last: BTreeMap<String, &Placed> = BTreeMap::new();
        for placed in found {
            let (offset, record) = placed;
            if !self.attempted.get(offset).is_some_and(|tried| tried.contains(record)) {
                return Err(format!("offset {offset} holds what was never written there: {record:?}"));
            }
            last.insert(key_of(record), placed);
        }
        for (key, promised) in &self.promised {
            let kept = match last.get(key) {
                Some(found) => found.0 > promised.0 || **found == *promised,
                None => is_tombstone(&promised.1) || self.was_removed_after(promised.0, key),
            };
            if !kept {
                return Err(format!("{promised:?} was promised, and {:?} is there", last.get(key)));
            }
        }
        Ok(())
    }

    /// A tombstone that nobody was told of may have come and gone by compaction.
    fn was_removed_after(&self, offset: i64, key: &str) -> bool {
        let later = self.attempted.range(offset + 1..).flat_map(|(_, tried)| tried);
        later.into_iter().any(|record| is_tombstone(record) && key_of(record) == key)
    }

    /// Loads a new shard; its state is what the log adds up to.
    fn serve(&mut self, dir: LogDir, partition: Partition, found: &[Placed]) -> Checked {
        let config = GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
        let mut shard = StateLog::new(GroupShard::new(config));
        shard.plant(self.planted.0);
        let (view, end) = (partition.view(), partition.view().log_end_offset());
        let mut log = GroupLog::new(&view);
        log.plant(self.planted.0);
        log.replay(end, |records| records.iter().for_each(|record| shard.load(record)))
            .map_err(|error| format!("groups cannot be loaded: {error}"))?;
        let mut last: BTreeMap<String, &GroupRecord> = BTreeMap::new();
        for (_, record) in found {
            last.insert(key_of(record), record);
        }
        last.retain(|_, record| !is_tombstone(record));
        let machine = shard.machine();
        let offsets = machine
            .offsets()
            .map(|(key, value)| GroupRecord::Offset { key: key.clone(), value: Some(value.clone()) });
        let groups = machine.group_metadata().map(|(group_id, value)| GroupRecord::Group {
            group_id: group_id.to_owned(),
            value: Some(value.clone()),
        });
        let loaded: BTreeMap<String, GroupRecord> =
            offsets.chain(groups).map(|record| (key_of(&record), record)).collect();
        if !loaded.iter().eq(last.iter().map(|(key, record)| (key, *record))) {
            return Err(format!("loaded {loaded:?}, the log adds up to {last:?}"));
        }
        self.process = Some(Process {
            dir,
            partition,
            shard,
            flushing: None,
            end,
            waiting: BTreeMap::new(),
            members: BTreeMap::new(),
            looks: BTreeMap::new(),
            resigned: false,
        });
        self.feed(None, Input::Loaded);
        Ok(())
    }

    /// A client's request.
    fn ask(&mut self) {
        let process = self.process.as_ref().expect("the process runs");
        if process.waiting.len() >= WAITING_MAX {
            return;
        }
        let group_id = GROUPS[self.rng.below(3) as usize].to_owned();
        let topic = TOPICS[self.rng.below(2) as usize].to_owned();
        let partition = self.rng.below(2) as i32;
        let member = process.members.get(&group_id).cloned();
        let request = match (self.rng.below(20), member) {
            (0..10, member) => self.commit(group_id, topic, partition, member),
            (10..12, _) => return self.look(group_id),
            (12..13, _) => {
                GroupRequest::DeleteOffsets(DeleteOffsets { group_id, partitions: vec![(topic, partition)] })
            }
            (13..15, None) => GroupRequest::Delete { group_id },
            (15..16, _) => {
                let deleted = DeletedTopic { topic_id: TopicId::ZERO, name: topic };
                return self.feed(None, Input::TopicsDeleted(vec![deleted]));
            }
            (16..17, _) => return self.feed(None, Input::Timer),
            (_, None) => join(group_id, self.next_token),
            (_, Some((member_id, generation_id))) if self.rng.percent(70) => {
                let assignments = vec![(member_id.clone(), self.next_token.to_be_bytes().to_vec())];
                GroupRequest::Sync(Sync {
                    group_id,
                    generation_id,
                    member_id,
                    group_instance_id: None,
                    protocol_type: None,
                    protocol_name: None,
                    assignments,
                })
            }
            (_, Some((member_id, _))) => {
                self.process.as_mut().expect("the process runs").members.remove(&group_id);
                let members = vec![MemberIdentity { member_id, group_instance_id: None }];
                GroupRequest::Leave(Leave { group_id, members })
            }
        };
        let token = self.next_token;
        self.next_token += 1;
        self.feed(Some(token), Input::Request { token, request });
    }

    fn commit(
        &mut self,
        group_id: String,
        topic: String,
        partition: i32,
        member: Option<(String, i32)>,
    ) -> GroupRequest {
        let offset = self.next_offset;
        self.next_offset += 1;
        let (member_id, generation_id) = member.unwrap_or_else(|| (String::new(), -1));
        let offset = OffsetToCommit {
            topic,
            topic_id: TopicId::ZERO,
            partition,
            offset,
            leader_epoch: -1,
            metadata: "m".repeat(self.rng.below(40) as usize),
        };
        GroupRequest::CommitOffsets(CommitOffsets {
            group_id,
            generation_id,
            member_id,
            group_instance_id: None,
            retention_time_ms: None,
            knows_group_id_not_found: true,
            offsets: vec![offset],
        })
    }

    /// OffsetFetch answers from committed state: what it shows is promised.
    fn look(&mut self, group_id: String) {
        let token = self.next_token;
        self.next_token += 1;
        self.process.as_mut().expect("the process runs").looks.insert(token, group_id.clone());
        let fetch = FetchOffsets { group_id, topics: None, require_stable: false };
        self.feed(Some(token), Input::Request { token, request: GroupRequest::FetchOffsets(fetch) });
    }

    fn shown(&mut self, group_id: &str, topic: &str, partition: i32, offset: i64) {
        let is_it = |record: &GroupRecord| match record {
            GroupRecord::Offset { key, value: Some(value) } => {
                (key.group_id.as_str(), key.topic.as_str(), key.partition, value.offset)
                    == (group_id, topic, partition, offset)
            }
            _ => false,
        };
        let places = self.attempted.iter().rev();
        let mut newest = places.flat_map(|(at, tried)| tried.iter().map(|record| (*at, record)));
        let placed = newest.find(|(_, record)| is_it(record)).map(|(at, record)| (at, record.clone()));
        match placed {
            Some(placed) => self.promise(placed),
            None => self.broken = Some(format!("{group_id} {topic}-{partition} shows {offset}")),
        }
    }

    fn promise(&mut self, placed: Placed) {
        let key = key_of(&placed.1);
        if self.promised.get(&key).is_none_or(|before| before.0 <= placed.0) {
            self.promised.insert(key, placed);
        }
    }

    /// The driver's step: append what is decided, release what is committed.
    fn feed(&mut self, token: Option<Token>, input: Input) {
        let now_ms = self.now_ms;
        let (attempted, mut placed, mut lost) = (&mut self.attempted, Vec::new(), false);
        let process = self.process.as_mut().expect("the process runs");
        let Process { partition, shard, end, .. } = &mut *process;
        let replies = shard.step(now_ms, input, |records| {
            if records.is_empty() {
                return Ok(*end);
            }
            let base = partition.view().log_end_offset().0;
            for (offset, record) in (base..).zip(records) {
                attempted.entry(offset).or_default().push(record.clone());
                placed.push((offset, record.clone()));
            }
            let batch = group_log::batch(now_ms, records).expect("records of a few bytes");
            match partition.append(&batch, LeaderAppend { require_min_isr: true, now_ms }) {
                Ok(appended) => {
                    *end = appended.end_offset;
                    Ok(*end)
                }
                Err(logspine_replica::AppendError::Log(logspine_storage::AppendError::Storage(_))) => {
                    Err(Refused::ThisAppend)
                }
                Err(_) => {
                    lost = true;
                    Err(Refused::Everything)
                }
            }
        });
        if let Some(token) = token {
            process.waiting.insert(token, placed);
        }
        self.deliver(replies);
        if lost {
            self.resign();
        }
        self.release();
    }

    fn release(&mut self) {
        let process = self.process.as_mut().expect("the process runs");
        let replies = process.shard.committed(process.partition.view().high_watermark());
        self.deliver(replies);
    }

    /// Whatever is answered with success is promised.
    fn deliver(&mut self, replies: Vec<Reply>) {
        for Reply { token, response } in replies {
            let process = self.process.as_mut().expect("the process runs");
            let placed = process.waiting.remove(&token).unwrap_or_default();
            let granted = match response {
                GroupResponse::Committed(codes) | GroupResponse::Left(codes) => {
                    codes.iter().all(|code| *code == ErrorCode::NONE)
                }
                GroupResponse::OffsetsDeleted(codes) => codes.iter().all(|code| *code == ErrorCode::NONE),
                GroupResponse::Error(code) => code == ErrorCode::NONE,
                GroupResponse::Synced(_) => true,
                GroupResponse::Joined(joined) => {
                    if let Some(group_id) = joined.member_id.split('-').next()
                        && joined.error == ErrorCode::NONE
                    {
                        let member = (joined.member_id.clone(), joined.generation_id);
                        process.members.insert(group_id.to_owned(), member);
                    }
                    false
                }
                GroupResponse::Fetched(topics) => {
                    let group_id = process.looks.remove(&token).unwrap_or_default();
                    for topic in topics {
                        for seen in topic.partitions {
                            self.shown(&group_id, &topic.topic, seen.partition, seen.offset);
                        }
                    }
                    false
                }
                _ => false,
            };
            if granted {
                self.answers += 1;
                placed.into_iter().for_each(|placed| self.promise(placed));
            }
        }
    }

    /// One step of a flush, or all that are left of it.
    fn flush(&mut self) {
        let steps = if self.rng.percent(50) { 3 } else { 1 };
        (0..steps).for_each(|_| self.flush_step());
    }

    fn flush_step(&mut self) {
        let process = self.process.as_mut().expect("the process runs");
        match process.flushing.take() {
            None => process.flushing = process.partition.begin_flush().map(Flushing::Begun),
            Some(Flushing::Begun(flush)) => process.flushing = Some(Flushing::Ran(flush.run())),
            Some(Flushing::Ran(flushed)) => match process.partition.end_flush(flushed) {
                Ok(_) => self.release(),
                Err(poisoned) => {
                    self.note(&format!("poisoned: {poisoned}"));
                    self.resign();
                }
            },
        }
    }

    /// The shard lets go of its log: nobody who waits may be told yes. A new one would load from what is committed.
    fn resign(&mut self) {
        self.note("resign");
        let process = self.process.as_mut().expect("the process runs");
        process.resigned = true;
        let replies = process.shard.lost();
        self.deliver(replies);
        self.feed_resigned();
    }

    /// A new shard over a log that is well takes the place of one that resigned, once all of the log is committed.
    fn serve_again(&mut self) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        let view = process.partition.view();
        if !process.resigned || process.flushing.is_some() || view.high_watermark() < view.log_end_offset() {
            return Ok(());
        }
        let Some(Process { dir, partition, .. }) = self.process.take() else { return Ok(()) };
        let found = read_log(&partition)?;
        self.serve(dir, partition, &found)
    }

    fn feed_resigned(&mut self) {
        let process = self.process.as_mut().expect("the process runs");
        let replies = process.shard.step(self.now_ms, Input::Resigned, |_| Err(Refused::Everything));
        self.deliver(replies);
    }

    fn checkpoint(&mut self) {
        self.note("checkpoint");
        let process = self.process.as_ref().expect("the process runs");
        let (recovery_point, view) = (process.partition.recovery_point(), process.partition.view());
        let one = |offset: Offset| [((TOPIC.to_owned(), 0), offset)].into();
        // A disk that refuses keeps the old files, which is safe.
        let _ = process.dir.write_recovery_points(|| one(recovery_point));
        let _ = process.dir.write_high_watermarks(&one(view.high_watermark()));
    }

    /// One run of the cleaner.
    fn compact(&mut self) {
        let now_ms = self.now_ms;
        let process = self.process.as_mut().expect("the process runs");
        let done = compact(process, now_ms);
        self.note(&format!("compacted: {done:?}"));
        self.compactions += u64::from(matches!(done, Ok(true)));
    }

    fn note(&mut self, what: &str) {
        self.trace.push(what.to_owned());
    }
}

fn join(group_id: String, number: Token) -> GroupRequest {
    GroupRequest::Join(Join {
        member_id: String::new(),
        group_instance_id: None,
        client_id: group_id.clone(),
        group_id,
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 10_000,
        session_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol { name: "range".to_owned(), metadata: Vec::new() }],
        new_member_uuid: number.to_string(),
        requires_known_member_id: false,
        supports_skipping_assignment: false,
    })
}

/// What `partition/cleaner.rs` does; false if there was nothing to do.
fn compact(process: &mut Process, now_ms: i64) -> Result<bool, CompactionError> {
    let cleaned = process.dir.cleaned()?.get(&(TOPIC.to_owned(), 0)).copied();
    let cleanable = process.partition.compaction_scope().cleanable(cleaned, now_ms);
    if !cleanable.is_due(0.0) {
        return Ok(false);
    }
    let mut compaction = process.partition.begin_compaction(cleanable, now_ms)?;
    compaction.map_keys(KeyMemory { bytes: 1 << 16, load_factor: 0.9 }, &mut Unpaced)?;
    while let Some(mut replacement) = compaction.clean_next(&mut Unpaced)? {
        loop {
            let step = process.partition.swap_step(&mut replacement, now_ms);
            let stepped = match step {
                Ok(None) => break,
                Ok(Some(sync)) => SyncDir::run(sync),
                Err(error) => Err(error),
            };
            if let Err(error) = stepped {
                process.partition.abandon_swap(replacement, &error);
                return Err(error);
            }
        }
    }
    let _ = process.dir.write_cleaned(TOPIC, 0, compaction.end_offset());
    for unlink in process.partition.take_unlinks(i64::MAX) {
        let _ = unlink.run(); // What a full disk keeps goes later.
    }
    Ok(true)
}

/// Every record of the log as it stands, with its offset: another reader than the one that loads.
fn read_log(partition: &Partition) -> Result<Vec<Placed>, String> {
    let view = partition.view();
    let (mut next, mut placed) = (view.log_start_offset(), Vec::new());
    while next < view.log_end_offset() {
        let budget = ReadBudget { bytes_max: 300, at_least_one_batch: true };
        let slice = view.read(next, Isolation::LogEnd, budget).map_err(|error| error.to_string())?;
        let bytes = slice.to_vec().map_err(|error| error.to_string())?;
        let found = next;
        for batch in iter_batches(&bytes) {
            let batch = batch.map_err(|error| error.to_string())?;
            next = batch.next_offset();
            for record in &batch.records().map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let read = GroupRecord::decode(record.key.unwrap_or_default(), record.value);
                let read = read.map_err(|error| error.to_string())?;
                placed.extend(read.map(|read| (record.offset.0, read)));
            }
        }
        if next <= found {
            return Err(format!("nothing at {found}"));
        }
    }
    Ok(placed)
}
