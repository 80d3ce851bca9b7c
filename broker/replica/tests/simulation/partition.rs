//! One replica, its disk, its producer and its consumer, stepped by one random number generator.
//!
//! The power goes between two steps, or after any operation within one (`weather.rs`). The model knows what was promised: offsets acknowledged (the watermark passed them) and offsets shown to the
//! consumer, with the value each must keep. Values name the producer's sequence, so a duplicate is visible.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{
    BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId,
};
use logspine_replica::planted::Planted;
use logspine_replica::{
    Effects, Flush, Flushed, Isolation, LeaderAppend, LeaderWord, OpenPartition, Partition, ReadBudget,
};
use logspine_storage::planted::Planted as StoragePlanted;
use logspine_storage::sim_disk::{Rng, SimDisk};
use logspine_storage::{LogConfig, LogDir, StorageError};

use crate::weather;

const TOPIC: &str = "t";
const DATA_DIR: &str = "/data";
/// What an idempotent client may have in flight (max.in.flight.requests.per.connection).
const IN_FLIGHT_MAX: usize = 5;

/// A produced batch that has not been acknowledged.
#[derive(Debug, Clone)]
struct Sent {
    first_sequence: i32,
    records: i32,
    /// Where the leader put it, in the present life of the process.
    placed: Option<(Offset, Offset)>,
}

/// A flush between its steps.
enum Flushing {
    Begun(Flush),
    Ran(Flushed),
}

pub struct World {
    rng: Rng,
    disk: SimDisk,
    /// Locked while the process lives.
    dir: Option<LogDir>,
    planted: (Planted, StoragePlanted),
    partition: Option<Partition>,
    flushing: Option<Flushing>,
    now_ms: i64,
    leader_epoch: i32,
    next_sequence: i32,
    in_flight: VecDeque<Sent>,
    /// offset -> sequence, for everything acknowledged or seen.
    promised: BTreeMap<i64, i32>,
    /// How often the power went.
    pub cuts: u64,
    pub trace: Vec<String>,
}

type Checked = Result<(), String>;

impl World {
    pub fn new(seed: u64, replica: Planted, storage: StoragePlanted) -> World {
        let disk = SimDisk::new();
        let mut world = World {
            rng: Rng::new(seed),
            disk,
            dir: None,
            planted: (replica, storage),
            partition: None,
            flushing: None,
            now_ms: 1_700_000_000_000,
            leader_epoch: -1,
            next_sequence: 0,
            in_flight: VecDeque::new(),
            promised: BTreeMap::new(),
            cuts: 0,
            trace: Vec::new(),
        };
        world.start().expect("an empty disk opens");
        world
    }

    /// Does one random thing and checks the invariants that must hold at any time.
    pub fn step(&mut self) -> Checked {
        self.now_ms += 1 + self.rng.below(50) as i64;
        let done = self.act();
        // No partition: it could not be opened.
        if self.partition.is_some() {
            // What the watermark passed before the power went was acknowledged.
            self.acknowledge();
            self.check_positions()?;
        }
        if self.disk.is_off() {
            return self.power_cut();
        }
        done
    }

    fn act(&mut self) -> Checked {
        match self.rng.below(100) {
            0..38 => return self.produce(),
            38..60 => return self.flush_step(),
            60..77 => return self.consume(),
            77..84 => self.checkpoint(),
            84..86 => return self.delete_records(),
            86..88 => self.retain(),
            88..90 => self.disk.fail_syncs(u64::from(self.rng.percent(30))),
            90..94 => {
                let trouble = weather::brew(&mut self.rng, &self.disk);
                self.note(&trouble);
            }
            94..96 => weather::clear(&self.disk),
            96..98 => return self.end_process(),
            _ => return self.power_cut(),
        }
        Ok(())
    }

