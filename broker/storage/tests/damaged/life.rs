//! A random life of one log, with producers, transactions, leader epochs and rolls, that ends by a stop or by a kill;
//! and what is known of it: every batch that was appended, byte by byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, ControlRecord, ControlRecordType, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use logspine_storage::checkpoint::Offsets;
use logspine_storage::sim_disk::{Rng, SimDisk};
use logspine_storage::{CleanShutdown, Disk, Log, LogConfig, LogDir};

use crate::support::{DATA_DIR, NOW_MS, args, batch_at, flush, read_all};

const STEPS: u64 = 40;

pub struct Life {
    pub disk: SimDisk,
    /// Batches by base offset, as they were appended.
    pub batches: BTreeMap<i64, Vec<u8>>,
    pub log_start: i64,
    pub log_end: i64,
    /// What the checkpoint says.
    pub recovery_point: i64,
    pub is_clean: bool,
    /// Base offsets of segments.
    pub bases: Vec<i64>,
    /// Files that are not ours.
    pub foreign: Vec<(PathBuf, Vec<u8>)>,
}

pub fn config() -> LogConfig {
    LogConfig { segment_bytes: 900, index_interval_bytes: 150, ..LogConfig::default() }
}

pub fn partition_dir() -> PathBuf {
    Path::new(DATA_DIR).join("topic-0")
}

impl Life {
    /// The `.log` files, oldest first.
    pub fn segments(&self) -> Vec<PathBuf> {
        let entries = self.disk.list(&partition_dir()).unwrap();
        let logs = entries.into_iter().filter(|entry| entry.name.ends_with(".log"));
        logs.map(|entry| partition_dir().join(entry.name)).collect()
    }
}

struct Living<'r> {
    rng: &'r mut Rng,
    log: Log,
    epoch: i32,
    /// Next sequence of each producer, and whether it has a transaction open.
    producers: [(i32, bool); 3],
}

impl Living<'_> {
    fn step(&mut self, number: u64) {
        let now_ms = NOW_MS + number as i64 * 1_000;
        match self.rng.below(10) {
            0 => self.epoch += 1,
            1..4 => {
                let (records, len) = (1 + self.rng.below(3) as usize, 20 + self.rng.below(90) as usize);
                let built = batch_at(now_ms, self.rng.next_u64(), records, len);
                self.append(&built, now_ms);
            }
            4..8 => self.produce(now_ms),
            8 => self.end_transactions(now_ms),
            _ => assert!(flush(&mut self.log)),
        }
    }

    fn append(&mut self, built: &[u8], now_ms: i64) {
        self.log.append_as_leader(built, LeaderEpoch(self.epoch), now_ms).unwrap();
    }

    fn produce(&mut self, now_ms: i64) {
        let producer = self.rng.below(3) as usize;
        let (sequence, open) = &mut self.producers[producer];
        let mut builder = BatchBuilder::new(Codec::None)
            .producer(ProducerId(producer as i64), ProducerEpoch(0), *sequence)
            .transactional();
        builder.append(now_ms, Some(b"key"), Some(&[producer as u8; 60]), &[]);
        (*sequence, *open) = (*sequence + 1, true);
        self.append(&builder.build(), now_ms);
    }

    fn end_transactions(&mut self, now_ms: i64) {
        for producer in 0..3 {
            if !std::mem::take(&mut self.producers[producer].1) {
                continue;
            }
            let kind =
                if self.rng.percent(60) { ControlRecordType::Abort } else { ControlRecordType::Commit };
            let (key, value) = ControlRecord { kind, coordinator_epoch: 1 }.encode();
            let mut marker = BatchBuilder::new(Codec::None)
                .producer(ProducerId(producer as i64), ProducerEpoch(0), -1)
                .transactional()
                .control();
            marker.append(now_ms, Some(&key), Some(&value), &[]);
            self.append(&marker.build(), now_ms);
        }
    }
}

fn one(offset: Offset) -> Offsets {
    Offsets::from([(("topic".to_owned(), 0), offset)])
}

pub fn run(rng: &mut Rng) -> Life {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let dir = LogDir::open(Arc::clone(&disk), Path::new(DATA_DIR)).unwrap();
    let log = Log::open(args(&disk, &config())).unwrap().0;
    let checkpoint_at = STEPS / 2 + rng.below(STEPS / 2);
    let is_clean = rng.percent(50);
    let mut living = Living { rng, log, epoch: 0, producers: [(0, false); 3] };
    let mut recovery_point = Offset(0);
    for number in 0..STEPS {
        living.step(number);
        if number == checkpoint_at {
            assert!(flush(&mut living.log));
            recovery_point = living.log.recovery_point();
        }
    }
    let Living { log, .. } = living;
    let (log_start, log_end) = (Offset(recovery_point.0 / 8), log.log_end());
    let mut batches = BTreeMap::new();
    for batch in iter_batches(&read_all(&log.reader(), log_end, 1 << 20)) {
        let batch = batch.unwrap();
        batches.insert(batch.base_offset().0, [&batch.to_bytes()[..], batch.body()].concat());
    }
    if is_clean {
        recovery_point = log.close(true).unwrap();
    } else {
        drop(log);
    }
    dir.write_recovery_points(|| one(recovery_point)).unwrap();
    dir.write_log_starts(&one(log_start)).unwrap();
    dir.write_high_watermarks(&one(recovery_point)).unwrap();
    if is_clean {
        dir.write_clean_shutdown(CleanShutdown { broker_epoch: 5 }).unwrap();
    }
    let foreign = foreign_files(&*disk);
    let (log_start, log_end, recovery_point) = (log_start.0, log_end.0, recovery_point.0);
    let bases = disk
        .names(&partition_dir())
        .unwrap()
        .iter()
        .filter(|name| name.ends_with(".log"))
        .map(|name| name[..20].parse().unwrap())
        .collect();
    Life { bases, disk: sim, batches, log_start, log_end, recovery_point, is_clean, foreign }
}

/// What people and other programs leave in a partition's directory.
fn foreign_files(disk: &dyn Disk) -> Vec<(PathBuf, Vec<u8>)> {
    let names = ["notes.tmp", "00000000000000000007.log.bak", "README"];
    let files = names.map(|name| (partition_dir().join(name), name.as_bytes().to_vec()));
    for (path, content) in &files {
        logspine_storage::disk::replace_file(disk, path, content).unwrap();
    }
    files.to_vec()
}
