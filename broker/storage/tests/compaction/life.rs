//! A random log and the model of what compaction may leave of it: every codec, tombstones, records without key,
//! idempotent producers, transactions that commit, abort or stay open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, ControlRecord, ControlRecordType, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{Offset, ProducerEpoch, ProducerId};
use logspine_storage::compaction::CompactionStats;
use logspine_storage::sim_disk::Rng;
use logspine_storage::{CompactionError, Disk, KeyMemory, Log, LogConfig, LogReader, OpenLog, Unpaced};

use crate::support::{EPOCH, NOW_MS, args_in};

pub const DELETE_RETENTION_MS: i64 = 10_000;
pub const ROOMY: KeyMemory = KeyMemory { bytes: 1 << 20, load_factor: 0.9 };

/// One record, as written and as read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// A log that was filled, and what went into it.
pub struct Life {
    pub log: Log,
    pub records: Vec<Record>,
    /// Offsets of records in transactions that were aborted.
    aborted: BTreeSet<i64>,
    /// Open transactions by producer, with the offsets of their records.
    open: BTreeMap<i64, Vec<i64>>,
    sequences: BTreeMap<i64, i32>,
    rng: Rng,
}

pub fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 1_800,
        index_interval_bytes: 200,
        delete_retention_ms: DELETE_RETENTION_MS,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

pub fn open_args(disk: &Arc<dyn Disk>, data_dir: &Path) -> OpenLog {
    args_in(disk, data_dir, &config())
}

impl Life {
    /// Fills a new log with `batches` batches.
    pub fn live(seed: u64, disk: &Arc<dyn Disk>, data_dir: &Path, batches: i64) -> Life {
        Life::with(seed, open_args(disk, data_dir), batches)
    }

    /// The same with other configs.
    pub fn with(seed: u64, args: OpenLog, batches: i64) -> Life {
        let data_dir = args.dir.parent().unwrap();
        logspine_storage::disk::create_dir_all(&*args.disk, data_dir).unwrap();
        let log = Log::open(args).unwrap().0;
        let mut life = Life {
            log,
            records: Vec::new(),
            aborted: BTreeSet::new(),
            open: BTreeMap::new(),
            sequences: BTreeMap::new(),
            rng: Rng::new(seed),
        };
        for n in 0..batches {
            life.batch(NOW_MS + n * 10);
        }
        life.settle();
        life
    }

    /// More of the same.
    pub fn go_on(&mut self, batches: i64) {
        let from = self.records.last().map_or(NOW_MS, |last| last.timestamp);
        (1..=batches).for_each(|n| self.batch(from + n * 10));
        self.settle();
    }

    /// Everything durable and below the high watermark.
    fn settle(&mut self) {
        assert!(crate::support::flush(&mut self.log));
        self.log.high_watermark_moved(self.log.log_end());
    }

    pub fn last_stable(&self) -> Offset {
        self.log.first_unstable_offset().unwrap_or(self.log.log_end())
    }

