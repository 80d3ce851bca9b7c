//! Readers go on while the owner appends, rolls, flushes and deletes, and never see a gap, a torn batch or an
//! offset below the end that is not there.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use logspine_protocol::batch::iter_batches;
use logspine_protocol::types::Offset;
use logspine_storage::{Disk, Log, LogConfig, LogReader, ReadError, RealDisk};
use support::*;

const APPENDS: u64 = 6_000;

/// Reads from the start to the end until the owner is done; returns the batches seen.
fn follow(reader: &LogReader, max_bytes: u32, done: &AtomicBool) -> u64 {
    let (mut next, mut seen) = (Offset(0), 0);
    loop {
        let finished = done.load(Ordering::Acquire);
        let end = reader.log_end();
        if next == end && finished {
            return seen;
        }
        match reader.read(next, end, max_bytes, true) {
            Ok(slice) if slice.is_empty() => std::thread::yield_now(),
            Ok(slice) => {
                for batch in iter_batches(&slice.to_vec().unwrap()) {
                    let batch = batch.unwrap();
                    batch.verify_crc().unwrap();
                    assert_eq!(batch.base_offset(), next);
                    next = batch.next_offset();
                    seen += 1;
                }
            }
            // Retention overtook this reader.
            Err(ReadError::OutOfRange { log_start, .. }) if log_start > next => next = log_start,
            Err(error) => panic!("at {next}: {error}"),
        }
    }
}

#[test]
fn readers_and_the_owner_do_not_disturb_each_other() {
    let data = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let config = LogConfig {
        segment_bytes: 20_000,
        retention_bytes: 100_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let mut log = Log::open(args_in(&disk, data.path(), &config)).unwrap().0;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [100, 3_000, 40_000].map(|max_bytes| {
            let (reader, done) = (log.reader(), &done);
            scope.spawn(move || follow(&reader, max_bytes, done))
        });
        for tag in 0..APPENDS {
            log.append_as_leader(&batch(tag, 1, (tag % 300) as usize), EPOCH, NOW_MS).unwrap();
            if tag % 500 == 0 {
                assert!(flush(&mut log));
                log.enforce_retention(NOW_MS, log.durable_end()).unwrap();
                log.take_unlinks(i64::MAX).into_iter().for_each(|unlink| unlink.run().unwrap());
            }
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert!(log.log_start() > Offset(0));
}