    /// The power goes; what was not synced is kept in the part that the generator says. It may go again while the log
    /// is recovered, and a second recovery finds the same as the first.
    pub fn power_cut(&mut self) -> Checked {
        self.note("power cut");
        self.stop();
        loop {
            self.cuts += 1;
            self.disk.power_cut(self.rng.next_u64());
            if self.rng.percent(20) {
                self.disk.cut_power_after(1 + self.rng.below(20));
            }
            let recovered = self.recover();
            if !self.disk.is_off() {
                recovered?;
                return self.retry();
            }
            self.stop();
        }
    }

    /// Starts, once or twice, and compares with what was promised.
    fn recover(&mut self) -> Checked {
        self.start()?;
        let found = self.contents()?;
        if self.rng.percent(25) {
            self.stop();
            self.start()?;
            if self.contents()? != found {
                return Err("a second recovery finds something else".to_owned());
            }
        }
        self.check_promises(&found)
    }

    /// `kill -9`: the page cache stays.
    fn end_process(&mut self) -> Checked {
        self.note("kill");
        self.stop();
        weather::clear(&self.disk);
        let recovered = self.recover();
        if self.disk.is_off() {
            return self.power_cut();
        }
        recovered?;
        self.retry()
    }

    fn stop(&mut self) {
        self.partition = None;
        self.flushing = None;
        self.dir = None;
        for sent in &mut self.in_flight {
            sent.placed = None;
        }
    }

    fn start(&mut self) -> Checked {
        let words = |error: StorageError| format!("a crash keeps the data directory from opening: {error}");
        let dir = LogDir::open(Arc::new(self.disk.clone()), Path::new(DATA_DIR)).map_err(words)?;
        let of = |offsets: Result<_, _>| offsets.map_err(words).map(|all| LogDir::offset_of(&all, TOPIC, 0));
        let config = LogConfig {
            segment_bytes: 600,
            index_interval_bytes: 100,
            retention_bytes: 4000,
            planted: self.planted.1,
            ..LogConfig::default()
        };
        let (mut partition, recovered) = Partition::open(OpenPartition {
            disk: Arc::new(self.disk.clone()),
            dir: dir.partition_path(TOPIC, 0),
            topic: TOPIC.to_owned(),
            topic_id: TopicId([3; 16]),
            partition: PartitionIndex(0),
            config,
            broker: BrokerId(0),
            recovery_point: of(dir.recovery_points())?,
            log_start: of(dir.log_starts())?,
            high_watermark: of(dir.high_watermarks())?,
            clean: false,
            now_ms: self.now_ms,
        })
        .map_err(|error| format!("a crash keeps the log from opening: {error}"))?;
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
        let _ = partition.become_leader(self.now_ms, word); // Nobody waits in this world.
        self.partition = Some(partition);
        self.dir = Some(dir);
        Ok(())
    }

