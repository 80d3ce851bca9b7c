//! What the storage tests share: small batches whose content names them, and a log on a disk of choice.
#![allow(dead_code, clippy::unwrap_used)] // Each test binary uses its part.

pub mod kafka;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logspine_protocol::batch::{BatchBuilder, iter_batches};
use logspine_protocol::compression::Codec;
use logspine_protocol::types::{LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicId};
use logspine_storage::{Disk, Log, LogConfig, LogReader, OpenLog, Recovered, StorageError};

pub const DATA_DIR: &str = "/data";
pub const EPOCH: LeaderEpoch = LeaderEpoch(0);
pub const NOW_MS: i64 = 1_700_000_000_000;

/// A batch of `records` records; the values hold `tag` and are `value_len` long.
pub fn batch(tag: u64, records: usize, value_len: usize) -> Vec<u8> {
    batch_at(NOW_MS, tag, records, value_len)
}

/// The same with a timestamp.
pub fn batch_at(timestamp_ms: i64, tag: u64, records: usize, value_len: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..records {
        builder.append(timestamp_ms, Some(b"key"), Some(&value(tag, value_len)), &[]);
    }
    builder.build()
}

/// A batch of an idempotent producer.
pub fn produced(producer: i64, epoch: i16, sequence: i32, records: usize) -> Vec<u8> {
    let mut builder =
        BatchBuilder::new(Codec::None).producer(ProducerId(producer), ProducerEpoch(epoch), sequence);
    for n in 0..records {
        builder.append(NOW_MS, Some(b"key"), Some(&value(n as u64, 8)), &[]);
    }
    builder.build()
}

pub fn value(tag: u64, len: usize) -> Vec<u8> {
    tag.to_be_bytes().iter().copied().cycle().take(len).collect()
}

/// Arguments for the log of `topic-0`.
pub fn args(disk: &Arc<dyn Disk>, config: &LogConfig) -> OpenLog {
    args_in(disk, Path::new(DATA_DIR), config)
}

pub fn args_in(disk: &Arc<dyn Disk>, data_dir: &Path, config: &LogConfig) -> OpenLog {
    OpenLog {
        disk: disk.clone(),
        dir: data_dir.join("topic-0"),
        topic: "topic".to_owned(),
        topic_id: TopicId([9; 16]),
        partition: PartitionIndex(0),
        config: config.clone(),
        recovery_point: Offset(0),
        log_start: Offset(0),
        clean: false,
        now_ms: NOW_MS,
    }
}

/// Opens with a recovery point and a log start.
pub fn reopen(
    disk: &Arc<dyn Disk>,
    config: &LogConfig,
    recovery_point: Offset,
    log_start: Offset,
    clean: bool,
) -> Result<(Log, Recovered), StorageError> {
    Log::open(OpenLog { recovery_point, log_start, clean, ..args(disk, config) })
}

/// A fresh log in a fresh data directory.
pub fn fresh(disk: &Arc<dyn Disk>, config: &LogConfig) -> Log {
    logspine_storage::disk::create_dir_all(&**disk, Path::new(DATA_DIR)).unwrap();
    let (log, recovered) = Log::open(args(disk, config)).unwrap();
    assert_eq!(recovered, Recovered::default());
    log
}

/// All three steps of a flush; false if a sync failed.
pub fn flush(log: &mut Log) -> bool {
    match log.begin_flush() {
        None => true,
        Some(job) => log.end_flush(job.run()).is_ok(),
    }
}

/// Every byte from the log start to `limit`, read in slices of `max_bytes`; panics on a gap.
pub fn read_all(reader: &LogReader, limit: Offset, max_bytes: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut next = reader.log_start();
    while next < limit {
        let slice = reader.read(next, limit, max_bytes, true).unwrap();
        assert!(!slice.is_empty(), "nothing at {next} below {limit} with {max_bytes} bytes");
        let content = slice.to_vec().unwrap();
        for batch in iter_batches(&content) {
            let batch = batch.unwrap();
            assert!(batch.last_offset() >= next, "a batch that ends at {} at {next}", batch.last_offset());
            assert!(batch.base_offset() <= next, "a gap before {} at {next}", batch.base_offset());
            next = batch.next_offset();
        }
        bytes.extend(content);
    }
    assert_eq!(next, limit);
    bytes
}

/// The files of the partition with their sizes.
pub fn files(disk: &dyn Disk) -> Vec<(String, u64)> {
    let dir = PathBuf::from(DATA_DIR).join("topic-0");
    disk.list(&dir).unwrap().into_iter().map(|entry| (entry.name, entry.len_bytes)).collect()
}
