//! The metadata log of a broker that is its only voter: the shipped machine, Raft log, vote file and log.
//!
//! Topics created and deleted, settings changed, partitions added, blocks of producer ids drawn, the broker registered
//! at every start as the controller does it. An `advance` that fails is followed as `controller/driver.rs` does: after
//! a refused write the log is opened again in the same process, after anything else only a restart may try. The model
//! knows what was asked and what was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use logspine_cluster::metadata::{
    AlterOp, ConfigResource, IncrementalAlteration, Input, MetadataImage, MetadataRecord, NewPartitions,
    NewTopic, Outcome, RegisterBroker, Reply, Request, ResourceIncrementalAlteration, Settings, TopicRef,
};
use logspine_cluster::quorum::QuorumConfig;
use logspine_protocol::batch::iter_batches;
use logspine_protocol::types::{BrokerId, Offset, TopicId};
use logspine_replica::metadata_log::MetadataLog;
use logspine_replica::planted::Planted;
use logspine_replica::raft_log::OpenRaftLog;
use logspine_storage::sim_disk::{Rng, SimDisk};
use logspine_storage::{LogDir, StorageError};

use crate::weather;

const TOPIC: &str = "__cluster_metadata";
const DATA_DIR: &str = "/data";
const LOG_FILE: &str = "/data/__cluster_metadata-0/00000000000000000000.log";
const VOTE_FILE: &str = "/data/__cluster_metadata-0/quorum-state";
const NODE: BrokerId = BrokerId(0);
const NAMES: [&str; 4] = ["orders", "payments", "audit", "clicks"];
const SETTING: &str = "retention.ms";

type Checked = Result<(), String>;

/// What is known of one topic id.
#[derive(Debug, Clone, Default)]
struct Fate {
    name: String,
    created: bool,
    deletion_asked: bool,
    deleted: bool,
    /// Never fewer than answered, never more than asked.
    partitions: (i32, i32),
    /// Values of the setting that may stand: the last one answered, and what was asked since.
    values: Vec<Option<String>>,
}

/// What a request was about, until it is answered.
#[derive(Debug, Clone)]
enum Asked {
    Register,
    Create(TopicId),
    Delete(TopicId),
    Grow(TopicId, i32),
    Set(TopicId, Option<String>),
    ProducerIds,
}

/// The log while it can be written, or why not.
enum Life {
    Up(Box<MetadataLog>),
    Down { durable_end: Offset, may_reopen: bool },
}

pub struct World {
    rng: Rng,
    disk: SimDisk,
    planted: Planted,
    dir: Option<LogDir>,
    life: Life,
    now_ms: i64,
    next_token: u64,
    topics: BTreeMap<TopicId, Fate>,
    asked: BTreeMap<u64, Asked>,
    broker_epoch: i64,
    /// The first producer id that was never given away.
    free_producer_id: i64,
    /// The newest term in which anything was answered.
    term: u64,
    /// The file rotted, and no new one is written yet.
    vote_is_lost: bool,
    pub cuts: u64,
    pub answers: u64,
    pub reopened: u64,
    pub trace: Vec<String>,
}

impl World {
    pub fn new(seed: u64, planted: Planted) -> World {
        let mut world = World {
            rng: Rng::new(seed),
            disk: SimDisk::new(),
            planted,
            dir: None,
            life: Life::Down { durable_end: Offset(0), may_reopen: false },
            now_ms: 1_700_000_000_000,
            next_token: 1,
            topics: BTreeMap::new(),
            asked: BTreeMap::new(),
            broker_epoch: 0,
            free_producer_id: 0,
            term: 0,
            vote_is_lost: false,
            cuts: 0,
            answers: 0,
            reopened: 0,
            trace: Vec::new(),
        };
        world.start().expect("an empty disk opens");
        world
    }

    pub fn step(&mut self) -> Checked {
        self.now_ms += 1 + self.rng.below(50) as i64;
        let done = self.act();
        if self.disk.is_off() {
            return self.power_cut();
        }
        done
    }

    fn act(&mut self) -> Checked {
        match self.rng.below(100) {
            0..48 => return self.ask(),
            48..74 => return self.advance(),
            74..80 => self.checkpoint(),
            80..82 => self.disk.fail_syncs(u64::from(self.rng.percent(30))),
            82..88 => {
                let trouble = weather::brew(&mut self.rng, &self.disk);
                self.note(&trouble);
            }
            88..93 => weather::clear(&self.disk),
            93..95 => return self.end_process(),
            95..97 => return self.lose_the_vote(),
            _ => return self.power_cut(),
        }
        Ok(())
    }