    fn batch(&mut self, now_ms: i64) {
        // No transaction stays open for long, or nothing behind it could be cleaned.
        let oldest = self.records.len().saturating_sub(40);
        let from = self.records.get(oldest).map_or(0, |record| record.offset);
        let long = self.open.iter().find(|(_, offsets)| offsets.first().is_some_and(|first| *first < from));
        if let Some(id) = long.map(|(id, _)| *id) {
            return self.end(id, now_ms);
        }
        let producer = match self.rng.below(10) {
            0..4 => None,
            4..6 => Some(1 + self.rng.below(2) as i64),
            _ => Some(10 + self.rng.below(3) as i64),
        };
        if let Some(id) = producer.filter(|id| self.open.contains_key(id) && self.rng.percent(40)) {
            return self.end(id, now_ms);
        }
        let codec = Codec::ALL[self.rng.below(5) as usize];
        let mut builder = BatchBuilder::new(codec);
        let count = 1 + self.rng.below(5) as i32;
        if let Some(id) = producer {
            let sequence = self.sequences.entry(id).or_default();
            builder = builder.producer(ProducerId(id), ProducerEpoch(0), *sequence);
            *sequence += count;
            if id >= 10 {
                builder = builder.transactional();
            }
        }
        let base = self.log.log_end().0;
        for n in 0..count {
            let record = self.record(base + i64::from(n), now_ms);
            let headers: &[(&str, Option<&[u8]>)] = &[("n", Some(b"1")), ("null", None)];
            let headers = &headers[..self.rng.below(3) as usize];
            builder.append(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
            if let Some(id) = producer.filter(|id| *id >= 10) {
                self.open.entry(id).or_default().push(record.offset);
            }
            self.records.push(record);
        }
        let info = self.log.append_as_leader(&builder.build(), EPOCH, now_ms).unwrap();
        assert_eq!(info.first_offset.0, base);
    }

    fn record(&mut self, offset: i64, now_ms: i64) -> Record {
        let key = (!self.rng.percent(5)).then(|| format!("key-{}", self.rng.below(14)).into_bytes());
        let value = (!self.rng.percent(20)).then(|| {
            let len = self.rng.below(120) as usize;
            format!("value-{offset}-{}", "x".repeat(len)).into_bytes()
        });
        Record { offset, timestamp: now_ms + self.rng.below(5) as i64, key, value }
    }

    fn end(&mut self, id: i64, now_ms: i64) {
        let aborts = self.rng.percent(50);
        let kind = if aborts { ControlRecordType::Abort } else { ControlRecordType::Commit };
        let (key, value) = ControlRecord { kind, coordinator_epoch: 1 }.encode();
        let mut marker = BatchBuilder::new(Codec::None)
            .producer(ProducerId(id), ProducerEpoch(0), -1)
            .transactional()
            .control();
        marker.append(now_ms, Some(&key), Some(&value), &[]);
        self.log.append_as_leader(&marker.build(), EPOCH, now_ms).unwrap();
        let offsets = self.open.remove(&id).unwrap_or_default();
        if aborts {
            self.aborted.extend(offsets);
        }
    }

    /// What compaction up to `end` leaves, of one key the newest record. Tombstones are among it.
    pub fn expected(&self, end: Offset) -> Vec<Record> {
        let counts = |record: &&Record| !self.aborted.contains(&record.offset);
        let mut newest: BTreeMap<&[u8], i64> = BTreeMap::new();
        for record in self.records.iter().filter(counts).filter(|record| record.offset < end.0) {
            if let Some(key) = &record.key {
                newest.insert(key, record.offset);
            }
        }
        let stays = |record: &&Record| {
            record.offset >= end.0
                || record.key.as_ref().is_some_and(|key| newest.get(&key[..]) == Some(&record.offset))
        };
        // What lies behind is not looked at: aborted records are still there.
        let counts = |record: &&Record| record.offset >= end.0 || counts(record);
        self.records.iter().filter(counts).filter(stays).cloned().collect()
    }
}

/// A whole run over a log, as the broker's cleaner drives it; `between` is called before every step that needs the
/// lock and after the last one. The checkpoint moves.
pub fn compact(
    log: &mut Log,
    checkpoint: &mut Option<Offset>,
    last_stable: Offset,
    memory: KeyMemory,
    now_ms: i64,
    mut between: impl FnMut(&mut Log),
) -> Result<CompactionStats, CompactionError> {
    let cleanable = log.compaction_scope(last_stable).cleanable(*checkpoint, now_ms);
    let mut compaction = log.begin_compaction(cleanable, now_ms)?;
    compaction.map_keys(memory, &mut Unpaced)?;
    while let Some(mut replacement) = compaction.clean_next(&mut Unpaced)? {
        between(log);
        loop {
            let stepped = match log.swap_step(&mut replacement, now_ms) {
                Ok(None) => break,
                Ok(Some(sync)) => sync.run(),
                Err(error) => Err(error),
            };
            if let Err(error) = stepped {
                log.abandon_swap(replacement, &error);
                return Err(error);
            }
            between(log);
        }
    }
    *checkpoint = Some(compaction.end_offset());
    Ok(compaction.stats())
}

/// Every data record that a reader gets who walks the log in slices of `max_bytes`. Offsets rise and every batch
/// checks out.
pub fn read(reader: &LogReader, max_bytes: u32) -> Result<Vec<Record>, String> {
    let (mut records, mut next) = (Vec::new(), reader.log_start());
    while next < reader.log_end() {
        let slice =
            reader.read(next, reader.log_end(), max_bytes, true).map_err(|error| error.to_string())?;
        if slice.is_empty() {
            return Err(format!("nothing at {next}"));
        }
        next = collect(&slice.to_vec().unwrap(), next, &mut records)?;
    }
    Ok(records)
}

/// Adds the data records of whole batches from `next` on; returns where the next read starts.
pub fn collect(bytes: &[u8], mut next: Offset, records: &mut Vec<Record>) -> Result<Offset, String> {
    for batch in iter_batches(bytes) {
        let batch = batch.map_err(|error| error.to_string())?;
        batch.verify_crc().map_err(|error| error.to_string())?;
        if batch.last_offset() < next {
            return Err(format!("a batch that ends at {} at {next}", batch.last_offset()));
        }
        let from = next;
        next = batch.next_offset();
        if batch.is_control() {
            continue;
        }
        for record in &batch.records().map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            if record.offset >= from {
                records.push(Record {
                    offset: record.offset.0,
                    timestamp: record.timestamp,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                });
            }
        }
    }
    Ok(next)
}

/// `seen` is `all` in order with records left out, none of which is in `must`.
pub fn within(seen: &[Record], all: &[Record], must: &[Record]) -> Result<(), String> {
    let has = |set: &[Record], record: &Record| set.binary_search(record).is_ok();
    if !seen.is_sorted_by(|a, b| a.offset < b.offset) {
        return Err("a record is repeated or out of order".to_owned());
    }
    if let Some(strange) = seen.iter().find(|record| !has(all, record)) {
        return Err(format!("never written: {strange:?}"));
    }
    match must.iter().find(|record| !has(seen, record)) {
        Some(skipped) => Err(format!("skipped: {skipped:?}")),
        None => Ok(()),
    }
}