    fn produce(&mut self) -> Checked {
        if self.in_flight.iter().any(|sent| sent.placed.is_none()) {
            return self.retry();
        }
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Ok(());
        }
        let records = 1 + self.rng.below(4) as i32;
        let sent = Sent { first_sequence: self.next_sequence, records, placed: None };
        self.next_sequence += records;
        self.in_flight.push_back(sent);
        self.send(self.in_flight.len() - 1)
    }

    /// Sends every unacknowledged batch again, in order, as an idempotent client does after a reconnect.
    fn retry(&mut self) -> Checked {
        (0..self.in_flight.len()).try_for_each(|at| self.send(at))?;
        self.acknowledge();
        Ok(())
    }

    fn send(&mut self, at: usize) -> Checked {
        let sent = self.in_flight[at].clone();
        let mut builder =
            BatchBuilder::new(Codec::None).producer(ProducerId(1), ProducerEpoch(0), sent.first_sequence);
        for record in 0..sent.records {
            let value = (sent.first_sequence + record).to_be_bytes();
            builder.append(self.now_ms, Some(b"k"), Some(&value), &[]);
        }
        let append = LeaderAppend { require_min_isr: true, now_ms: self.now_ms };
        let partition = self.partition.as_mut().expect("the process runs");
        match partition.append(&builder.build(), append) {
            Ok(appended) => {
                let (first, last) = (appended.info.first_offset, appended.info.last_offset);
                if last - first != i64::from(sent.records) - 1 {
                    return Err(format!("{sent:?} was put at {first}..={last}"));
                }
                self.in_flight[at].placed = Some((first, last));
                self.note(&format!(
                    "append {} at {first} dup {}",
                    sent.first_sequence, appended.info.duplicate
                ));
                self.after(&appended.effects);
            }
            // A poisoned log refuses; the client tries again after the restart.
            Err(error) => self.note(&format!("refused: {error}")),
        }
        Ok(())
    }

    fn flush_step(&mut self) -> Checked {
        let partition = self.partition.as_mut().expect("the process runs");
        match self.flushing.take() {
            None => self.flushing = partition.begin_flush().map(Flushing::Begun),
            Some(Flushing::Begun(flush)) => self.flushing = Some(Flushing::Ran(flush.run())),
            Some(Flushing::Ran(flushed)) => match partition.end_flush(flushed) {
                Ok(effects) => self.after(&effects),
                Err(poisoned) => self.note(&format!("poisoned: {poisoned}")),
            },
        }
        Ok(())
    }

    fn after(&mut self, effects: &Effects) {
        if let Some(high_watermark) = effects.high_watermark {
            self.note(&format!("watermark {high_watermark}"));
        }
    }

    /// Everything whose end the watermark has passed is acknowledged: from here on it is promised.
    fn acknowledge(&mut self) {
        let high_watermark = self.view(|view| view.high_watermark());
        while let Some((first, last)) = self.in_flight.front().and_then(|sent| sent.placed) {
            if last >= high_watermark {
                return;
            }
            let sent = self.in_flight.pop_front().expect("the loop saw a front");
            for record in 0..sent.records {
                self.promised.insert(first.0 + i64::from(record), sent.first_sequence + record);
            }
        }
    }

    /// Reads below the watermark; what a consumer has seen must never change.
    fn consume(&mut self) -> Checked {
        let (start, end) = self.view(|view| (view.log_start_offset(), view.high_watermark()));
        if start >= end {
            return Ok(());
        }
        let from = start + self.rng.below((end - start) as u64) as i64;
        let bytes_max = 1 + self.rng.below(700) as u32;
        for (offset, sequence) in self.read(from, Isolation::HighWatermark, bytes_max)? {
            if offset >= end.0 {
                return Err(format!("offset {offset} was shown, the watermark is {end}"));
            }
            let before = self.promised.insert(offset, sequence);
            if before.is_some_and(|before| before != sequence) {
                return Err(format!("offset {offset} held {before:?}, and now {sequence}"));
            }
        }
        Ok(())
    }

    fn read(&self, from: Offset, isolation: Isolation, bytes_max: u32) -> Result<Vec<(i64, i32)>, String> {
        let view = self.partition.as_ref().expect("the process runs").view();
        let budget = ReadBudget { bytes_max, at_least_one_batch: true };
        let slice = view.read(from, isolation, budget).map_err(|error| format!("read at {from}: {error}"))?;
        let bytes = slice.to_vec().map_err(|error| format!("read at {from}: {error}"))?;
        let mut seen = Vec::new();
        for batch in iter_batches(&bytes) {
            let batch = batch.map_err(|error| format!("read at {from}: {error}"))?;
            let records = batch.records().map_err(|error| format!("read at {from}: {error}"))?;
            for record in records.iter() {
                let record = record.map_err(|error| format!("read at {from}: {error}"))?;
                let value = record.value.and_then(|value| value.try_into().ok()).unwrap_or_default();
                seen.push((record.offset.0, i32::from_be_bytes(value)));
            }
        }
        if seen.is_empty() {
            return Err(format!("nothing at {from}"));
        }
        Ok(seen)
    }

    /// The shell's housekeeping: recovery point, watermark and log start.
    fn checkpoint(&mut self) {
        self.note("checkpoint");
        let partition = self.partition.as_ref().expect("the process runs");
        let (recovery_point, view) = (partition.recovery_point(), partition.view());
        let one = |offset: Offset| [((TOPIC.to_owned(), 0), offset)].into();
        // A disk that fails a sync fails here as well: the old files stay, which is safe.
        let dir = self.dir.as_ref().expect("the process runs");
        let _ = dir.write_recovery_points(|| one(recovery_point));
        let _ = dir.write_high_watermarks(&one(view.high_watermark()));
        let _ = dir.write_log_starts(&one(view.log_start_offset()));
    }

    fn delete_records(&mut self) -> Checked {
        let (start, end) = self.view(|view| (view.log_start_offset(), view.high_watermark()));
        let before = start + self.rng.below((end - start) as u64 + 1) as i64;
        self.note(&format!("delete records before {before}"));
        let partition = self.partition.as_mut().expect("the process runs");
        let _ = partition.delete_records(before); // A poisoned log refuses; nothing was promised.
        self.forget_below_start();
        Ok(())
    }

    fn retain(&mut self) {
        let now_ms = self.now_ms;
        let partition = self.partition.as_mut().expect("the process runs");
        let _ = partition.enforce_retention(now_ms, now_ms); // A poisoned log refuses; nothing was promised.
        for unlink in partition.take_unlinks(i64::MAX) {
            let _ = unlink.run(); // What a full disk keeps goes later.
        }
        self.forget_below_start();
    }

    /// What retention or a user deleted is not promised any more.
    fn forget_below_start(&mut self) {
        let start = self.view(|view| view.log_start_offset());
        self.promised = self.promised.split_off(&start.0);
    }

    fn check_positions(&self) -> Checked {
        let view = self.partition.as_ref().expect("the process runs").view();
        let (start, watermark) = (view.log_start_offset(), view.high_watermark());
        let (durable, end) = (view.durable_end(), view.log_end_offset());
        if start <= watermark && watermark <= durable && durable <= end {
            return Ok(());
        }
        Err(format!("positions out of order: {start} {watermark} {durable} {end}"))
    }

    /// Every record, by offset; no sequence stands twice.
    fn contents(&self) -> Result<BTreeMap<i64, i32>, String> {
        let (start, end) = self.view(|view| (view.log_start_offset(), view.log_end_offset()));
        let mut found = BTreeMap::new();
        let mut sequences = BTreeMap::new();
        let mut next = start;
        while next < end {
            for (offset, sequence) in self.read(next, Isolation::LogEnd, 400)? {
                if let Some(other) = sequences.insert(sequence, offset)
                    && other != offset
                {
                    return Err(format!("sequence {sequence} stands at {other} and {offset}"));
                }
                found.insert(offset, sequence);
                next = Offset(offset + 1);
            }
        }
        Ok(found)
    }

    /// After a start: everything promised is there as it was.
    fn check_promises(&self, found: &BTreeMap<i64, i32>) -> Checked {
        let (start, end) = self.view(|view| (view.log_start_offset(), view.log_end_offset()));
        for (offset, sequence) in self.promised.range(start.0..) {
            if found.get(offset) != Some(sequence) {
                let found = found.get(offset);
                return Err(format!(
                    "offset {offset} was promised as {sequence} and is {found:?}, log {start}..{end}"
                ));
            }
        }
        Ok(())
    }

    fn view<T>(&self, look: impl FnOnce(&logspine_replica::PartitionView) -> T) -> T {
        look(&self.partition.as_ref().expect("the process runs").view())
    }

    fn note(&mut self, what: &str) {
        self.trace.push(what.to_owned());
    }
}
