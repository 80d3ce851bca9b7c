//! Which replicas live here: by topic id and index, and by name.
//!
//! Driven by the controller's publisher, which opens, configures and deletes what the committed metadata says;
//! read by every request, under a short shared lock. A partition whose log cannot be opened is remembered as
//! offline with its reason, and harms no other: requests for it are answered with a storage error.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use logspine_cluster::metadata::configs::TopicConfig;
use logspine_protocol::types::{BrokerId, Offset, PartitionIndex, TopicId};
use logspine_replica::{LeaderWord, OpenPartition, Partition, PartitionView};
use logspine_storage::checkpoint::{Offsets, Positions};
use logspine_storage::{LogDir, Misplaced, StorageError, Unlink};
use parking_lot::{Mutex, RwLock};
use tracing::{error, info, warn};

use super::committer::Committer;
use super::disk_health::DiskHealth;
use super::handle::{PartitionError, PartitionHandle, Rounds};
use super::log_config::log_config;
use super::moved::Moved;
use super::opening::Opening;
use crate::clock;

/// What the publisher knows about a replica that shall live here.
#[derive(Debug, Clone)]
pub struct PartitionSpec {
    pub topic: Arc<str>,
    pub topic_id: TopicId,
    pub index: i32,
    /// Shared by the partitions of the topic.
    pub config: Arc<TopicConfig>,
    pub leader: LeaderWord,
}

/// What is known about a partition that somebody asks for.
pub enum Lookup {
    Here(Arc<PartitionHandle>),
    /// Its log is to be opened, and is the next one now that somebody asks.
    Opening,
    /// It should be here and its log cannot be opened.
    Offline,
    Unknown,
}

#[derive(Default)]
struct Maps {
    by_id: HashMap<(TopicId, i32), Arc<PartitionHandle>>,
    topic_ids: HashMap<Arc<str>, TopicId>,
    offline: HashMap<(TopicId, i32), String>,
    /// Not to be opened: whose bytes lie in their places is not known.
    withheld: HashMap<(TopicId, i32), Misplaced>,
}

/// What the checkpoint files said when the process started.
#[derive(Debug, Default)]
pub struct Checkpoints {
    pub recovery_points: Offsets,
    pub log_starts: Offsets,
    pub high_watermarks: Offsets,
    /// The process before stopped cleanly.
    pub is_clean: bool,
}

impl Checkpoints {
    /// Recovery point, log start and high watermark of a log.
    fn of(&self, topic: &str, index: i32) -> [Offset; 3] {
        [&self.recovery_points, &self.log_starts, &self.high_watermarks]
            .map(|offsets| LogDir::offset_of(offsets, topic, index))
    }

    /// The log is open and speaks for itself. A later one of the same name is another log.
    fn forget(&mut self, topic: &str, index: i32) {
        let key = (topic.to_owned(), index);
        for offsets in [&mut self.recovery_points, &mut self.log_starts, &mut self.high_watermarks] {
            offsets.remove(&key);
        }
    }
}

pub struct Registry {
    maps: RwLock<Maps>,
    log_dir: Arc<LogDir>,
    committer: Committer,
    checkpoints: Mutex<Checkpoints>,
    opening: Opening,
    moved: Arc<Moved>,
    disk: Arc<DiskHealth>,
    broker: BrokerId,
    producer_id_expiration_ms: i64,
    /// Directories of deleted partitions whose bytes are still there.
    doomed: Mutex<Vec<Unlink>>,
    /// Recovery points of logs in this directory that are no replicas of topics: the metadata log.
    other_recovery_points: Mutex<Offsets>,
}

impl Registry {
    pub fn new(
        log_dir: Arc<LogDir>,
        committer: Committer,
        checkpoints: Checkpoints,
        broker: BrokerId,
        producer_id_expiration_ms: i64,
    ) -> Registry {
        Registry {
            maps: RwLock::default(),
            disk: Arc::new(DiskHealth::open(Arc::clone(&log_dir), 0)),
            log_dir,
            committer,
            checkpoints: Mutex::new(checkpoints),
            opening: Opening::default(),
            moved: Arc::default(),
            broker,
            producer_id_expiration_ms,
            doomed: Mutex::default(),
            other_recovery_points: Mutex::default(),
        }
    }

    /// Takes what is known about the disk, its reserve included.
    pub fn with_disk(self, disk: Arc<DiskHealth>) -> Registry {
        Registry { disk, ..self }
    }

    pub fn disk(&self) -> &Arc<DiskHealth> {
        &self.disk
    }

    pub fn log_dir(&self) -> &Arc<LogDir> {
        &self.log_dir
    }

    pub fn get(&self, topic_id: TopicId, index: i32) -> Option<Arc<PartitionHandle>> {
        self.maps.read().by_id.get(&(topic_id, index)).cloned()
    }