    pub fn power_cut(&mut self) -> Checked {
        self.note("power cut");
        loop {
            self.stop();
            self.cuts += 1;
            self.disk.power_cut(self.rng.next_u64());
            self.check_vote_file()?;
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
        self.stop();
        weather::clear(&self.disk);
        let started = self.start();
        if self.disk.is_off() { self.power_cut() } else { started }
    }

    /// The file rots between two lives of the process.
    fn lose_the_vote(&mut self) -> Checked {
        self.note("the vote rots");
        self.stop();
        weather::clear(&self.disk);
        self.vote_is_lost = true;
        let _ = self.disk.damage(Path::new(VOTE_FILE), |bytes| bytes.truncate(3)); // It may not be there yet.
        let started = self.start();
        if self.disk.is_off() { self.power_cut() } else { started }
    }

    fn stop(&mut self) {
        self.life = Life::Down { durable_end: Offset(0), may_reopen: false };
        self.dir = None;
        self.asked.clear();
    }

    /// What `controller::start` does: open, replay, register.
    fn start(&mut self) -> Checked {
        let words = |error: StorageError| format!("a crash keeps the data directory from opening: {error}");
        let dir = LogDir::open(Arc::new(self.disk.clone()), Path::new(DATA_DIR)).map_err(words)?;
        let points = dir.recovery_points().map_err(words)?;
        let durable_end = LogDir::offset_of(&points, TOPIC, 0);
        self.dir = Some(dir);
        if self.rng.percent(25) {
            let image = self.open(durable_end)?.image().clone();
            if *self.open(durable_end)?.image() != image {
                return Err("a second recovery finds something else".to_owned());
            }
        }
        let log = self.open(durable_end)?;
        self.check_image(log.image())?;
        self.life = Life::Up(Box::new(log));
        let register = RegisterBroker {
            broker_id: NODE,
            incarnation_id: self.fresh_id(),
            endpoints: Vec::new(),
            rack: None,
            log_dirs: Vec::new(),
        };
        self.submit(Asked::Register, Request::RegisterBroker(register))?;
        self.advance()
    }

    /// Opens up to the newest committed record, as the controller's `opener` does.
    fn open(&mut self, recovery_point: Offset) -> Result<MetadataLog, String> {
        let open = OpenRaftLog {
            disk: Arc::new(self.disk.clone()),
            data_dir: DATA_DIR.into(),
            recovery_point,
            quorum: QuorumConfig::single(NODE.0),
            now_ms: self.now_ms,
        };
        let words = |error: logspine_replica::metadata_log::MetadataLogError| {
            format!("a crash keeps the metadata log from opening: {error}")
        };
        let mut log = MetadataLog::open_planted(open, Settings::default(), self.planted).map_err(words)?;
        log.advance().map_err(words)?;
        let term = log.raft().quorum().term();
        if term <= self.term {
            return Err(format!("term {term} begins, and something was answered in term {}", self.term));
        }
        self.term = term;
        self.vote_is_lost = false;
        let replayed = self.replayed()?;
        if *log.image() != replayed {
            return Err(format!("the image is {:?}, the log adds up to {replayed:?}", log.image()));
        }
        Ok(log)
    }

    /// The image that the bytes of the log file add up to, read by nothing of ours but the codecs.
    fn replayed(&self) -> Result<MetadataImage, String> {
        let mut image = MetadataImage::default();
        for batch in iter_batches(&self.file(LOG_FILE).unwrap_or_default()) {
            let batch = batch.map_err(|error| error.to_string())?;
            if batch.is_control() {
                continue;
            }
            for record in &batch.records().map_err(|error| error.to_string())? {
                let record = record.map_err(|error| error.to_string())?;
                let decoded = MetadataRecord::decode(record.value.unwrap_or_default());
                image.replay(&decoded.map_err(|error| error.to_string())?);
            }
        }
        Ok(image)
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.disk.dump().into_iter().find(|(found, _)| found == Path::new(path)).map(|(_, bytes)| bytes)
    }

    /// A vote never goes back: whatever a cut leaves of the file is no older than the last answer.
    fn check_vote_file(&self) -> Checked {
        if self.term == 0 || self.vote_is_lost {
            return Ok(());
        }
        let text = self.file(VOTE_FILE).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let Some(text) = text else {
            return Err(format!("no vote is left; term {} was voted in", self.term));
        };
        let number = text.split_once("\"leaderEpoch\":").and_then(|(_, rest)| {
            rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse::<u64>().ok())
        });
        match number {
            Some(term) if term >= self.term && text.contains("\"votedId\":0") => Ok(()),
            _ => Err(format!("term {} was voted in, and the file says {text:?}", self.term)),
        }
    }

