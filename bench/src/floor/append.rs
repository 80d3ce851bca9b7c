//! The floor of a log's file: writes of one size to a file that grows, with or without allocation ahead.

use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use rustix::fs::{FallocateFlags, fallocate};

use super::{BROKER_CPU, Floor, Options, pin};
use crate::observe::thread_cpu_s;

/// The file is begun anew here, before the kernel has to write back.
const GROWN_BYTES: u64 = 1 << 30;
const AHEAD_BYTES: u64 = 64 << 20;

pub fn run(options: &Options, write_bytes: usize, is_allocated: bool) -> anyhow::Result<Floor> {
    let scratch = options.file()?;
    let data = vec![7; write_bytes];
    pin(BROKER_CPU);
    let (started, cpu_before) = (Instant::now(), thread_cpu_s());
    let (mut bytes, mut at, mut allocated, mut unpaid_cpu_s) = (0, 0, 0, 0.0);
    while started.elapsed() < options.length() {
        if at + write_bytes as u64 > GROWN_BYTES {
            // A log would go on in the next segment: giving the pages back is not an append's work.
            let before = thread_cpu_s();
            scratch.file.set_len(0)?;
            unpaid_cpu_s += thread_cpu_s() - before;
            (at, allocated) = (0, 0);
        }
        if is_allocated && at + write_bytes as u64 > allocated {
            fallocate(&scratch.file, FallocateFlags::KEEP_SIZE, allocated, AHEAD_BYTES)?;
            allocated += AHEAD_BYTES;
        }
        scratch.file.write_all_at(&data, at)?;
        at += write_bytes as u64;
        bytes += write_bytes as u64;
    }
    let (cpu_s, seconds) = (thread_cpu_s() - cpu_before - unpaid_cpu_s, started.elapsed().as_secs_f64());
    let how = if is_allocated { ", allocated ahead" } else { "" };
    Ok(Floor::of_bytes(format!("append {} KiB{how}", write_bytes / 1024), seconds, bytes, cpu_s))
}
