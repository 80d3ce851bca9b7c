//! The floor of durable produce: batches of 16 KiB appended to one file, so many of them per fdatasync.

use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use rustix::fs::fdatasync;

use super::{BROKER_CPU, Floor, Options, pin};
use crate::latency::Latencies;
use crate::observe::thread_cpu_s;

const BATCH_BYTES: usize = 16 * 1024;

pub fn run(options: &Options, batches_per_sync: usize) -> anyhow::Result<Floor> {
    let scratch = options.file()?;
    let batch = vec![7; BATCH_BYTES];
    let mut latencies = Latencies::new();
    pin(BROKER_CPU);
    let (started, cpu_before) = (Instant::now(), thread_cpu_s());
    let mut batches: u64 = 0;
    while started.elapsed() < options.length() {
        for _ in 0..batches_per_sync {
            scratch.file.write_all_at(&batch, batches * BATCH_BYTES as u64)?;
            batches += 1;
        }
        let synced = Instant::now();
        fdatasync(&scratch.file)?;
        latencies.record(0, synced.elapsed().as_nanos() as u64);
    }
    let (cpu_s, seconds) = (thread_cpu_s() - cpu_before, started.elapsed().as_secs_f64());
    let percentiles = latencies.percentiles();
    let bytes = batches * BATCH_BYTES as u64;
    Ok(Floor {
        per_s: Some(batches as f64 / seconds),
        cpu_us_each: Some(cpu_s * 1e6 / batches as f64),
        p50_us: percentiles.as_ref().map(|found| found.p50 as f64),
        p99_us: percentiles.as_ref().map(|found| found.p99 as f64),
        ..Floor::of_bytes(
            format!("{batches_per_sync} batches of 16 KiB per fdatasync"),
            seconds,
            bytes,
            cpu_s,
        )
    })
}