    pub fn by_name(&self, topic: &str, index: i32) -> Option<Arc<PartitionHandle>> {
        let maps = self.maps.read();
        let topic_id = *maps.topic_ids.get(topic)?;
        maps.by_id.get(&(topic_id, index)).cloned()
    }

    /// The id of a topic that has a replica here, open or offline.
    pub fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.maps.read().topic_ids.get(topic).copied()
    }

    pub fn lookup(&self, topic_id: TopicId, index: i32) -> Lookup {
        let maps = self.maps.read();
        match maps.by_id.get(&(topic_id, index)) {
            Some(handle) => Lookup::Here(Arc::clone(handle)),
            None if maps.offline.contains_key(&(topic_id, index)) => Lookup::Offline,
            // Under the lock of the maps, which an opening holds when it ends: there is no moment between the two.
            None if self.opening.want((topic_id, index)) => Lookup::Opening,
            None => Lookup::Unknown,
        }
    }

    /// The same by name.
    pub fn lookup_name(&self, topic: &str, index: i32) -> Lookup {
        self.topic_id(topic).map_or(Lookup::Unknown, |topic_id| self.lookup(topic_id, index))
    }

    /// Whether its log cannot be opened; to ask this is no reason to open it.
    pub fn is_offline(&self, topic_id: TopicId, index: i32) -> bool {
        self.maps.read().offline.contains_key(&(topic_id, index))
    }

    /// Whether its log is still to be opened.
    pub fn is_opening(&self, topic_id: TopicId, index: i32) -> bool {
        self.opening.holds((topic_id, index))
    }

    /// Somebody is about to use this topic: its logs come before others.
    pub fn want_topic(&self, topic_id: TopicId, indexes: impl Iterator<Item = i32>) {
        if !self.opening.is_empty() {
            for index in indexes {
                self.opening.want((topic_id, index));
            }
        }
    }

    /// Replicas that `open_next` is to open: from now on they are known, and asking for one makes it the next.
    pub fn expect(&self, specs: Vec<PartitionSpec>) {
        let mut maps = self.maps.write();
        for spec in &specs {
            maps.topic_ids.entry(Arc::clone(&spec.topic)).or_insert(spec.topic_id);
        }
        self.opening.expect(specs);
    }

    /// How many replicas of a start are not open yet.
    pub fn opening(&self) -> usize {
        self.opening.len()
    }

    /// Opens one of the replicas that are expected; false if none is left.
    pub(super) fn open_next(&self, now_ms: i64) -> bool {
        let Some(spec) = self.opening.next() else { return false };
        // A failure is logged and remembered as offline.
        let _ = self.open_claimed(now_ms, spec);
        true
    }

    /// Whoever changes a topic or deletes it finds all of its replicas open, or offline.
    fn open_all_of(&self, topic_id: TopicId) {
        while let Some(spec) = self.opening.next_of(topic_id) {
            let _ = self.open_claimed(clock::steady_ms(), spec);
        }
        self.opening.wait_for(topic_id);
    }

    /// Every open replica, in no order.
    pub fn all(&self) -> Vec<Arc<PartitionHandle>> {
        self.maps.read().by_id.values().cloned().collect()
    }

    /// Every open replica of a topic with `cleanup.policy=compact`, in no order.
    pub(super) fn compacted(&self) -> Vec<Arc<PartitionHandle>> {
        let maps = self.maps.read();
        let is_compacted = |handle: &&Arc<PartitionHandle>| handle.config().cleanup_policy.compact;
        maps.by_id.values().filter(is_compacted).cloned().collect()
    }

    /// Topic ids and indexes of replicas whose log cannot be opened, with the reason.
    pub fn offline(&self) -> Vec<((TopicId, i32), String)> {
        self.maps.read().offline.iter().map(|(key, reason)| (*key, reason.clone())).collect()
    }

    /// These partitions are offline until a restart finds their directories in order.
    pub fn withhold(&self, partitions: HashMap<(TopicId, i32), Misplaced>) {
        self.maps.write().withheld = partitions;
    }

    /// Opens (and recovers) a replica and makes it lead. One that is open already takes the settings and the
    /// leader's word of `spec`. Blocks as long as recovery takes.
    pub fn open(&self, now_ms: i64, spec: PartitionSpec) -> Result<Arc<PartitionHandle>, PartitionError> {
        self.opening.claim((spec.topic_id, spec.index));
        self.open_claimed(now_ms, spec)
    }

    fn open_claimed(&self, now_ms: i64, spec: PartitionSpec) -> Result<Arc<PartitionHandle>, PartitionError> {
        let key = (spec.topic_id, spec.index);
        if let Some(handle) = self.get(spec.topic_id, spec.index) {
            self.opening.end(key);
            let log = log_config(&spec.config, self.producer_id_expiration_ms);
            handle.configure(spec.config, log)?;
            handle.become_leader(now_ms, spec.leader)?;
            return Ok(handle);
        }
        let topic = Arc::clone(&spec.topic);
        let withheld = self.maps.read().withheld.get(&key).cloned();
        let opened = match withheld {
            Some(misplaced) => Err(StorageError::from(misplaced).into()),
            None => self.open_log(now_ms, spec),
        };
        let mut maps = self.maps.write();
        self.opening.end(key);
        maps.topic_ids.insert(Arc::clone(&topic), key.0);
        match opened {
            Ok(handle) => {
                maps.offline.remove(&key);
                maps.by_id.insert(key, Arc::clone(&handle));
                drop(maps);
                self.checkpoints.lock().forget(&topic, key.1);
                Ok(handle)
            }
            Err(error) => {
                error!(%topic, partition = key.1, "the partition is offline: {error}");
                maps.offline.insert(key, error.to_string());
                Err(error)
            }
        }
    }

    fn open_log(&self, now_ms: i64, spec: PartitionSpec) -> Result<Arc<PartitionHandle>, PartitionError> {
        let PartitionSpec { topic, topic_id, index, config, leader } = spec;
        let ([recovery_point, log_start, high_watermark], clean) = {
            let checkpoints = self.checkpoints.lock();
            (checkpoints.of(&topic, index), checkpoints.is_clean)
        };
        let (partition, recovered) = Partition::open(OpenPartition {
            disk: Arc::clone(self.log_dir.disk()),
            dir: self.log_dir.partition_path(&topic, index),
            topic: topic.to_string(),
            topic_id,
            partition: PartitionIndex(index),
            config: log_config(&config, self.producer_id_expiration_ms),
            broker: self.broker,
            recovery_point,
            log_start,
            high_watermark,
            clean,
            now_ms,
        })?;
        if let Some(damage) = &recovered.damage {
            error!(%topic, partition = index, "served up to the damage only: {damage}");
        }
        if recovered.truncated_bytes > 0 {
            warn!(
                %topic,
                partition = index,
                "recovery moved {} bytes behind the last whole batch aside",
                recovered.truncated_bytes
            );
        }
        let rounds = Rounds {
            committer: self.committer.clone(),
            moved: Arc::clone(&self.moved),
            disk: Arc::clone(&self.disk),
        };
        let handle = Arc::new(PartitionHandle::new((topic, topic_id, index), partition, config, rounds));
        handle.note_deleted();
        self.moved.note_dirt();
        handle.become_leader(now_ms, leader)?;
        // What recovery found good is synced behind those that somebody waits for.
        handle.flush_behind(u64::MAX);
        Ok(handle)
    }

    /// Takes changed settings for all open replicas of a topic.
    pub fn configure_topic(&self, topic_id: TopicId, config: &Arc<TopicConfig>) {
        self.open_all_of(topic_id);
        for handle in self.of_topic(topic_id) {
            let log = log_config(config, self.producer_id_expiration_ms);
            if let Err(error) = handle.configure(Arc::clone(config), log) {
                warn!(topic = %handle.topic, partition = handle.index, "settings not taken: {error}");
            }
        }
        self.moved.note_dirt();
    }

    fn of_topic(&self, topic_id: TopicId) -> Vec<Arc<PartitionHandle>> {
        let maps = self.maps.read();
        let of_topic = maps.by_id.iter().filter(|((id, _), _)| *id == topic_id);
        of_topic.map(|(_, handle)| Arc::clone(handle)).collect()
    }

    /// The metadata deleted the topic: its replicas vanish at once, their bytes later.
    pub fn delete_topic(&self, topic_id: TopicId) {
        self.open_all_of(topic_id);
        let handles = self.of_topic(topic_id);
        {
            let mut maps = self.maps.write();
            maps.by_id.retain(|(id, _), _| *id != topic_id);
            maps.offline.retain(|(id, _), _| *id != topic_id);
            maps.withheld.retain(|(id, _), _| *id != topic_id);
            maps.topic_ids.retain(|_, id| *id != topic_id);
        }
        for handle in handles {
            let Some(partition) = handle.take_for_deletion() else { continue };
            match partition.delete() {
                Ok(deleted) => {
                    info!(topic = %handle.topic, partition = handle.index, "deleted");
                    self.doomed.lock().push(deleted.unlink);
                }
                Err(error) => error!(topic = %handle.topic, partition = handle.index, "not deleted: {error}"),
            }
        }
    }

    /// Whatever may be freed now: segments that left their logs, directories of deleted partitions.
    pub(super) fn take_unlinks(&self, now_ms: i64) -> Vec<Unlink> {
        let mut unlinks = std::mem::take(&mut *self.doomed.lock());
        if self.moved.take_deleted() {
            for partition in self.all() {
                unlinks.extend(partition.take_unlinks(now_ms));
            }
        }
        unlinks
    }

    /// A directory that a deletion of an earlier process renamed.
    pub fn free_later(&self, dir: PathBuf) {
        self.doomed.lock().push(Unlink::dir(self.log_dir.disk(), dir));
    }

    /// What happened since the checkpoint files were written.
    pub(super) fn moved(&self) -> &Moved {
        &self.moved
    }

    /// Closes every replica; the contents of the checkpoint files if all of them closed cleanly. Those that were not
    /// open yet are as the process before left them.
    pub fn close_all(&self) -> Option<Positions> {
        let mut positions = self.positions();
        let handles: Vec<_> = self.maps.write().by_id.drain().map(|(_, handle)| handle).collect();
        let mut all_clean = self.opening() == 0 || self.checkpoints.lock().is_clean;
        for (handle, closed) in close_side_by_side(handles) {
            match closed {
                Ok(Some(end)) => {
                    let key = (handle.topic.to_string(), handle.index);
                    positions.recovery_points.get_or_insert_default().insert(key, end);
                }
                Ok(None) => {}
                Err(error) => {
                    all_clean = false;
                    error!(topic = %handle.topic, partition = handle.index, "not closed cleanly: {error}");
                }
            }
        }
        all_clean.then_some(positions)
    }

    /// One position of every replica, keyed as the checkpoint files are. Takes no partition's lock.
    fn offsets(
        &self,
        of_closed: impl Fn(&Checkpoints) -> &Offsets,
        of_open: impl Fn(&PartitionView) -> Offset,
    ) -> Offsets {
        // A log that opens meanwhile is in either of them.
        let mut offsets = of_closed(&self.checkpoints.lock()).clone();
        let handles = self.all();
        let open = handles.iter();
        offsets.extend(open.map(|handle| ((handle.topic.to_string(), handle.index), of_open(handle.view()))));
        offsets
    }

    /// What the recovery checkpoint said of a log when the process started; 0 if nothing.
    pub fn recovery_point_at_start(&self, topic: &str, index: i32) -> Offset {
        LogDir::offset_of(&self.checkpoints.lock().recovery_points, topic, index)
    }

    /// The owner of a log that is no replica (the metadata log) says what is durable. It goes into the file with
    /// the next checkpoint, beside the replicas' own.
    pub fn note_recovery_point(&self, topic: &str, index: i32, offset: Offset) {
        let known = self.other_recovery_points.lock().insert((topic.to_owned(), index), offset);
        if known != Some(offset) {
            self.moved.note(0);
        }
    }

    /// Everything that the checkpoint files shall say now. Logs that are not open keep what was said of them.
    fn positions(&self) -> Positions {
        let mut recovery_points = self.offsets(|said| &said.recovery_points, PartitionView::durable_end);
        recovery_points.extend(self.other_recovery_points.lock().clone());
        Positions {
            log_starts: Some(self.log_starts()),
            recovery_points: Some(recovery_points),
            high_watermarks: Some(self.high_watermarks()),
        }
    }

    fn log_starts(&self) -> Offsets {
        self.offsets(|said| &said.log_starts, PartitionView::log_start_offset)
    }

    fn high_watermarks(&self) -> Offsets {
        self.offsets(|said| &said.high_watermarks, PartitionView::high_watermark)
    }

    /// Brings all checkpoint files up to date.
    pub(super) fn write_positions(&self) -> Result<(), StorageError> {
        self.log_dir.write_positions(|| self.positions())
    }

    pub(super) fn write_high_watermarks(&self) -> Result<(), StorageError> {
        self.log_dir.write_positions(|| Positions {
            high_watermarks: Some(self.high_watermarks()),
            ..Positions::default()
        })
    }

    pub fn write_log_starts(&self) -> Result<(), StorageError> {
        self.log_dir
            .write_positions(|| Positions { log_starts: Some(self.log_starts()), ..Positions::default() })
    }
}

/// How many partitions are closed at the same time: each waits for its own syncs, and a disk takes several.
const CLOSE_THREADS: usize = 8;

type Closed = (Arc<PartitionHandle>, Result<Option<Offset>, StorageError>);

/// Closes all of them; a grace period is short and syncs are slow one after the other.
fn close_side_by_side(handles: Vec<Arc<PartitionHandle>>) -> Vec<Closed> {
    let open = Mutex::new(handles);
    let close = || {
        let mut closed = Vec::new();
        while let Some(handle) = { open.lock().pop() } {
            let result = handle.close();
            closed.push((handle, result));
        }
        closed
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLOSE_THREADS).map(|_| scope.spawn(close)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("closing returns its errors")).collect()
    })
}