    fn fresh_id(&mut self) -> TopicId {
        let (high, low) = (self.rng.next_u64().to_be_bytes(), self.rng.next_u64().to_be_bytes());
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high);
        id[8..].copy_from_slice(&low);
        TopicId(id)
    }

    fn ask(&mut self) -> Checked {
        let name = NAMES[self.rng.below(4) as usize];
        let Life::Up(log) = &self.life else { return self.reopen() };
        let there =
            log.image().topic_by_name(name).map(|topic| (topic.topic_id, topic.partitions.len() as i32));
        // Settings and more partitions are asked for by name: of one topic, not of the next that gets it.
        let changes_hands = |asked: &Asked| match asked {
            Asked::Create(topic_id) | Asked::Delete(topic_id) => self.topics[topic_id].name == name,
            _ => false,
        };
        let there = there.filter(|_| !self.asked.values().any(changes_hands));
        match (self.rng.below(10), there) {
            (0..4, _) | (_, None) => self.create(name),
            (4..6, Some((topic_id, _))) => {
                self.fate(topic_id).deletion_asked = true;
                let topics = vec![TopicRef::Id(topic_id)];
                self.submit(Asked::Delete(topic_id), Request::DeleteTopics { topics })
            }
            (6..7, Some((topic_id, count))) => {
                let count = count + 1;
                let most = &mut self.fate(topic_id).partitions.1;
                *most = count.max(*most);
                let topics = vec![NewPartitions { name: name.to_owned(), count, assignments: None }];
                let request = Request::CreatePartitions { topics, validate_only: false };
                self.submit(Asked::Grow(topic_id, count), request)
            }
            (7..9, Some((topic_id, _))) => self.set(name, topic_id),
            _ => {
                let broker_epoch = self.broker_epoch;
                self.submit(
                    Asked::ProducerIds,
                    Request::AllocateProducerIds { broker_id: NODE, broker_epoch },
                )
            }
        }
    }

    fn create(&mut self, name: &str) -> Checked {
        let topic_id = self.fresh_id();
        let num_partitions = 1 + self.rng.below(3) as i32;
        let fate = Fate {
            name: name.to_owned(),
            partitions: (num_partitions, num_partitions),
            values: vec![None],
            ..Fate::default()
        };
        self.topics.insert(topic_id, fate);
        let topic = NewTopic {
            name: name.to_owned(),
            topic_id,
            num_partitions,
            replication_factor: 1,
            ..NewTopic::default()
        };
        let request = Request::CreateTopics { topics: vec![topic], validate_only: false };
        self.submit(Asked::Create(topic_id), request)
    }

    fn set(&mut self, name: &str, topic_id: TopicId) -> Checked {
        let value = self.rng.percent(70).then(|| (1 + self.rng.below(1_000_000)).to_string());
        self.fate(topic_id).values.push(value.clone());
        let op = if value.is_some() { AlterOp::Set } else { AlterOp::Delete };
        let change = IncrementalAlteration { name: SETTING.to_owned(), op, value: value.clone() };
        let resource = ConfigResource::topic(name);
        let resources = vec![ResourceIncrementalAlteration { resource, configs: vec![change] }];
        let request = Request::IncrementalAlterConfigs { resources, validate_only: false };
        self.submit(Asked::Set(topic_id, value), request)
    }

    fn fate(&mut self, topic_id: TopicId) -> &mut Fate {
        self.topics.get_mut(&topic_id).expect("it was asked for")
    }

    fn submit(&mut self, asked: Asked, request: Request) -> Checked {
        let token = self.next_token;
        self.next_token += 1;
        self.note(&format!("ask {token}: {asked:?}"));
        self.asked.insert(token, asked);
        let now_ms = self.now_ms;
        let Life::Up(log) = &mut self.life else { return Ok(()) };
        let replies = log.submit(now_ms, Input { token, request });
        replies.into_iter().try_for_each(|reply| self.answered(reply))
    }

    /// One round of the driver.
    fn advance(&mut self) -> Checked {
        let Life::Up(log) = &mut self.life else { return self.reopen() };
        match log.advance() {
            Ok(replies) => {
                replies.into_iter().try_for_each(|reply| self.answered(reply))?;
                let Life::Up(log) = &self.life else { return Ok(()) };
                self.check_image(log.image())
            }
            Err(error) => {
                let (durable_end, may_reopen) = (log.raft().recovery_point(), error.is_refused_write());
                self.note(&format!("down: {error}"));
                self.life = Life::Down { durable_end, may_reopen };
                self.asked.clear();
                Ok(())
            }
        }
    }

    /// Tries to get a log that had to be given up, in the same process.
    fn reopen(&mut self) -> Checked {
        let Life::Down { durable_end, may_reopen: true } = self.life else { return Ok(()) };
        match self.open(durable_end) {
            Ok(log) => {
                self.note("up again");
                self.reopened += 1;
                self.check_image(log.image())?;
                self.life = Life::Up(Box::new(log));
                Ok(())
            }
            // The disk still refuses: that is no broken promise, and the next request tries again.
            Err(error) if error.starts_with("a crash keeps") => {
                self.note(&error);
                Ok(())
            }
            Err(broken) => Err(broken),
        }
    }

    /// What is answered with success is promised.
    fn answered(&mut self, reply: Reply) -> Checked {
        let Some(asked) = self.asked.remove(&reply.token) else {
            return Err(format!("nobody asked: {reply:?}"));
        };
        let Ok(outcome) = reply.result else { return Ok(()) };
        self.answers += 1;
        self.note(&format!("answer {}", reply.token));
        let granted = match &outcome {
            Outcome::TopicsCreated(results) => results.iter().all(Result::is_ok),
            Outcome::TopicsDeleted(results) => results.iter().all(Result::is_ok),
            Outcome::PartitionsCreated(results) | Outcome::ConfigsAltered(results) => {
                results.iter().all(Result::is_ok)
            }
            Outcome::BrokerRegistered { epoch } if *epoch <= self.broker_epoch => {
                return Err(format!("broker epoch {epoch} after {}", self.broker_epoch));
            }
            Outcome::BrokerRegistered { epoch } => {
                self.broker_epoch = *epoch;
                true
            }
            Outcome::ProducerIdsAllocated(block) if block.first.0 < self.free_producer_id => {
                return Err(format!("producer id {} is given away twice", block.first));
            }
            Outcome::ProducerIdsAllocated(block) => {
                self.free_producer_id = block.first.0 + i64::from(block.count);
                true
            }
        };
        match asked {
            Asked::Create(topic_id) if granted => self.fate(topic_id).created = true,
            Asked::Delete(topic_id) if granted => self.fate(topic_id).deleted = true,
            Asked::Grow(topic_id, count) if granted => {
                let least = &mut self.fate(topic_id).partitions.0;
                *least = count.max(*least);
            }
            Asked::Set(topic_id, value) if granted => {
                // Answers come in the order of the requests: what was asked before this one is over.
                let values = &mut self.fate(topic_id).values;
                let at = values.iter().position(|candidate| *candidate == value).unwrap_or(0);
                values.drain(..at);
            }
            _ => {}
        }
        Ok(())
    }

    /// What was answered is there, and nothing that nobody asked for.
    fn check_image(&self, image: &MetadataImage) -> Checked {
        let there: BTreeSet<TopicId> = image.topics().map(|topic| topic.topic_id).collect();
        for (topic_id, fate) in &self.topics {
            let is_there = there.contains(topic_id);
            if is_there && fate.deleted {
                return Err(format!("deleted, and there: {fate:?}"));
            }
            if !is_there && fate.created && !fate.deletion_asked {
                return Err(format!("created, and not there: {fate:?}"));
            }
        }
        for topic in image.topics() {
            let Some(fate) = self.topics.get(&topic.topic_id) else {
                return Err(format!("nobody asked for {topic:?}"));
            };
            let value = image.configs(&ConfigResource::topic(&topic.name)).get(SETTING).cloned();
            let count = topic.partitions.len() as i32;
            let (least, most) = fate.partitions;
            if *topic.name != *fate.name || !fate.values.contains(&value) || count < least || count > most {
                return Err(format!("{topic:?} with {value:?} is not {fate:?}"));
            }
        }
        if image.next_producer_id() < self.free_producer_id {
            return Err(format!("producer ids below {} are free again", self.free_producer_id));
        }
        Ok(())
    }

    fn checkpoint(&mut self) {
        let Life::Up(log) = &self.life else { return };
        let point = log.raft().recovery_point();
        let dir = self.dir.as_ref().expect("the process runs");
        // A disk that refuses keeps the old file, which is safe.
        let _ = dir.write_recovery_points(|| [((TOPIC.to_owned(), 0), point)].into());
        self.note("checkpoint");
    }

    fn note(&mut self, what: &str) {
        self.trace.push(what.to_owned());
    }
}
